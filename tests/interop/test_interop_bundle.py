"""One file for weights, configuration and tokenizer: round trips, recognition by content, clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from hrm_codegen.config import Config, ModelConfig, TrainConfig, to_dict, to_yaml
from hrm_codegen.errors import CheckpointError, ConfigError, UsageError
from hrm_codegen.interop import Bundle, load_bundle, load_torch, save_bundle, save_torch

CONFIG = Config(
    name="x",
    model=ModelConfig(vocab_size=300, hidden_dim=32, num_heads=2, intermediate_dim=32),
    train=TrainConfig(num_steps=3),
)
BUNDLE = Bundle(
    config=CONFIG,
    tokenizer_json='{"model": "é"}',
    state_dict={
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "b": np.ones(2, ml_dtypes.bfloat16),
        "scalar": np.array(3, np.int64),
    },
    metadata={"step": 7, "loss": 1.5, "notes": ["x", None, True]},
)


def assert_equal(a: Bundle, b: Bundle) -> None:
    assert (a.config, a.tokenizer_json, a.metadata) == (b.config, b.tokenizer_json, b.metadata)
    assert a.state_dict.keys() == b.state_dict.keys()
    for name, array in a.state_dict.items():
        assert array.dtype == b.state_dict[name].dtype
        np.testing.assert_array_equal(array.astype(np.float64), b.state_dict[name].astype(np.float64))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_round_trip(tmp_path: Path, suffix) -> None:
    save_bundle(tmp_path / f"m{suffix}", BUNDLE)
    assert_equal(load_bundle(tmp_path / f"m{suffix}"), BUNDLE)
    assert [path.name for path in tmp_path.iterdir()] == [f"m{suffix}"]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_content_decides_not_the_name(tmp_path: Path, suffix) -> None:
    save_bundle(tmp_path / f"m{suffix}", BUNDLE)
    (tmp_path / f"m{suffix}").rename(tmp_path / "weights.bin")
    assert_equal(load_bundle(tmp_path / "weights.bin"), BUNDLE)


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'m\.onnx': its suffix must be \.pt or \.safetensors"):
        save_bundle(tmp_path / "m.onnx", BUNDLE)


def test_torch_tree_is_the_documented_one(tmp_path: Path) -> None:
    save_bundle(tmp_path / "m.pt", BUNDLE)
    tree = load_torch(tmp_path / "m.pt")
    assert list(tree) == ["format", "format_version", "config", "tokenizer", "metadata", "state_dict"]
    assert (tree["format"], tree["format_version"]) == ("hrm-codegen", 1)


def test_safetensors_opens_in_transformers(tmp_path: Path) -> None:
    save_bundle(tmp_path / "m.safetensors", BUNDLE)
    with safetensors.safe_open(tmp_path / "m.safetensors", framework="numpy") as file:
        assert file.metadata()["format"] == "pt"  # what transformers checks


@pytest.mark.parametrize("config_file", ["config.yaml", "config.json"])
def test_bare_weights_with_files_beside_them(tmp_path: Path, config_file) -> None:
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, tmp_path / "model.safetensors")
    text = to_yaml(CONFIG) if config_file.endswith("yaml") else json.dumps(to_dict(CONFIG))
    (tmp_path / config_file).write_text(text)
    (tmp_path / "tokenizer.json").write_text("{}")
    bundle = load_bundle(tmp_path / "model.safetensors")
    assert (bundle.config, bundle.tokenizer_json, bundle.metadata) == (CONFIG, "{}", {})


def test_bare_weights_alone_say_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, path)
    with pytest.raises(CheckpointError, match=r"there is no config\.yaml or config\.json, and no tokenizer\.json$"):
        load_bundle(path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"there is no tokenizer\.json$"):
        load_bundle(path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json is not JSON"):
        load_bundle(path)
    (tmp_path / "config.json").write_text('{"model_type": "hrm_text"}')
    with pytest.raises(CheckpointError, match=r"config\.json: vocab_size is None, expected a positive integer; hidden"):
        load_bundle(path)
    (tmp_path / "config.json").write_text('{"model": 3}')
    with pytest.raises(CheckpointError, match=r"config\.json: its configuration is not one of hrm-codegen's"):
        load_bundle(path)
    (tmp_path / "config.yaml").write_text("model:\n  vocab_size: 5\n")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load_bundle(path)


def test_newer_formats_are_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path / "m.pt", BUNDLE)
    for version, message in [(2, "reads up to 1: pip install --upgrade"), ("1", "impossible"), (0, "impossible")]:
        save_torch(tmp_path / "n.pt", {**load_torch(tmp_path / "m.pt"), "format_version": version})
        with pytest.raises(CheckpointError, match=message):
            load_bundle(tmp_path / "n.pt")
    metadata = {"hrm_codegen_format_version": "2"}
    safetensors.numpy.save_file({"w": np.ones(2)}, tmp_path / "n.safetensors", metadata)
    with pytest.raises(CheckpointError, match="format version 2"):
        load_bundle(tmp_path / "n.safetensors")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"weight": np.ones(2), "bias": 1}, "not a model of hrm-codegen: its keys are weight, bias"),
        ([1], "it is not a dict"),
        (
            {"format": "hrm-codegen", "format_version": 1, "config": {}, "metadata": {}},
            "no usable tokenizer, state_dict",
        ),
        (
            {
                "format": "hrm-codegen",
                "format_version": 1,
                "config": {},
                "metadata": {},
                "tokenizer": "",
                "state_dict": {},
            },
            "its configuration is not one of",
        ),
    ],
)
def test_other_torch_files(tmp_path: Path, tree, message) -> None:
    save_torch(tmp_path / "o.pt", tree)
    with pytest.raises(CheckpointError, match=message):
        load_bundle(tmp_path / "o.pt")


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_bundle(path, BUNDLE)
    raw = path.read_bytes()
    for content, message in [(raw[:-1], "damaged"), (b"hello", "neither a torch file nor"), (b"", "neither")]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_bundle(path)
    safetensors.numpy.save_file({"w": np.ones(2)}, path, {"hrm_codegen_format_version": "1", "config": "{"})
    with pytest.raises(CheckpointError, match="damaged metadata"):
        load_bundle(path)
    with pytest.raises(CheckpointError, match="No such file"):
        load_bundle(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="Is a directory"):
        load_bundle(tmp_path)


def test_finding_and_reading_models_does_not_import_jax() -> None:
    code = "import sys; from hrm_codegen.interop import find_bundle, load_bundle; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_header_whose_length_looks_like_a_pickle(tmp_path: Path) -> None:
    """The first byte of a safetensors file is the low one of a length; 0x80 begins a pickle, too."""
    path = tmp_path / "model.safetensors"
    for padding in range(256):
        header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + b" " * (padding + 256)
        if len(header) % 256 == 0x80:
            path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    assert path.read_bytes()[:1] == b"\x80"
    with pytest.raises(CheckpointError, match="has weights only"):
        load_bundle(path)
