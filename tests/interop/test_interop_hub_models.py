"""Whole models through the Hub's stand-in: HRM-Text-1B's very layout comes down, ours goes up and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from hub_standin import TOKEN, HubStandin, isolated_hub

from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import Config, DataConfig, ModelConfig, TrainConfig
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import UsageError
from hrm_codegen.interop import to_state_dict
from hrm_codegen.model import init

hub = pytest.fixture(isolated_hub)
MODEL = ModelConfig(
    vocab_size=512, hidden_dim=48, num_heads=3, layers_per_stack=2, h_cycles=2, l_cycles=3, max_seq_len=128
)
CONFIG = Config(model=MODEL, data=DataConfig(seq_len=64), train=TrainConfig(num_steps=1))
NAMES = {
    "<|pad|>": "<|endoftext|>", "<|boq|>": "<|im_start|>", "<|eoq|>": "<|im_end|>", "<|eoa|>": "<|box_end|>",
    "<|direct|>": "<|object_ref_start|>", "<|cot|>": "<|object_ref_end|>", "<|noisy|>": "<|quad_start|>",
    "<|synth|>": "<|quad_end|>",
}  # fmt: skip


@pytest.fixture
def model() -> HRMCodeGen:
    _, params = init(MODEL, jax.random.key(4))
    return HRMCodeGen(config=CONFIG, tokenizer=Tokenizer.load("byte"), params=params)


def hrm_text_1b(model: HRMCodeGen) -> dict[str, bytes]:
    """The files that HRM-Text's own converter writes, quirks included: layers of both stacks, another key for K."""
    tokenizer = model.tokenizer.to_json()
    for ours, theirs in NAMES.items():
        tokenizer = tokenizer.replace(ours, theirs)
    config = {
        "model_type": "hrm_text", "architectures": ["HrmTextForCausalLM"], "vocab_size": MODEL.vocab_size,
        "hidden_size": 48, "intermediate_size": MODEL.resolved_intermediate_dim, "num_hidden_layers": 4,
        "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 16, "H_cycles": 2, "L_cycles": 3,
        "L_bp_steps": [0, 3], "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "initializer_range": 48**-0.5, "embedding_scale": 48**0.5, "prefix_lm": True,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3,
    }  # fmt: skip
    tensors = to_state_dict(MODEL, model.params)
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": tokenizer.encode(),
        "tokenizer_config.json": b"{}",
        "model.safetensors": safetensors.numpy.save(tensors, {"format": "pt"}),
        "assets/banner.png": b"not wanted",
    }


def test_hrm_text_1b_loads_by_its_name(model: HRMCodeGen, hub: HubStandin) -> None:
    hub.add("sapientinc/HRM-Text-1B", hrm_text_1b(model))
    loaded = HRMCodeGen.from_pretrained("sapientinc/HRM-Text-1B")
    assert loaded.sha256 == model.sha256
    assert loaded.config.name == "HRM-Text-1B"
    assert (loaded.config.model.vocab_size, loaded.tokenizer.vocab_size) == (512, 264)
    assert loaded.config.model.layers_per_stack == 2
    assert loaded.config.data.condition == "direct"
    assert not any("banner" in request.path for request in hub.requests)
    tokens = np.arange(20)[None]
    np.testing.assert_array_equal(loaded.logits(tokens, [7]), model.logits(tokens, [7]))
    assert isinstance(loaded.generate_code("add two numbers", max_tokens=5, temperature=0), str)


def test_a_download_is_used_again_without_the_server(model: HRMCodeGen, hub: HubStandin) -> None:
    hub.add("sapientinc/HRM-Text-1B", hrm_text_1b(model))
    HRMCodeGen.from_pretrained("sapientinc/HRM-Text-1B")
    asked = len(hub.requests)
    again = HRMCodeGen.from_pretrained("sapientinc/HRM-Text-1B", local_files_only=True)
    assert (again.sha256, len(hub.requests)) == (model.sha256, asked)


@pytest.mark.parametrize("core", ["hrm", "transformer"])
def test_what_is_pushed_comes_back(core, hub: HubStandin, tmp_path: Path) -> None:
    config = Config(
        name="mine",
        model=ModelConfig(core=core, vocab_size=264, hidden_dim=32, num_heads=2, layers_per_stack=1, max_seq_len=64),
        data=DataConfig(tokenizer="byte", seq_len=32),
        train=TrainConfig(num_steps=1),
    )
    model = HRMCodeGen.from_config(config)
    url = model.push_to_hub("me/mine", token=TOKEN, private=True)
    assert url.endswith("/me/mine")
    assert {r.authorization for r in hub.requests if r.path.startswith("/api/")} == {f"Bearer {TOKEN}"}
    expected = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    expected |= {"generation_config.json"} if core == "hrm" else set()
    assert expected <= hub.repositories["me/mine"].branches["main"].keys()
    again = HRMCodeGen.from_pretrained("me/mine", token=TOKEN, cache_dir=tmp_path / "cache")
    assert (again.sha256, again.config) == (model.sha256, model.config)


def test_a_push_without_a_token_fails_before_anything_is_written(model: HRMCodeGen, hub: HubStandin) -> None:
    with pytest.raises(UsageError, match=r"HF_TOKEN.*hf auth login"):
        model.push_to_hub("me/mine")
    assert hub.requests == []
