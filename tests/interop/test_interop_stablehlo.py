"""StableHLO files: the model's numbers at any shape, and one clear error for whatever is not such a file."""

from __future__ import annotations

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen import config as configs
from hrm_codegen.config.schema import Config, ModelConfig
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import CheckpointError, MissingExtraError, UsageError
from hrm_codegen.interop import Bundle, stablehlo, to_state_dict
from hrm_codegen.interop.stablehlo import export_stablehlo, load_stablehlo
from hrm_codegen.model import init, merge

pytestmark = pytest.mark.extras
pytest.importorskip("flatbuffers")

MODEL = ModelConfig(
    vocab_size=61, hidden_dim=8, num_heads=3, head_dim=4, intermediate_dim=10, layers_per_stack=1, h_cycles=1
)


def make_bundle(model: ModelConfig, key: jax.Array) -> Bundle:
    config: Config = dataclasses.replace(configs.load("smoke"), model=model)
    _, params = init(model, key)
    tokenizer_json = Tokenizer.load("default").to_json()
    return Bundle(config=config, tokenizer_json=tokenizer_json, state_dict=to_state_dict(model, params))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("stablehlo") / "new" / "model.stablehlo"
    return export_stablehlo(make_bundle(MODEL, jax.random.key(0)), path)


def test_file_computes_the_logits_of_the_model_at_every_shape(exported, key):
    graphdef, params = init(MODEL, key)
    function = load_stablehlo(exported.path)
    rng = np.random.default_rng(0)
    for batch, length in ((1, 1), (4, 33)):
        tokens = jnp.asarray(rng.integers(0, MODEL.vocab_size, (batch, length)), jnp.int32)
        prefix_len = jnp.asarray(rng.integers(0, length + 1, batch), jnp.int32)
        prefix_mask = jnp.arange(length)[None, :] < prefix_len[:, None]
        expected = merge(graphdef, params)(tokens, prefix_mask=prefix_mask)
        np.testing.assert_allclose(function(tokens, prefix_len), expected, atol=1e-5)


def test_report_says_what_was_written(exported):
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert exported.num_bytes == exported.path.stat().st_size
    assert exported.max_abs_diff <= 1e-5
    assert [file.name for file in exported.path.parent.iterdir()] == ["model.stablehlo"]


def test_auto_dtype_is_float32_and_bfloat16_is_kept(tmp_path, key):
    model = dataclasses.replace(MODEL, core="transformer", dtype="bfloat16")
    bundle = make_bundle(model, key)
    path = export_stablehlo(bundle, tmp_path / "half", platforms=["cpu"]).path
    tokens, prefix_len = jnp.zeros((1, 5), jnp.int32), jnp.zeros(1, jnp.int32)
    graphdef, params = init(model, key)
    half = merge(graphdef, params)(tokens)
    np.testing.assert_allclose(load_stablehlo(path)(tokens, prefix_len), half, atol=2e-2)
    assert load_stablehlo(path)(tokens, prefix_len).dtype == jnp.float32


def damaged_files(data: bytes) -> dict[str, bytes]:
    program = data.index(b"ML\xefR")
    return {
        "empty": b"",
        "text": b"not a program",
        "zeros": bytes(1000),
        "cut short": data[: len(data) // 2],
        "without its end": data[:-10],
        "overwritten": data[: program + 50] + bytes(500) + data[program + 550 :],
    }


@pytest.mark.parametrize("kind", damaged_files(b"ML\xefR"))
def test_a_damaged_file_is_a_checkpoint_error(exported, tmp_path, kind):
    path = tmp_path / "damaged"
    path.write_bytes(damaged_files(exported.path.read_bytes())[kind])
    with pytest.raises(CheckpointError, match="damaged"):
        load_stablehlo(path)


def test_a_missing_file_another_function_and_another_platform_are_named(tmp_path, key):
    with pytest.raises(CheckpointError, match="cannot read"):
        load_stablehlo(tmp_path / "none")
    other = jax.export.export(jax.jit(lambda x: x + 1))(jnp.zeros(3)).serialize()
    (tmp_path / "other").write_bytes(other)
    with pytest.raises(CheckpointError, match="not logits"):
        load_stablehlo(tmp_path / "other")
    report = export_stablehlo(make_bundle(MODEL, key), tmp_path / "tpu", platforms=["tpu"])
    assert report.max_abs_diff is None
    with pytest.raises(CheckpointError, match="is for tpu, and this machine has cpu"):
        load_stablehlo(tmp_path / "tpu")


def test_a_program_that_differs_is_not_written(tmp_path, key, monkeypatch):
    path = tmp_path / "model.stablehlo"
    path.write_text("the one before")
    monkeypatch.setattr(stablehlo, "_difference", lambda *_: float("nan"))
    with pytest.raises(CheckpointError, match="disagree by nan"):
        export_stablehlo(make_bundle(MODEL, key), path, platforms=["cpu"])
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_exported_is_said_before_any_work(tmp_path, key, monkeypatch):
    bundle = make_bundle(MODEL, key)
    with pytest.raises(UsageError, match="choose from cpu, cuda, tpu, rocm"):
        export_stablehlo(bundle, tmp_path / "x", platforms=["abacus"])
    with pytest.raises(UsageError, match="choose from"):
        export_stablehlo(bundle, tmp_path / "x", platforms=[])
    monkeypatch.setattr(stablehlo, "_MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="less than 2 GB"):
        export_stablehlo(bundle, tmp_path / "x")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "flatbuffers" else find_spec(name, *rest)
    )
    with pytest.raises(MissingExtraError, match=r'pip install "hrm-codegen\[stablehlo\]"'):
        export_stablehlo(bundle, tmp_path / "x")
    with pytest.raises(MissingExtraError, match="flatbuffers"):
        load_stablehlo(tmp_path / "x")
    assert not list(tmp_path.iterdir())
