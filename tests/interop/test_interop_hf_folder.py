"""Transformers folders, without Transformers: what is written, what comes back, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import Config, DataConfig, ModelConfig, SampleConfig, TrainConfig
from hrm_codegen.data import Tokenizer, encode_prompt
from hrm_codegen.errors import CheckpointError, UsageError
from hrm_codegen.interop import load_bundle, save_torch
from hrm_codegen.interop.hf_config import bp_cycles, from_hf_config, to_hf_config
from hrm_codegen.interop.hf_folder import write_folder
from hrm_codegen.interop.hf_tokenizer import generation_config, tokenizer_files
from hrm_codegen.model import init

CONFIG = Config(
    name="small",
    model=ModelConfig(
        vocab_size=272, hidden_dim=32, num_heads=2, intermediate_dim=48, layers_per_stack=2, h_cycles=2, l_cycles=3,
        max_seq_len=64,
    ),
    data=DataConfig(tokenizer="byte", seq_len=32, prompt_tests=2),
    train=TrainConfig(num_steps=7),
    sample=SampleConfig(max_tokens=9, temperature=0.5),
)  # fmt: skip
TOKENS = np.arange(24).reshape(2, 12)
PREFIX = [5, 9]


def changed(config: Config = CONFIG, **fields) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **fields))


@pytest.fixture(scope="module")
def model() -> HRMCodeGen:
    made = HRMCodeGen.from_config(CONFIG)
    made.metadata["step"] = 7
    return made


@pytest.fixture
def folder(model: HRMCodeGen, tmp_path: Path) -> Path:
    model.export_hf(tmp_path / "exported")
    return tmp_path / "exported"


def rewrite(folder: Path, tensors: dict[str, np.ndarray], **config) -> HRMCodeGen:
    """Replaces the weights and fields of the configuration, as another program's checkpoint would have them."""
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "hrm_codegen.json").unlink(missing_ok=True)
    edit(folder, **config)
    return HRMCodeGen.from_pretrained(folder)


def edit(folder: Path, **fields) -> None:
    tree = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps({k: v for k, v in tree.items() if v is not None}))


def test_the_files_are_those_that_transformers_reads(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "generation_config.json", "hrm_codegen.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    tree = json.loads((folder / "config.json").read_text())
    expected = {
        "model_type": "hrm_text", "architectures": ["HrmTextForCausalLM"], "vocab_size": 272, "hidden_size": 32,
        "num_attention_heads": 2, "head_dim": 16, "intermediate_size": 48, "num_layers_per_stack": 2,
        "num_hidden_layers": 2 * 2 * 4, "H_cycles": 2, "L_cycles": 3, "L_bp_cycles": [0, 3], "prefix_lm": True,
        "max_position_embeddings": 64, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 3,
        "pad_token_id": 0,
    }  # fmt: skip
    assert {name: tree[name] for name in expected} == expected
    assert tree["embedding_scale"] == pytest.approx(32**0.5)
    assert tree["initializer_range"] == pytest.approx(32**-0.5)
    with safetensors.safe_open(folder / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert len(file.keys()) == 3 + 2 * 2 * 4
        assert file.get_slice("model.L_module.layers.1.attn.gqkv_proj.weight").get_shape() == [4 * 32, 32]


def test_a_folder_comes_back_as_the_same_model(model: HRMCodeGen, folder: Path) -> None:
    again = HRMCodeGen.from_pretrained(folder)
    assert (again.config, again.sha256) == (model.config, model.sha256)
    assert again.tokenizer.sha256 == model.tokenizer.sha256
    assert again.metadata == {"step": 7, "path": str(folder / "model.safetensors")}


@pytest.mark.parametrize("core", ["hrm", "trm"])
@pytest.mark.parametrize("scan_layers", [False, True])
def test_every_core_that_can_be_exported_computes_the_same(core, scan_layers, tmp_path: Path) -> None:
    original = HRMCodeGen.from_config(changed(core=core, scan_layers=scan_layers, mask="causal"))
    original.export_hf(tmp_path / "f")
    again = HRMCodeGen.from_pretrained(tmp_path / "f")
    assert (again.config.model.core, again.config.model.mask) == ("hrm", "causal")
    np.testing.assert_allclose(again.logits(TOKENS), original.logits(TOKENS), atol=2e-6)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"core": "looped"}, "its core is 'looped'"),
        ({"core": "transformer"}, "its core is 'transformer'"),
        ({"x_inject": True}, "x_inject adds the embedding"),
        ({"hidden_dim": 33, "head_dim": 16}, "33 is no multiple of model.num_heads 2"),
    ],
)
def test_what_transformers_does_not_have_is_refused_or_written_natively(fields, reason, tmp_path: Path) -> None:
    original = HRMCodeGen.from_config(changed(**fields))
    with pytest.raises(UsageError, match=reason):
        original.export_hf(tmp_path / "f")
    assert not (tmp_path / "f").exists()
    write_folder(tmp_path / "f", original.to_bundle(), allow_native=True)
    again = HRMCodeGen.from_pretrained(tmp_path / "f")
    assert (again.config, again.sha256) == (original.config, original.sha256)


