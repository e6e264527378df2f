"""The train step: what it computes, what it leaves alone, and how often it compiles."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax

from hrm_codegen.config import Config, ModelConfig, OptimConfig, TrainConfig
from hrm_codegen.model import init
from hrm_codegen.training import create_state, make_eval_step, make_optimizer, make_train_step, token_sums
from hrm_codegen.typing import Batch

# The step does not know the core; the cheapest to compile stands for all but where passes matter.
CONFIG = Config(
    model=ModelConfig(
        core="transformer", vocab_size=32, hidden_dim=16, num_heads=2, intermediate_dim=32, layers_per_stack=1
    ),
    optim=OptimConfig(lr=2e-2, warmup_steps=5, weight_decay=0.0, ema_decay=0.9),
    train=TrainConfig(num_steps=100, batch_size=4),
)


def make_batch(rows: int = 4, length: int = 8, *, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    shape = (rows, length)
    tokens = rng.integers(0, 32, shape, dtype=np.int32)
    # Rows with very different numbers of tokens that count: a mean of means would differ.
    counts = np.array([1, length, 2, length // 2] * rows)[:rows, None]
    return Batch(
        tokens=tokens,
        targets=rng.integers(0, 32, shape, dtype=np.int32),
        positions=np.broadcast_to(np.arange(length, dtype=np.int32), shape),
        segment_ids=np.ones(shape, np.int32),
        prefix_mask=np.zeros(shape, bool),
        loss_mask=np.arange(length)[None, :] < counts,
    )


HRM = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, core="hrm", h_cycles=1, l_cycles=2))


@functools.cache
def new_model(model: ModelConfig):
    return init(model, jax.random.key(0))


def start(config: Config = CONFIG, *, tx: optax.GradientTransformation | None = None):
    graphdef, params = new_model(config.model)
    optimizer, schedule = make_optimizer(config.optim, config.train.num_steps, params)
    state = create_state(params, tx or optimizer, ema=config.optim.ema_decay > 0)
    return state, make_train_step(graphdef, tx or optimizer, schedule, config)


def with_accum(grad_accum: int) -> Config:
    return dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, grad_accum=grad_accum))


def test_it_overfits_one_batch():
    state, step = start(HRM)
    batch = make_batch()
    for _ in range(60):
        state, metrics = step(state, batch, bp_passes=3)
    assert float(metrics["loss"]) < 0.05
    assert float(metrics["accuracy"]) == 1.0


def test_it_compiles_once_for_each_number_of_passes():
    state, step = start(HRM)
    for seed, passes in enumerate((2, 3, 3, 2, 3)):
        state, _ = step(state, make_batch(seed=seed), bp_passes=passes)
    assert step._cache_size() == 2


def test_accumulation_does_not_change_the_update():
    # Plain SGD: the update is the gradient, and nothing hides a wrong scale.
    whole, step = start(tx=optax.sgd(1.0))
    whole, expected = step(whole, make_batch(), bp_passes=None)
    parts, step = start(with_accum(4), tx=optax.sgd(1.0))
    parts, metrics = step(parts, make_batch(), bp_passes=None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), parts.params, whole.params)
    for name in expected:
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5, err_msg=name)


def test_metrics_are_means_over_the_tokens_that_count():
    state, step = start()
    graphdef, params = new_model(CONFIG.model)
    batch = make_batch()
    sums = make_eval_step(graphdef)(params, batch)
    _, metrics = step(state, batch, bp_passes=None)
    assert float(metrics["num_targets"]) == float(sums.num_targets) == batch.loss_mask.sum() == 15
    assert float(metrics["num_tokens"]) == 32
    np.testing.assert_allclose(metrics["loss"], sums.loss / 15, rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], sums.num_correct / 15, rtol=1e-6)
    np.testing.assert_allclose(metrics["lr"], 2e-2 / 5, rtol=1e-6)


def test_an_update_that_is_not_finite_is_not_made():
    state, step = start()
    state, metrics = step(state, make_batch(), bp_passes=None)
    assert float(metrics["finite"]) == 1.0
    poisoned = dataclasses.replace(state, params=jax.tree.map(lambda p: p.at[0].set(jnp.nan), state.params))
    before = jax.tree.map(np.array, poisoned)
    after, metrics = step(poisoned, make_batch(), bp_passes=None)
    assert float(metrics["finite"]) == 0.0
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.array, after), before)


def test_a_batch_without_targets_changes_no_weight_but_by_decay():
    state, step = start()
    before = jax.tree.map(np.array, state.params)
    empty = make_batch()._replace(loss_mask=np.zeros((4, 8), bool))
    after, metrics = step(state, empty, bp_passes=None)
    assert float(metrics["loss"]) == 0.0
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.array, after.params), before)


def test_the_average_warms_up():
    state, step = start()
    ema = jax.tree.map(np.array, state.ema)
    for t in range(3):
        state, _ = step(state, make_batch(seed=t), bp_passes=None)
        d = min(0.9, (1 + t) / (10 + t))
        ema = jax.tree.map(lambda old, new, d=d: d * old + (1 - d) * np.array(new), ema, state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.ema, ema)
    assert state.eval_params is state.ema


def test_without_averaging_the_weights_themselves_are_evaluated():
    config = dataclasses.replace(CONFIG, optim=dataclasses.replace(CONFIG.optim, ema_decay=0.0))
    state, step = start(config)
    state, _ = step(state, make_batch(), bp_passes=None)
    assert state.ema is None
    assert state.eval_params is state.params


def test_the_callers_parameters_survive_donation():
    graphdef, params = new_model(CONFIG.model)
    tx, schedule = make_optimizer(CONFIG.optim, 10, params)
    step = make_train_step(graphdef, tx, schedule, CONFIG)
    step(create_state(params, tx, ema=True), make_batch(), bp_passes=None)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))


def test_token_sums_equal_float64_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 7)).astype(np.float32) * 3
    targets = rng.integers(0, 7, (2, 5))
    mask = rng.random((2, 5)) < 0.6
    wide = logits.astype(np.float64)
    log_probs = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log_probs, targets[..., None], -1)[..., 0]
    sums = token_sums(logits, np.where(mask, targets, 99), mask)  # 99: any value where the mask is False
    np.testing.assert_allclose(sums.loss, losses[mask].sum(), rtol=1e-5)
    assert float(sums.num_correct) == (wide.argmax(-1) == targets)[mask].sum()
    assert float(sums.num_targets) == mask.sum()


def test_bfloat16_products_change_the_step_by_their_rounding_alone_and_leave_validation_as_it_is() -> None:
    mixed = dataclasses.replace(HRM, train=dataclasses.replace(HRM.train, matmul_dtype="bfloat16"))
    batch, found = make_batch(), {}
    for config in (HRM, mixed):
        state, step = start(config, tx=optax.sgd(1.0))
        before = jax.tree.map(jnp.copy, state.params)
        after, metrics = step(state, batch, bp_passes=None)
        moved = jax.tree.map(jnp.subtract, after.params, before)
        found[config.train.matmul_dtype] = (float(metrics["loss"]), jax.flatten_util.ravel_pytree(moved)[0])
    (loss, moved), (rounded_loss, rounded) = found["float32"], found["bfloat16"]
    assert 0 < abs(rounded_loss - loss) < 0.01 * loss
    assert 1e-4 < np.linalg.norm(rounded - moved) / np.linalg.norm(moved) < 0.05
    graphdef, params = new_model(HRM.model)
    assert "bf16" not in make_eval_step(graphdef).lower(params, batch).as_text()


def test_large_bfloat16_products_run_whichever_operand_is_turned_around() -> None:
    """XLA on CPU compiles some products of bfloat16 that it cannot run: those of wide layers were some."""
    model = dataclasses.replace(CONFIG.model, hidden_dim=128, intermediate_dim=384, vocab_size=128)
    config = dataclasses.replace(CONFIG, model=model, train=dataclasses.replace(CONFIG.train, matmul_dtype="bfloat16"))
    batch = make_batch(4, 64)
    state, step = start(config)
    assert "xbf16>" in step.lower(state, batch, bp_passes=None).as_text()
    assert float(step(state, batch, bp_passes=None)[1]["finite"]) == 1.0
