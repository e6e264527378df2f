"""`HRMCodeGen`: making, saving, loading, writing code; devices; what is refused."""

from __future__ import annotations

import dataclasses
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny import TINY

from hrm_codegen import codegen
from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import DataConfig, SampleConfig, to_dict, to_yaml
from hrm_codegen.data import Tokenizer, decode_answer, encode_prompt
from hrm_codegen.errors import CheckpointError, ConfigError, DeviceError, ModelNotFoundError, PromptError, UsageError
from hrm_codegen.generation import beam_search
from hrm_codegen.interop import Bundle, load_bundle, save_bundle
from hrm_codegen.model import count_params
from hrm_codegen.parallel import devices

CONFIG = dataclasses.replace(
    TINY,
    name="run",
    model=dataclasses.replace(TINY.model, max_seq_len=64),
    sample=SampleConfig(max_tokens=12, seed=3),
)


@pytest.fixture(scope="module")
def model() -> HRMCodeGen:
    return HRMCodeGen.from_config(CONFIG)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_saved_model_is_the_same_model(model: HRMCodeGen, tmp_path: Path, suffix) -> None:
    model.metadata["step"] = 5
    path = tmp_path / f"best{suffix}"
    model.save_checkpoint(path)
    again = HRMCodeGen.from_pretrained(path)
    assert (again.config, again.tokenizer.sha256, again.sha256) == (model.config, model.tokenizer.sha256, model.sha256)
    assert again.metadata == {"step": 5, "path": str(path.resolve())}
    tokens = np.arange(20).reshape(2, 10)
    np.testing.assert_array_equal(again.logits(tokens, [3, 4]), model.logits(tokens, [3, 4]))