def test_an_earlier_export_is_replaced_and_other_folders_are_not(model: HRMCodeGen, folder: Path) -> None:
    (folder / "README.md").write_text("old")
    model.export_hf(folder)
    assert (folder / "README.md").read_text() != "old"
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"files of something else in it \(thesis\.tex\)"):
        model.export_hf(folder)
    with pytest.raises(UsageError, match="is a file, and a Transformers model is a folder"):
        model.export_hf(folder / "thesis.tex")
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_report_of_other_weights_is_not_published(model: HRMCodeGen, tmp_path: Path) -> None:
    report = {"metrics": {"pass@1": 0.5}, "model": {"sha256": "f" * 64}}
    with pytest.raises(UsageError, match=r"the report is of other weights \(sha256 ffffffffffff\)"):
        model.export_hf(tmp_path / "f", report=report)


def test_places_on_this_machine_are_not_given_away(tmp_path: Path) -> None:
    data = dataclasses.replace(CONFIG.data, train=str(tmp_path / "train.bin"), eval="data/eval.bin")
    train = dataclasses.replace(CONFIG.train, out_dir=str(tmp_path / "run"))
    for core in ("hrm", "transformer"):
        config = dataclasses.replace(changed(core=core), data=data, train=train)
        folder = tmp_path / core
        write_folder(folder, HRMCodeGen.from_config(config).to_bundle(), allow_native=True)
        assert not any(str(tmp_path).encode() in path.read_bytes() for path in folder.iterdir())
        again = load_bundle(folder / "model.safetensors").config
        assert (again.data.train, again.data.eval, again.train.out_dir) == ("train.bin", "data/eval.bin", "run")


