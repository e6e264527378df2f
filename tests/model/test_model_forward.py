"""The forward pass against the NumPy reference, and what masks and packing must guarantee."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import model_reference as reference
import numpy as np
import pytest
from flax import nnx

from hrm_codegen import model as hrm_model
from hrm_codegen.config.schema import ModelConfig

CORES = ("hrm", "trm", "looped", "transformer")
TINY = ModelConfig(vocab_size=31, hidden_dim=16, num_heads=2, intermediate_dim=24, h_cycles=2, l_cycles=3)


def with_core(core: str, **changes: object) -> ModelConfig:
    return dataclasses.replace(TINY, core=core, **changes)


def forward(config: ModelConfig, params: nnx.State, tokens: jax.Array, **inputs: object) -> jax.Array:
    graphdef, _ = hrm_model.abstract(config)

    @jax.jit
    def run(params: nnx.State, tokens: jax.Array, inputs: dict) -> jax.Array:
        return hrm_model.merge(graphdef, params)(tokens, **inputs)

    return run(params, tokens, inputs)


def weights_of(params: nnx.State) -> dict:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), nnx.to_pure_dict(params))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("x_inject", [False, True])
@pytest.mark.parametrize("prefix_len", [0, 4])
def test_forward_equals_the_equations(core: str, x_inject: bool, prefix_len: int) -> None:
    config = with_core(core, x_inject=x_inject)
    _, params = hrm_model.init(config, jax.random.key(1))
    tokens = np.arange(9) * 7 % 31
    expected = reference.logits(weights_of(params), config, tokens, prefix_len)
    got = forward(config, params, tokens[None], prefix_mask=(jnp.arange(9) < prefix_len)[None])
    np.testing.assert_allclose(got[0], expected, atol=2e-4)


@pytest.mark.parametrize("core", CORES)
def test_scanned_layers_equal_unrolled_ones(core: str) -> None:
    _, params = hrm_model.init(with_core(core), jax.random.key(1))
    _, stacked = hrm_model.init(with_core(core, scan_layers=True), jax.random.key(1))
    tokens = jnp.arange(8)[None]
    np.testing.assert_allclose(
        forward(with_core(core), params, tokens),
        forward(with_core(core, scan_layers=True), stacked, tokens),
        atol=1e-5,
    )


@pytest.mark.parametrize("core", CORES)
def test_packed_equals_unpacked(core: str) -> None:
    config = with_core(core)
    _, params = hrm_model.init(config, jax.random.key(2))
    first, second = jnp.array([3, 1, 4, 1, 5]), jnp.array([9, 2, 6, 5, 3, 5, 8])
    prefixes = (jnp.arange(5) < 2, jnp.arange(7) < 3)
    packed = forward(
        config,
        params,
        jnp.concatenate([first, second, jnp.zeros(4, jnp.int32)])[None],
        positions=jnp.concatenate([jnp.arange(5), jnp.arange(7), jnp.zeros(4, jnp.int32)])[None],
        segment_ids=jnp.array([[1] * 5 + [2] * 7 + [0] * 4]),
        prefix_mask=jnp.concatenate([*prefixes, jnp.zeros(4, bool)])[None],
    )
    for row, prefix, got in ((first, prefixes[0], packed[0, :5]), (second, prefixes[1], packed[0, 5:12])):
        np.testing.assert_allclose(got, forward(config, params, row[None], prefix_mask=prefix[None])[0], atol=1e-5)


@pytest.mark.parametrize("core", CORES)
def test_an_answer_token_never_alters_earlier_logits_but_a_prompt_token_may(core: str) -> None:
    config = with_core(core)
    _, params = hrm_model.init(config, jax.random.key(3))
    tokens, prefix = jnp.arange(10)[None], (jnp.arange(10) < 5)[None]
    before = forward(config, params, tokens, prefix_mask=prefix)
    answer = forward(config, params, tokens.at[0, 7].set(20), prefix_mask=prefix)
    prompt = forward(config, params, tokens.at[0, 3].set(20), prefix_mask=prefix)
    np.testing.assert_array_equal(answer[0, :7], before[0, :7])
    assert np.abs(answer[0, 7:] - before[0, 7:]).max() > 1e-3
    assert np.abs(prompt[0, 0] - before[0, 0]).max() > 1e-4


def test_causal_mask_ignores_the_prefix() -> None:
    config = with_core("hrm", mask="causal")
    _, params = hrm_model.init(config, jax.random.key(3))
    tokens, prefix = jnp.arange(10)[None], (jnp.arange(10) < 5)[None]
    before = forward(config, params, tokens, prefix_mask=prefix)
    after = forward(config, params, tokens.at[0, 3].set(20), prefix_mask=prefix)
    np.testing.assert_array_equal(after[0, :3], before[0, :3])


def test_bfloat16_compute_stays_close_and_logits_are_float32() -> None:
    config = with_core("hrm", dtype="bfloat16")
    _, params = hrm_model.init(config, jax.random.key(4))
    tokens = jnp.arange(8)[None]
    got = forward(config, params, tokens)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, forward(with_core("hrm"), params, tokens), atol=0.15)


def test_parameter_count_of_the_27m_preset() -> None:
    config = ModelConfig(vocab_size=5120, hidden_dim=512, num_heads=4, layers_per_stack=3, intermediate_dim=1536)
    # 5 D^2 + 3 D F a block (hrm.md 2.1), six blocks, embedding and head.
    assert hrm_model.count_params(config) == 6 * (5 * 512**2 + 3 * 512 * 1536) + 2 * 5120 * 512


def test_cores_with_equal_parameters() -> None:
    counts = {core: hrm_model.count_params(with_core(core)) for core in CORES}
    assert counts["hrm"] == counts["looped"] == counts["transformer"] > counts["trm"]