def test_a_loaded_model_saves_to_the_same_bytes(model: HRMCodeGen, tmp_path: Path) -> None:
    model.save_checkpoint(tmp_path / "a.pt")
    HRMCodeGen.from_pretrained(tmp_path / "a.pt").save_checkpoint(tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_loading_says_what_was_loaded(model: HRMCodeGen, tmp_path: Path, caplog) -> None:
    model.save_checkpoint(tmp_path / "best.pt")
    with caplog.at_level(logging.INFO, "hrm_codegen.codegen"):
        HRMCodeGen.from_pretrained(tmp_path / "best.pt")
    assert str(tmp_path / "best.pt") in caplog.text
    assert model.sha256[:12] in caplog.text


def test_newest_local_model(model: HRMCodeGen, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="hrm-codegen train"):
        HRMCodeGen.from_pretrained(None)
    model.save_checkpoint("checkpoints/best.pt")
    assert HRMCodeGen.from_pretrained(None).sha256 == HRMCodeGen.from_pretrained("best.pt").sha256 == model.sha256


def test_torch_opens_a_checkpoint(model: HRMCodeGen, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model.save_checkpoint(tmp_path / "best.pt")
    loaded = torch.load(tmp_path / "best.pt", weights_only=True, mmap=True)
    assert loaded["config"] == to_dict(model.config)
    np.testing.assert_array_equal(loaded["state_dict"]["lm_head.weight"].numpy().T, model.params["head"][...])


def test_every_form_of_configuration(model: HRMCodeGen, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(to_yaml(CONFIG))
    for form in (to_dict(CONFIG), tmp_path / "c.yaml", str(tmp_path / "c.yaml")):
        assert HRMCodeGen.from_config(form).sha256 == model.sha256
    assert HRMCodeGen.from_config(CONFIG, seed=1).sha256 != model.sha256


def test_num_params_and_repr(model: HRMCodeGen) -> None:
    leaves = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    assert model.num_params == count_params(CONFIG) == leaves - CONFIG.model.hidden_dim  # without z_l_init
    assert repr(model) == f"HRMCodeGen(core='hrm', num_params={model.num_params}, device='cpu')"


def test_the_tokenizer_must_fit(tmp_path: Path, model: HRMCodeGen) -> None:
    small = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, vocab_size=100))
    with pytest.raises(ConfigError, match=r"model\.vocab_size is 100, too small for a tokenizer of 264"):
        HRMCodeGen.from_config(small)


def test_an_impossible_configuration_is_refused_before_it_is_saved() -> None:
    with pytest.raises(ConfigError, match=r"data\.seq_len"):
        HRMCodeGen.from_config(dataclasses.replace(CONFIG, data=DataConfig(tokenizer="byte", seq_len=65)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer_json": "{}"}, "not a tokenizer"),
        ({"state_dict": {}}, r"missing: .*lm_head\.weight"),
    ],
)
def test_parts_that_do_not_fit_name_the_file(tmp_path: Path, model: HRMCodeGen, change, message) -> None:
    model.save_checkpoint(tmp_path / "best.pt")
    bundle = load_bundle(tmp_path / "best.pt")
    parts = {field.name: getattr(bundle, field.name) for field in dataclasses.fields(Bundle)}
    save_bundle(tmp_path / "bad.pt", Bundle(**parts | change))
    with pytest.raises(CheckpointError, match=rf"bad\.pt: .*{message}"):
        HRMCodeGen.from_pretrained(tmp_path / "bad.pt")


def test_generate_code_is_a_function_of_its_seed(model: HRMCodeGen) -> None:
    first = model.generate_code("add two numbers", seed=0)
    assert isinstance(first, str)
    assert first == model.generate_code("add two numbers", seed=0)
    assert model.generate_code("add two numbers") == model.generate_code("add two numbers", seed=CONFIG.sample.seed)
    assert len({model.generate_code("add two numbers", seed=seed) for seed in range(4)}) > 1


def test_answers_do_not_depend_on_the_batch(model: HRMCodeGen) -> None:
    prompts = ["a", "two words", "x" * 55]
    together = model.generate(prompts, num_samples=2, seeds=[7, 8, 9])
    for prompt, seed, answers in zip(prompts, [7, 8, 9], together, strict=True):
        assert model.generate([prompt], num_samples=2, seeds=[seed], batch_size=1) == [answers]
    assert model.generate([]) == []


def test_default_seeds_count_up(model: HRMCodeGen) -> None:
    answers = model.generate(["same", "same"])
    assert answers == model.generate(["same", "same"], seeds=[3, 4])
    assert answers[0] != answers[1]


def test_greedy_is_the_argmax_of_logits(model: HRMCodeGen) -> None:
    tokens = encode_prompt(model.tokenizer, "hi")
    prompt_len = len(tokens)
    for _ in range(5):
        logits = model.logits([tokens], [prompt_len])
        tokens.append(int(logits[0, -1].argmax()))
    expected = model.tokenizer.decode(tokens[prompt_len:])
    assert model.tokenizer.eoa_id not in tokens[prompt_len:]
    assert model.generate_code("hi", max_tokens=5, temperature=0) == expected
    assert model.beam_search("hi", max_tokens=5, num_beams=1) == expected


def test_options_override_the_configuration(model: HRMCodeGen) -> None:
    hot = dataclasses.replace(CONFIG, sample=SampleConfig(max_tokens=5, temperature=0.0))
    greedy = HRMCodeGen.from_config(hot)
    assert greedy.generate(["hi"]) == model.generate(["hi"], max_tokens=5, temperature=0.0)
    assert greedy.generate(["hi"], max_tokens=3, temperature=9.0, top_k=1) == model.generate(
        ["hi"], max_tokens=3, temperature=0.0
    )


def test_the_default_limit_gives_way_and_an_explicit_one_does_not(model: HRMCodeGen, monkeypatch) -> None:
    limits = []
    real = codegen.generate

    def spy(*args: Any, sampling: SampleConfig, **kwargs: Any) -> Any:
        limits.append(sampling.max_tokens)
        return real(*args, sampling=sampling, **kwargs)

    monkeypatch.setattr(codegen, "generate", spy)
    model.generate(["x" * 58, "x"])  # 60 tokens with boq and eoq
    assert limits == [4, 12]
    with pytest.raises(UsageError, match=r"prompt 1 has 60 tokens and its answer up to 12.*model\.max_seq_len = 64"):
        model.generate(["x", "x" * 58], max_tokens=12)
    for call in (model.generate_code, model.beam_search):
        with pytest.raises(UsageError, match="prompt 0 has 64 tokens"):
            call("x" * 62)


def test_beam_search_returns_the_likeliest_answer(model: HRMCodeGen) -> None:
    prompt = encode_prompt(model.tokenizer, "hello")
    ids = {"eoa_id": model.tokenizer.eoa_id, "pad_id": model.tokenizer.pad_id}
    found = beam_search(model.graphdef, model.params, prompt, num_beams=3, max_tokens=6, **ids)
    best = max(found, key=lambda completion: completion.log_prob)
    assert model.beam_search("hello", max_tokens=6, num_beams=3) == decode_answer(model.tokenizer, best.tokens)


@pytest.mark.parametrize("prompt", ["", "   \n", "x" * 2048])
def test_bad_prompts(model: HRMCodeGen, prompt) -> None:
    for call in (model.generate_code, model.beam_search):
        with pytest.raises(PromptError, match=r"^prompt must be non-empty and <2048 chars$"):
            call(prompt)


def test_only_blank_prompts_are_refused_in_a_batch(model: HRMCodeGen) -> None:
    with pytest.raises(PromptError):
        model.generate(["fine", " "])
    with pytest.raises(UsageError, match="2050 tokens"):
        model.generate(["x" * 2048])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0, "batch_size": 0}, "batch_size must be at least 1, not 0; max_tokens must be"),
        ({"num_samples": 0}, "num_samples must be at least 1"),
        ({"temperature": -1.0}, "temperature must be 0 or more"),
        ({"temperature": float("nan")}, "temperature must be 0 or more"),
        ({"top_p": 0.0}, "top_p must be in"),
        ({"top_k": -1}, "top_k must be 0 or more"),
        ({"seeds": [1, 2]}, "1 prompts need as many seeds, not 2"),
    ],
)
def test_impossible_options(model: HRMCodeGen, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        model.generate(["x"], **options)


def test_beams_are_counted(model: HRMCodeGen) -> None:
    with pytest.raises(UsageError, match="num_beams must be at least 1, not 0"):
        model.beam_search("x", num_beams=0)


def test_logits_mask_the_prompt_in_both_directions(model: HRMCodeGen) -> None:
    tokens = np.array([[1, 20, 30, 2, 40]])
    changed = np.array([[1, 20, 31, 2, 40]])
    causal = model.logits(tokens)
    assert causal.shape == (1, 5, 264)
    assert causal.dtype == np.float32
    np.testing.assert_array_equal(causal[:, :2], model.logits(changed)[:, :2])
    assert (np.asarray(model.logits(tokens, [4])[:, :2]) != np.asarray(model.logits(changed, [4])[:, :2])).any()


@pytest.mark.parametrize(
    ("tokens", "prefix_len"),
    [([1, 2], None), ([[1.5]], None), ([[264]], None), ([[-1]], None), ([[]], None), ([[1, 2]], [1, 1])],
)
def test_logits_take_token_ids_only(model: HRMCodeGen, tokens, prefix_len) -> None:
    with pytest.raises(UsageError):
        model.logits(tokens, prefix_len)


def test_threads_take_turns(model: HRMCodeGen, monkeypatch) -> None:
    real, inside, most = codegen.generate, 0, 0
    counter = threading.Lock()

    def spy(*args: Any, **kwargs: Any) -> Any:
        nonlocal inside, most
        with counter:
            inside += 1
            most = max(most, inside)
        try:
            return real(*args, **kwargs)
        finally:
            with counter:
                inside -= 1

    monkeypatch.setattr(codegen, "generate", spy)
    alone = [model.generate_code("hi", seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: model.generate_code("hi", seed=seed), range(8))) == alone
    assert most == 1


def test_device_is_checked_before_anything_is_read(model: HRMCodeGen, monkeypatch) -> None:
    monkeypatch.setattr(devices, "_first", lambda platform: None)
    with pytest.raises(DeviceError, match="'cuda'"):
        HRMCodeGen.from_pretrained("absent.pt", device="cuda")
    with pytest.raises(DeviceError, match="'cuda'"):
        HRMCodeGen.from_config(CONFIG, device="cuda")
    assert model.device == "cpu"


def test_default_tokenizer_of_the_configuration() -> None:
    config = dataclasses.replace(
        CONFIG, data=DataConfig(seq_len=32), model=dataclasses.replace(CONFIG.model, vocab_size=1024)
    )
    assert HRMCodeGen.from_config(config).tokenizer.sha256 == Tokenizer.load("default").sha256