def test_a_failing_export_leaves_the_earlier_one(model: HRMCodeGen, folder: Path, monkeypatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(safetensors.numpy, "save_file", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.export_hf(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["exported"]


def split(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The layout that Transformers has in memory."""
    parts = {"attn.gqkv_proj": ["gate", "q", "k", "v"], "mlp.gate_up_proj": ["gate", "up"]}
    out = {}
    for name, array in tensors.items():
        packed = next((key for key in parts if key in name), None)
        if packed is None:
            out[name.replace(".attn.o_proj", ".self_attn.o_proj")] = array
            continue
        home = "self_attn" if packed.startswith("attn") else "mlp"
        for part, piece in zip(parts[packed], np.split(array, len(parts[packed])), strict=True):
            out[name.replace(packed, f"{home}.{part}_proj")] = piece
    return out


def upstream(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names of HRM-Text's training program, with what no model has."""
    names = {"model.embed_tokens.weight": "embed_tokens.embedding_weight", "model.z_L_init": "model.zL_init"}
    out = {names.get(n, n.replace("_module.layers", "_level.core.layers")): a for n, a in tensors.items()}
    return out | {"model.zH_init": np.ones(32), "model.H_level.core.rotary_emb.inv_freq": np.ones(8)}


@pytest.mark.parametrize("layout", [split, upstream])
def test_other_layouts_are_the_same_model(layout, model: HRMCodeGen, folder: Path) -> None:
    assert rewrite(folder, layout(model.to_bundle().state_dict)).sha256 == model.sha256


def test_bfloat16_is_read_as_its_values(model: HRMCodeGen, folder: Path) -> None:
    tensors = {name: array.astype(ml_dtypes.bfloat16) for name, array in model.to_bundle().state_dict.items()}
    again = rewrite(folder, tensors, dtype="bfloat16")
    for name, array in again.to_bundle().state_dict.items():
        np.testing.assert_array_equal(array, tensors[name].astype(np.float32))


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(kind, model: HRMCodeGen, folder: Path) -> None:
    tensors = model.to_bundle().state_dict
    names = sorted(tensors)
    base = "model" if kind == "safetensors" else "pytorch_model"
    weight_map = {}
    for number, part in enumerate((names[:7], names[7:]), start=1):
        shard = f"{base}-{number:05}-of-00002.{kind}"
        chosen = {name: tensors[name] for name in part}
        if kind == "bin":
            save_torch(folder / shard, chosen)
        else:
            safetensors.numpy.save_file(chosen, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    (folder / "model.safetensors").unlink()
    index = folder / f"{base}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert HRMCodeGen.from_pretrained(folder).sha256 == model.sha256
    (folder / f"{base}-00002-of-00002.{kind}").rename(folder / "elsewhere")
    with pytest.raises(CheckpointError, match=r"names 2 files, of which 1 are not beside it: .*00002-of-00002"):
        HRMCodeGen.from_pretrained(folder)
    (folder / f"{base}-00001-of-00002.{kind}").rename(folder / f"{base}-00002-of-00002.{kind}")
    (folder / "elsewhere").rename(folder / f"{base}-00001-of-00002.{kind}")
    with pytest.raises(CheckpointError, match=r"lacks tensors that .* places there: lm_head.weight"):
        HRMCodeGen.from_pretrained(folder)
    index.write_text(json.dumps({"weight_map": {"w": "../../etc/passwd"}}))
    with pytest.raises(CheckpointError, match="names files of other folders"):
        load_bundle(index)
    index.write_text("[]")
    with pytest.raises(CheckpointError, match="is not the index of a sharded checkpoint"):
        load_bundle(index)


@pytest.mark.parametrize("wrap", [lambda tree: tree, lambda tree: {"state_dict": tree, "epoch": 3}])
def test_a_state_dict_of_torch_beside_a_config(wrap, model: HRMCodeGen, folder: Path) -> None:
    save_torch(folder / "pytorch_model.bin", wrap(model.to_bundle().state_dict))
    assert HRMCodeGen.from_pretrained(folder / "pytorch_model.bin").sha256 == model.sha256


def test_twice_the_layers_in_the_config_is_a_known_mistake(model: HRMCodeGen, folder: Path) -> None:
    edits = {"num_layers_per_stack": None, "num_hidden_layers": 4}
    assert rewrite(folder, model.to_bundle().state_dict, **edits).config.model.layers_per_stack == 2


def test_another_scale_of_the_embedding_computes_the_same(model: HRMCodeGen, folder: Path) -> None:
    tensors = dict(model.to_bundle().state_dict)
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"] * np.float32(32**0.5 / 50)
    again = rewrite(folder, tensors, embedding_scale=None, initializer_range=0.02)
    np.testing.assert_allclose(again.logits(TOKENS, PREFIX), model.logits(TOKENS, PREFIX), atol=1e-5)


def test_a_changed_config_json_decides_what_the_model_is(folder: Path) -> None:
    edit(folder, max_position_embeddings=48, prefix_lm=False)
    config = HRMCodeGen.from_pretrained(folder).config
    assert (config.model.max_seq_len, config.model.mask) == (48, "causal")
    assert (config.data.prompt_tests, config.sample.max_tokens) == (2, 9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama', expected 'hrm_text'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', but only 'silu' is supported"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True, but only False"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4}}, "are not the default kind"),
        ({"H_cycles": 0, "vocab_size": "many"}, "vocab_size is 'many', .*; H_cycles is 0, expected a positive integer"),
        ({"rms_norm_eps": "tiny"}, "norm_eps is 'tiny', expected a number"),
        ({"embedding_scale": -1}, "embedding_scale is -1, expected a positive number"),
        ({"hidden_size": 64}, "these tensors do not fit"),
    ],
)
def test_a_config_that_is_not_ours_says_why(fields, message, folder: Path) -> None:
    edit(folder, **fields)
    with pytest.raises(CheckpointError, match=message):
        HRMCodeGen.from_pretrained(folder)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is not JSON"), ("[]", "not a JSON object"), ("{}", "no usable config")]
)
def test_a_broken_side_file(content, message, folder: Path) -> None:
    (folder / "hrm_codegen.json").write_text(content)
    with pytest.raises(CheckpointError, match=rf"hrm_codegen\.json.*{message}"):
        HRMCodeGen.from_pretrained(folder)


