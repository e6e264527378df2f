"""The train step and the eval step: pure functions under `jax.jit`.

Gradients of token *sums* are added up over microbatches and divided once by the number of tokens that count in the
global batch, so that neither `grad_accum` nor the mesh changes the result. A step whose loss or gradient is not
finite leaves the state as it was and says so in its metrics; raising is the caller's part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hrm_codegen.config import Config
from hrm_codegen.model import merge
from hrm_codegen.model.operands import rounded_operands
from hrm_codegen.parallel.activations import compiler_options, constrained, mesh_of
from hrm_codegen.training.losses import TokenSums, token_sums
from hrm_codegen.training.optimizer import Schedule
from hrm_codegen.training.state import TrainState
from hrm_codegen.typing import Batch

Metrics = dict[str, jax.Array]


def make_train_step(
    graphdef: Any,
    tx: optax.GradientTransformation,
    schedule: Schedule,
    config: Config,
    *,
    state_shardings: Any = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Returns `step(state, batch, *, bp_passes) -> (state, metrics)`, compiled once for each `bp_passes`.

    `state` is donated. The metrics are device scalars: loss (nats a token), accuracy, grad_norm, lr, num_tokens
    (inputs that are not padding), num_targets (tokens that count in the loss), finite (1, or 0 if the update was
    skipped).

    Args:
      graphdef: Static half of the model.
      tx: The optimizer.
      schedule: Its learning rate, for the metrics.
      config: `train.grad_accum`, `train.matmul_dtype` and `optim.ema_decay` are read.
      state_shardings: Tree of shardings of the new state; None: where the compiler puts it.
    """
    grad_accum, decay = config.train.grad_accum, config.optim.ema_decay
    mesh = mesh_of(state_shardings)

    def step(state: TrainState, batch: Batch, *, bp_passes: int | None) -> tuple[TrainState, Metrics]:
        with constrained(mesh), rounded_operands(config.train.matmul_dtype == "bfloat16"):
            sums, grads = _summed_gradients(graphdef, state.params, batch, bp_passes=bp_passes, grad_accum=grad_accum)
        count = jnp.maximum(sums.num_targets, 1.0)
        grads = jax.tree.map(lambda grad: grad / count, grads)
        loss, grad_norm = sums.loss / count, optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = TrainState(
            step=state.step + 1,
            params=params,
            ema=_average(state.ema, params, state.step, decay),
            opt_state=opt_state,
        )
        new = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, state)
        metrics = {
            "loss": loss,
            "accuracy": sums.num_correct / count,
            "grad_norm": grad_norm,
            "lr": schedule(state.step),
            "num_tokens": jnp.sum(batch.segment_ids > 0, dtype=jnp.float32),
            "num_targets": sums.num_targets,
            "finite": finite.astype(jnp.float32),
        }
        return new, metrics

    return jax.jit(
        step,
        donate_argnums=0,
        static_argnames="bp_passes",
        out_shardings=(state_shardings, None),
        compiler_options=compiler_options(mesh),
    )


def make_eval_step(graphdef: Any, *, mesh: Mesh | None = None) -> Callable[[Any, Batch], TokenSums]:
    """Returns the compiled `step(params, batch) -> TokenSums` of a validation, on `mesh` if there is one."""

    @jax.jit
    def step(params: Any, batch: Batch) -> TokenSums:
        with constrained(mesh):
            return _forward(graphdef, params, batch, bp_passes=None)

    return step


def _forward(graphdef: Any, params: Any, batch: Any, *, bp_passes: int | None) -> TokenSums:
    logits = merge(graphdef, params)(
        batch.tokens,
        positions=batch.positions,
        segment_ids=batch.segment_ids,
        prefix_mask=batch.prefix_mask,
        bp_passes=bp_passes,
    )
    return token_sums(logits, batch.targets, batch.loss_mask)


def _summed_gradients(
    graphdef: Any, params: Any, batch: Batch, *, bp_passes: int | None, grad_accum: int
) -> tuple[TokenSums, Any]:
    """Returns the sums over the global batch and the gradient of the summed loss."""

    def loss_sum(params: Any, microbatch: Batch) -> tuple[jax.Array, TokenSums]:
        sums = _forward(graphdef, params, microbatch, bp_passes=bp_passes)
        return sums.loss, sums

    grad_fn = jax.grad(loss_sum, has_aux=True)
    if grad_accum == 1:
        grads, sums = grad_fn(params, batch)
        return sums, grads

    def split(x: jax.Array) -> jax.Array:
        # Strided, not contiguous: every device keeps its own rows, and no microbatch is left on a few of them.
        return x.reshape(x.shape[0] // grad_accum, grad_accum, *x.shape[1:]).swapaxes(0, 1)

    def body(carry: tuple[TokenSums, Any], microbatch: Batch) -> tuple[tuple[TokenSums, Any], None]:
        grads, sums = grad_fn(params, microbatch)
        return jax.tree.map(jnp.add, carry, (sums, grads)), None

    zero = TokenSums(*(jnp.zeros([]) for _ in TokenSums._fields))
    start = (zero, jax.tree.map(jnp.zeros_like, params))
    return jax.lax.scan(body, start, jax.tree.map(split, batch))[0]


def _average(ema: Any, params: Any, step: jax.Array, decay: float) -> Any:
    """Moves the average towards `params`, faster at first: `d_t = min(d, (1 + t) / (10 + t))`."""
    if ema is None:
        return None
    warm = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: warm * old + (1.0 - warm) * new, ema, params)
