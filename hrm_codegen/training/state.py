"""`TrainState`: all that a train step reads and writes, and all that a checkpoint of arrays has to hold."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """A pytree of float32 arrays (and counters), or of their shapes or shardings: hence the untyped fields.

    Attributes:
      step: Optimizer steps done, int32 [].
      params: The weights that are trained.
      ema: Their moving average, which is evaluated and shipped; None without averaging.
      opt_state: Moments and counters of the optimizer.
    """

    step: Any
    params: Any
    ema: Any
    opt_state: Any

    @property
    def eval_params(self) -> Any:
        """The weights to evaluate and ship: the average if there is one."""
        return self.params if self.ema is None else self.ema


def create_state(params: Any, tx: optax.GradientTransformation, *, ema: bool) -> TrainState:
    """Returns the state before the first step.

    Everything in it is a fresh buffer: the train step donates its input, and must not take the caller's arrays along.
    """

    def copy(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)

    return TrainState(
        step=jnp.zeros([], jnp.int32),
        params=copy(params),
        ema=copy(params) if ema else None,
        opt_state=tx.init(params),
    )
