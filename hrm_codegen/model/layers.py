"""The stateless pieces of a block: norm, rotary embedding, initialisers, compute type.

Equations from HRM-Text (arXiv 2605.20613, section 2): parameterless RMSNorm, rotate-half RoPE, SwiGLU. Norms and
rotations are computed in float32 whatever the compute type.

Letters: B batch, T query positions, S key positions, D width, F feed-forward width, N heads, H head size, V vocabulary.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.model.gates import gated_down
from hrm_codegen.model.matrices import read
from hrm_codegen.model.products import project


def _compiled(initializer: Callable[..., Array]) -> Callable[..., Array]:
    """Returns it as one program a shape: its dozen of operations, each a program, make starting slower."""
    return jax.jit(initializer, static_argnums=(1, 2))


# A [fan_in, fan_out] matrix with standard deviation 1 / sqrt(fan_in), truncated at two sigma and corrected for it.
matrix_init = _compiled(jax.nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal"))
# A [V, D] table whose rows have standard deviation 1 / sqrt(D): multiplied by sqrt(D) they have unit variance.
embed_init = _compiled(jax.nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", in_axis=1, out_axis=0))
state_init = _compiled(jax.nn.initializers.truncated_normal(1.0))


def compute_dtype(config: ModelConfig) -> jnp.dtype:
    """Returns the type of activations: as configured, or by platform (CPUs have no arithmetic for bfloat16)."""
    if config.dtype != "auto":
        return jnp.dtype(config.dtype)
    return jnp.dtype("float32" if jax.default_backend() == "cpu" else "bfloat16")


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _rms_norm(x: Array, eps: float) -> Array:
    return _rms_norm_forward(x, eps)[0]


def _rms_norm_forward(x: Array, eps: float) -> tuple[Array, tuple[Array, Array]]:
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + eps)
    out = (wide * scale).astype(x.dtype)
    return out, (out, scale)


def _rms_norm_backward(eps: float, kept: tuple[Array, Array], grad: Array) -> tuple[Array]:
    """`dx = s (g - y mean(g y))`: needs the result, which the product after it keeps anyway, and not x."""
    del eps
    out, scale = (leaf.astype(jnp.float32) for leaf in kept)
    wide = grad.astype(jnp.float32)
    return ((scale * (wide - out * jnp.mean(wide * out, axis=-1, keepdims=True))).astype(grad.dtype),)


_rms_norm.defvjp(_rms_norm_forward, _rms_norm_backward)


def rms_norm(x: Float[Array, "*B D"], *, eps: float) -> Float[Array, "*B D"]:
    """Divides by the root mean square over the last axis; there is no gain to learn."""
    return _rms_norm(x, eps)


def rope_tables(
    positions: Int[Array, "B T"], *, head_dim: int, theta: float
) -> tuple[Float[Array, "B T 1 H"], Float[Array, "B T 1 H"]]:
    """Returns the cosines and sines of rotary embedding (arXiv 2104.09864), with an axis for the heads."""
    frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles = positions[:, :, None].astype(jnp.float32) * frequencies[None, None, :]
    angles = jnp.concatenate([angles, angles], axis=-1)[:, :, None, :]
    return jnp.cos(angles), jnp.sin(angles)


class Mlp(nnx.Module):
    """SwiGLU: `(silu(x W_gate) * (x W_up)) W_down`, gate and up in one product."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        inner = config.resolved_intermediate_dim
        gate_up = matrix_init(rngs.params(), (config.hidden_dim, 2 * inner), jnp.float32)
        self.gate_up = nnx.Param(gate_up.reshape(config.hidden_dim, 2, inner))
        self.down = nnx.Param(matrix_init(rngs.params(), (inner, config.hidden_dim), jnp.float32))

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Maps each position on its own."""
        packed = project("BTD,DCF->BTCF", x, read(self.gate_up, x.dtype, "gate_up"))
        return gated_down(packed, read(self.down, x.dtype, "down"))
