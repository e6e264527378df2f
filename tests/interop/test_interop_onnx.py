"""ONNX export: onnxruntime agrees with JAX for every core, decodes the same tokens, leaves nothing wrong behind."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import itertools
import json
import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen import HRMCodeGen
from hrm_codegen import config as configs
from hrm_codegen.config.schema import Config, ModelConfig, SampleConfig
from hrm_codegen.data import Tokenizer, decode_answer, encode_prompt
from hrm_codegen.errors import CheckpointError, MissingExtraError, UsageError
from hrm_codegen.generation import generate
from hrm_codegen.interop import Bundle, onnx_export, to_state_dict
from hrm_codegen.interop.hrm_text import hash_state_dict
from hrm_codegen.interop.onnx_export import export_onnx
from hrm_codegen.model import init, merge

pytestmark = pytest.mark.extras
pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

HRM = ModelConfig(
    vocab_size=1024,
    hidden_dim=16,
    num_heads=3,
    head_dim=6,
    intermediate_dim=20,
    layers_per_stack=1,
    h_cycles=1,
    l_cycles=2,
    dtype="float32",
)
KINDS = {
    "hrm": HRM,
    "trm": dataclasses.replace(HRM, core="trm", l_cycles=1, x_inject=True),
    "looped": dataclasses.replace(HRM, core="looped", l_cycles=1, mask="causal"),
    "transformer": dataclasses.replace(HRM, core="transformer"),
}
NUM_PROMPTS, LONGEST = 20, 40
OPSET_OF_ATTENTION = 23  # the first with a fused operator


@functools.cache
def bundle(kind: str, seed: int = 0) -> Bundle:
    config: Config = dataclasses.replace(configs.load("smoke"), model=KINDS[kind])
    _, params = init(config.model, jax.random.key(seed))
    tokenizer_json = Tokenizer.load("default").to_json()
    state_dict = to_state_dict(config.model, params)
    return Bundle(config=config, tokenizer_json=tokenizer_json, state_dict=state_dict, metadata={"step": 7})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exports a kind once."""
    return functools.cache(lambda kind: export_onnx(bundle(kind), tmp_path_factory.mktemp("onnx") / "model.onnx"))