@pytest.mark.parametrize(
    ("cycles", "bp_max", "expected"),
    [((2, 3), None, [0, 3]), ((2, 3), 8, [3, 3]), ((2, 2), None, [0, 2]), ((3, 1), 2, [0, 0, 1])],
)
def test_gradient_routing_is_that_of_the_last_truncation(cycles, bp_max, expected) -> None:
    config = changed(h_cycles=cycles[0], l_cycles=cycles[1])
    assert bp_cycles(dataclasses.replace(config, train=TrainConfig(num_steps=1, bp_max=bp_max, bp_min=2))) == expected


def test_configurations_come_back() -> None:
    config = changed(head_dim=16, rope_theta=5e4, norm_eps=1e-5, mask="causal")
    ids = {"pad_id": 0, "boq_id": 1, "eoa_id": 3}
    assert from_hf_config(to_hf_config(config, **ids), place="x") == config.model


def test_the_exported_tokenizer_follows_the_protocol(model: HRMCodeGen, folder: Path) -> None:
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompt = backend.encode("write 12 + x")
    assert prompt.ids == encode_prompt(model.tokenizer, "write 12 + x")
    assert set(prompt.type_ids) == {1}
    example = backend.encode("write", "  x = 1\n")
    assert example.ids == [*encode_prompt(model.tokenizer, "write"), *model.tokenizer.encode("  x = 1\n"), 3]
    assert example.type_ids == [1] * (len("write") + 2) + [0] * (len("  x = 1\n") + 1)


def test_conditions_are_part_of_the_exported_prompt() -> None:
    config = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, condition="synth,cot"))
    tokenizer = Tokenizer.load("byte")
    files = tokenizer_files(tokenizer, config)
    backend = tokenizers.Tokenizer.from_str(json.dumps(files["tokenizer.json"]))
    assert backend.encode("x").ids == encode_prompt(tokenizer, "x", condition="synth,cot")
    assert "chat_template" not in files["tokenizer_config.json"]


def test_only_causal_models_have_a_chat_template_and_no_types() -> None:
    settings = tokenizer_files(Tokenizer.load("byte"), changed(mask="causal"))["tokenizer_config.json"]
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]
    assert "'<|boq|>' + message['content'] + '<|eoq|>'" in settings["chat_template"]


def test_greedy_configurations_do_not_sample() -> None:
    greedy = dataclasses.replace(CONFIG, sample=SampleConfig(temperature=0.0))
    tokenizer = Tokenizer.load("byte")
    assert generation_config(tokenizer, CONFIG)["temperature"] == 0.5
    assert generation_config(tokenizer, greedy) == {
        "bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0, "max_new_tokens": 128, "do_sample": False,
    }  # fmt: skip


def test_hrm_texts_own_tokenizer_is_asked_with_a_condition(model: HRMCodeGen, folder: Path) -> None:
    names = {
        "<|pad|>": "<|unused|>", "<|boq|>": "<|im_start|>", "<|eoq|>": "<|im_end|>", "<|eoa|>": "<|box_end|>",
        "<|direct|>": "<|object_ref_start|>",
    }  # fmt: skip
    text = (folder / "tokenizer.json").read_text()
    for ours, theirs in names.items():
        text = text.replace(ours, theirs)
    (folder / "tokenizer.json").write_text(text)
    again = rewrite(folder, model.to_bundle().state_dict)
    assert again.config.data.condition == "direct"
    assert again.tokenizer.pad_id == again.tokenizer.eoa_id == 3  # it has no token for padding
    ids, _ = again._encode(["ab"], None)
    assert again.tokenizer.decode(ids[0], keep_special=True) == "<|im_start|><|object_ref_start|>ab<|im_end|>"


def test_initial_values_survive_a_vocabulary_larger_than_the_tokenizer(tmp_path: Path) -> None:
    config = changed(vocab_size=512)
    _, params = init(config.model, jax.random.key(1))
    padded = HRMCodeGen(config=config, tokenizer=Tokenizer.load("byte"), params=params)
    padded.export_hf(tmp_path / "f")
    assert HRMCodeGen.from_pretrained(tmp_path / "f").sha256 == padded.sha256
