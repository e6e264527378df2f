"""Optimizers and learning-rate schedules as optax transforms: AdamATan2 (the default), AdamW, Muon.

AdamATan2 is the rule of HRM's code (hrm arXiv 2506.21734) and HRM-Text (arXiv 2605.20613): the first moment is bias
corrected *outside* the arctangent, the second inside, there is no epsilon and no scale factor. It is not the variant
of the `adam-atan2-pytorch` package (constants 1.27 and 1, both moments corrected inside): steps differ early on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hrm_codegen.config import OptimConfig
from hrm_codegen.model.build import is_frozen

Schedule = Callable[[Any], jax.Array]


def scale_by_adam_atan2(b1: float = 0.9, b2: float = 0.95) -> optax.GradientTransformation:
    """Turns gradients g into `atan2(m, sqrt(v) / sqrt(1 - b2^t)) / (1 - b1^t)`.

    m and v are the moving averages of g and g^2, t counts from 1. Invariant to the scale of the gradients, and never
    larger than `pi / (2 (1 - b1^t))`.
    """

    def init(params: optax.Params) -> optax.ScaleByAdamState:
        zeros = optax.tree.zeros_like(params)
        return optax.ScaleByAdamState(count=jnp.zeros([], jnp.int32), mu=zeros, nu=optax.tree.zeros_like(params))

    def update(
        grads: optax.Updates, state: optax.ScaleByAdamState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.ScaleByAdamState]:
        del params
        count = optax.safe_increment(state.count)
        mu = optax.tree.update_moment(grads, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(grads, state.nu, b2, 2)
        nu_hat = optax.tree.bias_correction(nu, b2, count)
        ratio = jax.tree.map(lambda m, v: jnp.arctan2(m, jnp.sqrt(v)), mu, nu_hat)
        updates = optax.tree.bias_correction(ratio, b1, count)
        return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)


def make_schedule(config: OptimConfig, num_steps: int) -> Schedule:
    """Returns the learning rate as a function of the number of steps done: linear warm-up, then constant or cosine.

    The first step already has a rate (`lr / warmup_steps`), so that no step is idle.
    """

    def schedule(count: Any) -> jax.Array:
        step = jnp.asarray(count, jnp.float32) + 1.0
        warm = jnp.minimum(1.0, step / max(config.warmup_steps, 1))
        if config.schedule == "constant":
            return config.lr * warm
        done = jnp.clip((step - config.warmup_steps) / max(num_steps - config.warmup_steps, 1), 0.0, 1.0)
        floor = config.min_lr_ratio
        return config.lr * warm * (floor + (1.0 - floor) * 0.5 * (1.0 + jnp.cos(jnp.pi * done)))

    return schedule


def make_optimizer(config: OptimConfig, num_steps: int, params: Any) -> tuple[optax.GradientTransformation, Schedule]:
    """Returns the optimizer that `config` asks for, and its schedule.

    Args:
      config: Which, and how.
      num_steps: Length of the run, for `cosine`.
      params: The parameters, or their shapes: decay goes to matrices only, Muon to the matrices of the stacks (the
        embedding and the head get AdamW), and `z_l_init` is never updated.
    """
    schedule = make_schedule(config, num_steps)
    labels = jax.tree_util.tree_map_with_path(_label, params)
    transforms = {
        "hidden": _inner(config, schedule, muon=config.name == "muon"),
        "table": _inner(config, schedule, muon=False),
        "vector": _inner(config, schedule, muon=False, decay=0.0),
        "frozen": optax.set_to_zero(),
    }
    used = set(jax.tree.leaves(labels))
    chosen = optax.partition({label: tx for label, tx in transforms.items() if label in used}, labels)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    return optax.chain(clip, chosen), schedule


def _inner(config: OptimConfig, schedule: Schedule, *, muon: bool, decay: float | None = None) -> Any:
    decay = config.weight_decay if decay is None else decay
    if muon:
        return optax.contrib.muon(
            schedule,
            beta=config.b2,
            weight_decay=decay,
            muon_weight_dimension_numbers=lambda params: jax.tree_util.tree_map_with_path(_as_matrix, params),
            # The RMS of AdamW's updates, so that one learning rate serves both (Liu et al., arXiv 2502.16982).
            consistent_rms=0.2,
        )
    if config.name == "adam_atan2":
        direction = scale_by_adam_atan2(config.b1, config.b2)
    else:
        direction = optax.scale_by_adam(config.b1, config.b2)
    return optax.chain(direction, optax.add_decayed_weights(decay), optax.scale_by_learning_rate(schedule))


def _as_matrix(path: tuple[Any, ...], leaf: Any) -> optax.contrib.MuonDimensionNumbers:
    """Says which axes of a hidden leaf are inputs and outputs; before them may be one of stacked layers."""
    del leaf
    names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    outputs = 3 if "gqkv" in names else 2 if "gate_up" in names else 1
    return optax.contrib.MuonDimensionNumbers((-outputs - 1,), tuple(range(-outputs, 0)))


def _label(path: tuple[Any, ...], leaf: Any) -> str:
    if is_frozen(path):
        return "frozen"
    if leaf.ndim < 2:
        return "vector"
    names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    return "table" if {"embed", "head"} & set(names) else "hidden"