@functools.cache
def prompts(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, lengths of rows and of their prompts, and the logits of JAX."""
    config = KINDS[kind]
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, config.vocab_size, (NUM_PROMPTS, LONGEST))
    lens = rng.permutation(np.arange(LONGEST - 2 * NUM_PROMPTS + 1, LONGEST + 1, 2))
    prompt_lens = rng.integers(0, lens + 1)
    graphdef, params = init(config, jax.random.key(0))
    prefix_mask = np.arange(LONGEST)[None, :] < prompt_lens[:, None]
    logits = jax.jit(lambda tokens, mask: merge(graphdef, params)(tokens, prefix_mask=mask))(
        jnp.asarray(tokens), jnp.asarray(prefix_mask)
    )
    return tokens, lens, prompt_lens, np.asarray(logits)


def to_int(array) -> np.ndarray:
    return np.asarray(array).astype(np.int64)


def session(path: Path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def empty_past(graph, batch: int) -> dict[str, np.ndarray]:
    past = [value for value in graph.get_inputs() if value.name.startswith("past_key_values.")]
    return {value.name: np.zeros((batch, value.shape[1], 0, value.shape[3]), np.float32) for value in past}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 5])
def test_20_prompts_of_different_lengths_agree_with_jax(kind, batch, exported):
    tokens, lens, prompt_lens, expected = prompts(kind)
    assert len(set(lens)) == NUM_PROMPTS
    graph = session(exported(kind).path)
    for start in range(0, NUM_PROMPTS, batch):
        rows = slice(start, start + batch)
        columns = np.arange(lens[rows].max())[None, :]
        real = columns < lens[rows, None]
        (logits,) = graph.run(
            ["logits"],
            {
                "input_ids": tokens[rows, : columns.size],
                "attention_mask": to_int(real),
                "token_type_ids": to_int(columns < prompt_lens[rows, None]),
            },
        )
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits[real], expected[rows, : columns.size][real], atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_graph_with_past_equals_the_plain_one(kind, exported):
    tokens, _, _, _ = prompts(kind)
    plain, cached = session(exported(kind).path), session(exported(kind).with_past_path)
    batch, length, prompt_len = 3, 14, 6
    ids, ones = tokens[:batch, :length], np.ones((batch, length), np.int64)
    types, positions = np.where(np.arange(length) < prompt_len, ones, 0), np.cumsum(ones, axis=1) - 1
    (expected,) = plain.run(["logits"], {"input_ids": ids, "attention_mask": ones, "token_type_ids": types})
    for cuts in ([0, length], [0, prompt_len, prompt_len + 1, prompt_len + 2, length]):
        past, pieces = empty_past(cached, batch), []
        for start, stop in itertools.pairwise(cuts):
            feeds = {
                "input_ids": ids[:, start:stop],
                "attention_mask": ones[:, :stop],
                "token_type_ids": types[:, start:stop],
                "position_ids": positions[:, start:stop],
            }
            logits, *present = cached.run(None, feeds | past)
            past = dict(zip(past, present, strict=True))
            pieces.append(logits)
        np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_greedy_decoding_gives_the_tokens_of_generate(side, exported):
    model = HRMCodeGen(
        config=bundle("hrm").config, tokenizer=Tokenizer.load("default"), params=init(HRM, jax.random.key(0))[1]
    )
    texts, num_tokens = ["add two numbers", "reverse", "the longest word of a sentence, or none", "x"], 12
    encoded = [encode_prompt(model.tokenizer, text) for text in texts]
    sampling = SampleConfig(max_tokens=num_tokens, temperature=0.0)
    ids = {"eoa_id": model.tokenizer.eoa_id, "pad_id": model.tokenizer.pad_id}
    draw = functools.partial(generate, model.graphdef, model.params, encoded, num_samples=1, seeds=[0] * 4)
    wanted = draw(sampling=sampling, batch_size=64, **ids)
    answers = greedy(session(exported("hrm").with_past_path), encoded, num_tokens, side)
    for answer, (completion,) in zip(answers, wanted, strict=True):
        assert tuple(answer[: len(completion.tokens)]) == completion.tokens
        assert len(completion.tokens) == num_tokens or answer[len(completion.tokens)] == ids["eoa_id"]
    programs = model.generate(texts, max_tokens=num_tokens, temperature=0)
    assert [decode_answer(model.tokenizer, answer) for answer in answers] == [program for (program,) in programs]


def greedy(graph, encoded: list[list[int]], num_tokens: int, side: str) -> np.ndarray:
    """Decodes as a user of the file would, padding on either side."""
    batch, lens = len(encoded), np.array([len(row) for row in encoded])
    ids = np.zeros((batch, lens.max()), np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(encoded):
        place = slice(-len(prompt), None) if side == "left" else slice(len(prompt))
        ids[row, place], mask[row, place] = prompt, 1
    types, positions = mask, np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    last = np.full(batch, -1) if side == "left" else lens - 1
    past, answer = empty_past(graph, batch), []
    for step in range(num_tokens):
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "position_ids": positions}
        logits, *present = graph.run(None, feeds | past)
        past = dict(zip(past, present, strict=True))
        ids = logits[np.arange(batch), last].argmax(-1)[:, None]
        answer.append(ids)
        mask = np.concatenate([mask, np.ones_like(ids)], axis=1)
        types, positions, last = np.zeros_like(ids), lens[:, None] + step, np.full(batch, -1)
    return np.concatenate(answer, axis=1)


def test_files_are_self_contained_and_weights_are_there_once(exported):
    report, source = exported("hrm"), bundle("hrm")
    assert sorted(report.path.parent.iterdir()) == [report.path, report.with_past_path]
    assert report.num_bytes == report.path.stat().st_size + report.with_past_path.stat().st_size
    assert report.data_paths == ()
    assert max(report.max_abs_diff, report.cached_max_abs_diff) < 1e-4
    for path in (report.path, report.with_past_path):
        model = onnx.load(path)
        onnx.checker.check_model(model)
        facts = {entry.key: entry.value for entry in model.metadata_props}
        assert configs.from_dict(json.loads(facts["config"])) == source.config
        assert facts["tokenizer"] == source.tokenizer_json
        assert facts["source_sha256"] == hash_state_dict(source.state_dict)
        assert (facts["format"], facts["format_version"]) == ("hrm-codegen", "1")
        assert json.loads(facts["metadata"]) == {"step": 7}
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for name, array in source.state_dict.items():
            np.testing.assert_array_equal(weights[name], array)
        small = sum(array.nbytes for name, array in weights.items() if name not in source.state_dict)
        assert small < 1000
        assert str(Path(__file__).parents[2]) not in str(model)  # no paths of the exporting machine


def test_names_and_axes_are_those_of_optimum(exported):
    graph = session(exported("hrm").with_past_path)
    slots = [f"{slot}.{kind}" for slot in range(3) for kind in ("key", "value")]
    inputs = {value.name: value.shape for value in graph.get_inputs()}
    tokens = ["input_ids", "attention_mask", "token_type_ids", "position_ids"]
    assert list(inputs) == [*tokens, *(f"past_key_values.{slot}" for slot in slots)]
    assert inputs["past_key_values.0.key"] == ["batch_size", 3, "past_sequence_length", 6]
    assert inputs["input_ids"] == ["batch_size", "sequence_length"]
    assert [value.name for value in graph.get_outputs()] == ["logits", *(f"present.{slot}" for slot in slots)]


def test_large_weights_go_to_files_beside_and_can_be_exported_over(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setattr(onnx_export, "_SINGLE_FILE_BYTES", 1000)
    path = tmp_path / "new" / "model.onnx"
    with caplog.at_level(logging.INFO):
        report = export_onnx(bundle("transformer"), path, opset=OPSET_OF_ATTENTION)
    assert [file.name for file in sorted(path.parent.iterdir())] == [
        "model.onnx",
        "model.onnx.data",
        "model_with_past.onnx",
        "model_with_past.onnx.data",
    ]
    assert sorted(report.data_paths) == [path.with_name(f"{path.name}.data"), path.parent / "model_with_past.onnx.data"]
    large = bundle("transformer").state_dict["model.embed_tokens.weight"].tobytes()
    assert large in report.data_paths[0].read_bytes()
    assert large not in path.read_bytes()
    assert onnx.load(path, load_external_data=False).opset_import[0].version == report.opset == OPSET_OF_ATTENTION
    tokens, _, prompt_lens, expected = prompts("transformer")
    ones = np.ones_like(tokens)
    types = to_int(np.arange(LONGEST)[None, :] < prompt_lens[:, None])
    moved = path.parent.rename(tmp_path / "elsewhere")
    graph = session(moved / path.name)
    (logits,) = graph.run(None, {"input_ids": tokens, "attention_mask": ones, "token_type_ids": types})
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    assert capfd.readouterr().out == ""
    assert {record.name.partition(".")[0] for record in caplog.records} <= {"hrm_codegen", "jax"}


@pytest.mark.parametrize("wrong", ["model.onnx", "model_with_past.onnx"])
def test_a_graph_that_disagrees_leaves_no_file(wrong, exported, tmp_path, monkeypatch):
    report = exported("hrm")
    (tmp_path / "model.onnx").write_text("the one before")

    def write(model, path, **_):
        source = report.path if path.name == report.path.name else report.with_past_path
        graph = onnx.load(source)
        for tensor in graph.graph.initializer:
            if path.name == wrong and tensor.name == "lm_head.weight":
                tensor.CopyFrom(onnx.numpy_helper.from_array(1.01 * onnx.numpy_helper.to_array(tensor), tensor.name))
        onnx.save(graph, path)

    monkeypatch.setattr(onnx_export, "_write", write)
    with pytest.raises(CheckpointError, match="disagree by"):
        export_onnx(bundle("hrm"), tmp_path / "model.onnx")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("model.onnx", "the one before")]


def test_an_interrupted_export_leaves_no_file(tmp_path, monkeypatch):
    def write(model, path, **_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_export, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(bundle("hrm"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="opset 17 is not supported: choose one from 18 to 23"):
        export_onnx(bundle("hrm"), tmp_path / "model.onnx", opset=17)
    with pytest.raises(UsageError, match=r"suffix must be \.onnx"):
        export_onnx(bundle("hrm"), tmp_path / "model.pt")
    state_dict = {name: array for name, array in bundle("hrm").state_dict.items() if name != "lm_head.weight"}
    with pytest.raises(CheckpointError, match=r"1 missing: lm_head\.weight"):
        export_onnx(dataclasses.replace(bundle("hrm"), state_dict=state_dict), tmp_path / "model.onnx")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name.startswith("onnx") else find_spec(name, *rest)
    )
    message = r"'export onnx' needs onnx, onnxscript, onnxruntime — pip install \"hrm-codegen\[export\]\""
    with pytest.raises(MissingExtraError, match=message):
        export_onnx(bundle("hrm"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
