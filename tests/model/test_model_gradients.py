"""Truncated backpropagation: what is differentiated, and that nested scans equal plain loops."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_codegen import model as hrm_model
from hrm_codegen.config.schema import ModelConfig, TrainConfig
from hrm_codegen.model.attention import Context, attention_mask
from hrm_codegen.model.layers import rope_tables
from hrm_codegen.model.schedule import cycle_groups

CONFIG = ModelConfig(
    vocab_size=23, hidden_dim=16, num_heads=2, intermediate_dim=24, layers_per_stack=1, h_cycles=2, l_cycles=3
)
TOKENS = jnp.array([[1, 5, 9, 2, 2, 7]])


def grads_by_scan(config: ModelConfig, params: nnx.State, bp_passes: int | None) -> nnx.State:
    graphdef, _ = hrm_model.abstract(config)

    @jax.jit
    def loss(params: nnx.State) -> jax.Array:
        return jnp.square(hrm_model.merge(graphdef, params)(TOKENS, bp_passes=bp_passes)).mean()

    return jax.jit(jax.grad(loss))(params)


def graded_passes(h_cycles: int, l_cycles: int, bp_passes: int) -> list[bool]:
    """The paper's words, pass by pass: the last K_H = min(H, K-1) H passes and the last K - K_H L passes."""
    kinds = (["L"] * l_cycles + ["H"]) * h_cycles
    left = {"H": min(h_cycles, bp_passes - 1)}
    left["L"] = bp_passes - left["H"]
    graded = []
    for kind in reversed(kinds):
        graded.append(left[kind] > 0)
        left[kind] -= 1
    return graded[::-1]


def grads_by_loops(config: ModelConfig, params: nnx.State, bp_passes: int) -> nnx.State:
    """Python loops over the passes with an explicit stop_gradient on the result of each that is not graded."""
    graphdef, _ = hrm_model.abstract(config)
    graded = iter(graded_passes(config.h_cycles, config.l_cycles, bp_passes))

    def loss(params: nnx.State) -> jax.Array:
        model = hrm_model.merge(graphdef, params)
        ones = jnp.ones_like(TOKENS)
        cos, sin = rope_tables(jnp.arange(6)[None], head_dim=config.resolved_head_dim, theta=config.rope_theta)
        context = Context(cos, sin, attention_mask(ones, ones == 0, kind="causal"))
        low, high = (model.l_stack, model.h_stack) if config.core == "hrm" else (model.stack, model.stack)

        def run(stack: object, u: jax.Array) -> jax.Array:
            out = stack(u, context)
            return out if next(graded) else jax.lax.stop_gradient(out)

        z_h = model.embed[...][TOKENS] * 4.0
        z_l = jnp.broadcast_to(jax.lax.stop_gradient(model.z_l_init[...]), z_h.shape)
        for _ in range(config.h_cycles):
            for _ in range(config.l_cycles):
                z_l = run(low, z_l + z_h)
            z_h = run(high, z_h + z_l)
        return jnp.square(z_h @ model.head[...]).mean()

    return jax.jit(jax.grad(loss))(params)


@pytest.mark.parametrize("core", ["hrm", "trm"])
@pytest.mark.parametrize("bp_passes", [2, 3, 4, 5, 8])
def test_nested_scan_equals_python_loops(core: str, bp_passes: int) -> None:
    config = dataclasses.replace(CONFIG, core=core)
    _, params = hrm_model.init(config, jax.random.key(0))
    scanned, looped = grads_by_scan(config, params, bp_passes), grads_by_loops(config, params, bp_passes)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-4), scanned, looped)


def test_k_of_two_starves_the_embedding_and_three_does_not() -> None:
    _, params = hrm_model.init(CONFIG, jax.random.key(0))
    assert not np.any(grads_by_scan(CONFIG, params, 2)["embed"][...])
    for bp_passes in (3, 4, 5, None):
        assert np.abs(grads_by_scan(CONFIG, params, bp_passes)["embed"][...]).max() > 1e-6


@pytest.mark.parametrize("core", ["hrm", "trm"])
def test_the_initial_state_is_never_trained(core: str) -> None:
    config = dataclasses.replace(CONFIG, core=core)
    _, params = hrm_model.init(config, jax.random.key(0))
    assert not np.any(grads_by_scan(config, params, None)["z_l_init"][...])


def test_gradient_checkpointing_changes_no_gradient() -> None:
    _, params = hrm_model.init(CONFIG, jax.random.key(0))
    plain = grads_by_scan(CONFIG, params, 5)
    remat = grads_by_scan(dataclasses.replace(CONFIG, gradient_checkpointing=True), params, 5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7, rtol=1e-5), plain, remat)


@pytest.mark.parametrize(("h_cycles", "l_cycles"), [(1, 1), (2, 1), (2, 3), (3, 2), (8, 8)])
def test_cycle_groups_follow_the_paper_for_every_k(h_cycles: int, l_cycles: int) -> None:
    for bp_passes in range(2, h_cycles * (l_cycles + 1) + 1):
        got: list[bool] = []
        for group in cycle_groups(h_cycles, l_cycles, bp_passes):
            cycle = [False] * (l_cycles - group.graded_l) + [True] * group.graded_l + [group.graded_h]
            got += cycle * group.length
        assert got == graded_passes(h_cycles, l_cycles, bp_passes)


def test_the_program_is_nested_scans_and_does_not_grow_with_the_cycles() -> None:
    def program(h_cycles: int, l_cycles: int) -> str:
        config = dataclasses.replace(CONFIG, h_cycles=h_cycles, l_cycles=l_cycles)
        graphdef, params = hrm_model.init(config, jax.random.key(0))
        return str(jax.make_jaxpr(lambda p: hrm_model.merge(graphdef, p)(TOKENS))(params))

    small, large = program(2, 2), program(8, 8)
    assert small.count("scan[") >= 2
    assert small.count("dot_general") == large.count("dot_general")


def test_bp_schedule_of_the_paper() -> None:
    """H2 L3, K 2 to 5 over 20 % of the run: 3 from 6.7 %, 4 from 13.3 %, 5 from 20 %."""
    config = dataclasses.replace(CONFIG)
    schedule = hrm_model.bp_schedule(config, TrainConfig(num_steps=1000, bp_min=2, bp_max=5))
    assert schedule == [(0, 2), (67, 3), (134, 4), (200, 5)]


def test_bp_schedule_defaults() -> None:
    assert hrm_model.bp_schedule(CONFIG, TrainConfig(num_steps=100)) == [(0, 3), (10, 4), (20, 5)]
    flat = hrm_model.bp_schedule(CONFIG, TrainConfig(num_steps=100, bp_warmup_ratio=0.0))
    assert flat == [(0, 5)]
    looped = dataclasses.replace(CONFIG, core="looped")
    assert hrm_model.bp_schedule(looped, TrainConfig(num_steps=100)) == [(0, None)]
