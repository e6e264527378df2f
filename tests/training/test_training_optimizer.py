"""AdamATan2 against float64 NumPy, schedules against their formulas, and who is decayed, trained, frozen."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.config import ModelConfig, OptimConfig
from hrm_codegen.model import abstract
from hrm_codegen.training import make_optimizer, make_schedule, scale_by_adam_atan2

CONFIG = OptimConfig(lr=1e-2, warmup_steps=1, weight_decay=0.1)


def params_and_grads(steps: int):
    rng = np.random.default_rng(0)
    params = {"h_stack": {"out": rng.normal(size=(4, 3))}, "bias": rng.normal(size=3), "z_l_init": rng.normal(size=3)}
    return params, [jax.tree.map(lambda p: rng.normal(size=p.shape), params) for _ in range(steps)]


def as_float32(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


def run(config: OptimConfig, params, grads):
    tx, _ = make_optimizer(config, len(grads), params)
    params, state = as_float32(params), None
    state = tx.init(params)
    for grad in grads:
        updates, state = tx.update(as_float32(grad), state, params)
        params = optax.apply_updates(params, updates)
    return params


def reference(param, grads, *, decay, lr=1e-2, b1=0.9, b2=0.95):
    """The update of HRM's optimizer as its authors write it, in float64."""
    m = v = np.zeros_like(param)
    for t, g in enumerate(grads, start=1):
        param = param * (1 - lr * decay)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        param = param - lr / (1 - b1**t) * np.arctan2(m, np.sqrt(v) / np.sqrt(1 - b2**t))
    return param


def test_adam_atan2_is_the_published_formula():
    params, grads = params_and_grads(20)
    new = run(CONFIG, params, grads)
    expected = reference(params["h_stack"]["out"], [g["h_stack"]["out"] for g in grads], decay=0.1)
    np.testing.assert_allclose(new["h_stack"]["out"], expected, rtol=1e-5)
    np.testing.assert_allclose(new["bias"], reference(params["bias"], [g["bias"] for g in grads], decay=0.0), rtol=1e-5)


def test_adam_atan2_does_not_see_the_scale_of_gradients():
    params, grads = params_and_grads(5)
    tiny = [jax.tree.map(lambda g: g * 1e-6, grad) for grad in grads]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), run(CONFIG, params, grads), run(CONFIG, params, tiny)
    )


@settings(max_examples=50, deadline=None)
@given(grads=st.lists(st.floats(-1e15, 1e15, allow_subnormal=False), min_size=1, max_size=8))
def test_adam_atan2_updates_are_bounded(grads):
    tx = scale_by_adam_atan2(0.9, 0.95)
    state = tx.init(jnp.zeros(1))
    for t, grad in enumerate(grads, start=1):
        update, state = tx.update(jnp.full(1, grad, jnp.float32), state)
        assert abs(float(update[0])) <= np.pi / 2 / (1 - 0.9**t) * (1 + 1e-5)


def test_the_first_step_has_nearly_the_size_of_the_rate():
    update, _ = scale_by_adam_atan2().update(jnp.array([3.0]), scale_by_adam_atan2().init(jnp.zeros(1)))
    np.testing.assert_allclose(update, np.arctan2(0.1, 1.0) / 0.1, rtol=1e-5)  # 0.997: corrected outside of atan2


@pytest.mark.parametrize("name", ["adam_atan2", "adamw", "muon"])
def test_the_initial_state_is_never_trained(name):
    shapes = abstract(ModelConfig(vocab_size=32, hidden_dim=8, num_heads=2, intermediate_dim=16))[1]
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    tx, _ = make_optimizer(dataclasses.replace(CONFIG, name=name), 10, params)
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    for path, update in jax.tree.leaves_with_path(updates):
        moved = bool(jnp.any(update != 0))
        assert moved == ("z_l_init" not in jax.tree_util.keystr(path)), path


@pytest.mark.parametrize("name", ["adam_atan2", "adamw", "muon"])
def test_decay_goes_to_matrices_only(name):
    params, _ = params_and_grads(1)
    params["embed"] = np.ones((5, 3))
    zeros = [jax.tree.map(np.zeros_like, params)]
    new = run(dataclasses.replace(CONFIG, name=name), params, zeros)
    for matrix, old in ((new["h_stack"]["out"], params["h_stack"]["out"]), (new["embed"], params["embed"])):
        np.testing.assert_allclose(matrix, old * (1 - 1e-2 * 0.1), rtol=1e-6)
    np.testing.assert_allclose(new["bias"], params["bias"], rtol=1e-6)


@pytest.mark.parametrize("stacked", [False, True])
def test_muon_makes_updates_of_hidden_matrices_orthogonal(stacked):
    rng = np.random.default_rng(1)
    shape = (3, 16, 8) if stacked else (16, 8)
    params = {"l_stack": np.zeros(shape), "head": np.zeros((16, 8))}
    grads = [{"l_stack": rng.normal(size=shape), "head": rng.normal(size=(16, 8))}]
    new = run(dataclasses.replace(CONFIG, name="muon"), params, grads)
    values = np.linalg.svd(new["l_stack"], compute_uv=False)
    assert values.max() / values.min() < 2.5  # five Newton-Schulz steps bring singular values near each other
    np.testing.assert_allclose(np.abs(new["head"]), 1e-2, rtol=1e-4)  # AdamW's first step is the gradient's sign


def test_clipping_bounds_the_gradient_before_the_moments():
    params, grads = params_and_grads(1)
    config = dataclasses.replace(CONFIG, name="adamw", clip_norm=1e-3)
    tx, _ = make_optimizer(config, 1, params)
    _, state = tx.update(as_float32(grads[0]), tx.init(as_float32(params)), as_float32(params))
    moments = [x for path, x in jax.tree.leaves_with_path(state) if "mu" in jax.tree_util.keystr(path)]
    assert float(optax.tree.norm(moments)) < 0.1 * 1e-3


@settings(max_examples=50, deadline=None)
@given(warmup=st.integers(0, 30), num_steps=st.integers(1, 60), step=st.integers(0, 80))
def test_schedules_follow_their_formulas(warmup, num_steps, step):
    config = OptimConfig(lr=0.5, warmup_steps=warmup, min_lr_ratio=0.1)
    constant = float(make_schedule(config, num_steps)(step))
    assert constant == pytest.approx(0.5 * min(1.0, (step + 1) / max(warmup, 1)), rel=1e-5)
    cosine = float(make_schedule(dataclasses.replace(config, schedule="cosine"), num_steps)(step))
    assert 0.1 * constant * (1 - 1e-5) <= cosine <= constant * (1 + 1e-5)
    if step + 1 >= max(num_steps, warmup + 1):
        assert cosine == pytest.approx(0.05, rel=1e-4)
