"""What a block does between its products: heads apart and rotated, gates applied, with backward passes of their own.

Why not autodiff's: these are many small loops that read memory and little else, and a CPU runs them well only if each
goes along the layout of what it reads and writes (`apart.py`). Here their forward and backward passes are such loops;
what is computed is the same. Only reverse mode is supported.

Letters: B batch, T positions, D width, F feed-forward width, N heads, H head size.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_codegen.model.apart import apart
from hrm_codegen.model.matrices import LaidOut
from hrm_codegen.model.products import contract, gradient_of_rows, gradient_of_weight, project

_OUT, _DOWN = "BTNH,NHD->BTD", "BTF,FD->BTD"
Heads = tuple[Float[Array, "B T N H"], Float[Array, "B N T H"], Float[Array, "B N T H"], Float[Array, "B N T H"]]


def _rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Rotates the pairs (i, i + H/2) of each head by its position's angles, in float32 (arXiv 2104.09864).

    Args:
      x: Queries or keys, [..., H].
      cos: Cosines, of a shape that broadcasts to that of `x` (unchecked: exported programs have unknown sizes).
      sin: Sines.

    Returns:
      The halves of each head, [..., 2, H / 2]: as one axis, the loop would be cut in two at its middle.
    """
    wide, cos, sin = (_halves(leaf.astype(jnp.float32)) for leaf in (x, cos, sin))
    # The other half of each pair, by turning the axis of halves around.
    other = jax.lax.rev(wide, (wide.ndim - 2,))
    sign = jnp.array([-1.0, 1.0]).reshape(*(1 for _ in x.shape[:-1]), 2, 1)
    return (wide * cos + sign * other * sin).astype(x.dtype)


@jax.custom_vjp
def split_heads(packed: Float[Array, "B T 4 N H"], cos: Float[Array, "B T 1 H"], sin: Float[Array, "B T 1 H"]) -> Heads:
    """Returns gate, rotated query, rotated key and value; all but the gate with the heads before the positions."""
    return _split_heads(packed, cos, sin)[0]


def _split_heads(packed: Array, cos: Array, sin: Array) -> tuple[Heads, tuple[Array, Array]]:
    q, k = (_joined(x) for x in _rotated_by_head(packed, cos, sin))
    return (packed[:, :, 0], q, k, _values_by_head(packed)), (cos, sin)


def _merge_heads(kept: tuple[Array, Array], grads: Heads) -> tuple[Array, None, None]:
    return _joined(_merged(*grads, *kept)), None, None


split_heads.defvjp(_split_heads, _merge_heads)


@apart
def _rotated_by_head(packed: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
    q, k, cos, sin = (jnp.moveaxis(leaf, 2, 1) for leaf in (packed[:, :, 1], packed[:, :, 2], cos, sin))
    return _rotate(q, cos, sin), _rotate(k, cos, sin)


@apart
def _values_by_head(packed: Array) -> Float[Array, "B N T H"]:
    return jnp.moveaxis(packed[:, :, 3], 2, 1)


@apart
def _merged(gate: Array, q: Array, k: Array, v: Array, cos: Array, sin: Array) -> Float[Array, "B T 4 N 2 C"]:
    """Their gradients side by side, those of query and key rotated back."""
    q, k, v = (jnp.moveaxis(leaf, 1, 2) for leaf in (q, k, v))
    return jnp.stack([_halves(gate), _rotate(q, cos, -sin), _rotate(k, cos, -sin), _halves(v)], axis=2)


def gated_out(gate: Float[Array, "B T N H"], mixed: Float[Array, "B N T H"], weight: Any) -> Float[Array, "B T D"]:
    """Returns the output of attention: `(sigmoid(gate) * mixed) weight`; the weight is [N, H, D]."""
    if isinstance(weight, LaidOut):  # for a few tokens: nothing to take apart
        return project(_OUT, jax.nn.sigmoid(gate) * jnp.moveaxis(mixed, 1, 2), weight)
    return _out_of(gate, mixed, weight)


@jax.custom_vjp
def _out_of(gate: Array, mixed: Array, weight: Array) -> Array:
    return _gated_out(gate, mixed, weight)[0]


def _gated_out(gate: Array, mixed: Array, weight: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    # Heads as one axis: a loop over a head alone is short.
    gated = _times(_sigmoid(_flat(gate)), _flat(_exchanged(mixed)))
    return contract(_OUT, gated.reshape(gate.shape), weight), (gate, mixed, weight)


def _gated_out_backward(kept: tuple[Array, Array, Array], grad: Array) -> tuple[Array, Array, Array]:
    gate, mixed, weight = kept
    opened, flat, gated = _gated_again(_flat(gate), mixed)
    grad_weight = gradient_of_weight(_OUT, gated.reshape(gate.shape), grad, weight.dtype)
    grad_gate, grad_mixed = _gate_gradients(opened, flat, _flat(gradient_of_rows(_OUT, weight, grad)))
    return grad_gate.reshape(gate.shape), _exchanged(grad_mixed.reshape(gate.shape)), grad_weight


_out_of.defvjp(_gated_out, _gated_out_backward)


@apart
def _sigmoid(x: Array) -> Array:
    return jax.nn.sigmoid(x)


@apart
def _times(left: Array, right: Array) -> Array:
    return left * right


@apart
def _exchanged(x: Array) -> Array:
    """Heads before positions become positions before heads, and the other way around."""
    return jnp.swapaxes(x, 1, 2)


@apart
def _gated_again(gate: Float[Array, "B T F"], mixed: Float[Array, "B N T H"]) -> tuple[Array, Array, Array]:
    """What the forward pass computed. In one program: XLA would take equal ones for one, and keep its results."""
    opened, flat = _sigmoid(gate), _flat(_exchanged(mixed))
    return opened, flat, _times(opened, flat)


@apart
def _gate_gradients(opened: Array, mixed: Array, grad: Array) -> tuple[Array, Array]:
    return grad * mixed * (opened * (1 - opened)), grad * opened


def gated_down(packed: Float[Array, "B T 2 F"], weight: Any) -> Float[Array, "B T D"]:
    """Returns the output of a SwiGLU layer: `(silu(gate) * up) weight` (arXiv 2002.05202); the weight is [F, D]."""
    if isinstance(weight, LaidOut):
        return project(_DOWN, jax.nn.silu(packed[:, :, 0]) * packed[:, :, 1], weight)
    return _down_of(packed, weight)


@jax.custom_vjp
def _down_of(packed: Array, weight: Array) -> Array:
    return _gated_down(packed, weight)[0]


def _gated_down(packed: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    return contract(_DOWN, _swiglu(packed, _opened(packed)), weight), (packed, weight)


def _gated_down_backward(kept: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    packed, weight = kept
    opened, hidden = _swiglu_again(packed)
    grad_weight = gradient_of_weight(_DOWN, hidden, grad, weight.dtype)
    return _swiglu_gradient(packed, opened, gradient_of_rows(_DOWN, weight, grad)), grad_weight


_down_of.defvjp(_gated_down, _gated_down_backward)


@apart
def _opened(packed: Array) -> Array:
    return jax.nn.sigmoid(packed[:, :, 0])


@apart
def _swiglu(packed: Array, opened: Array) -> Array:
    return packed[:, :, 0] * opened * packed[:, :, 1]


@apart
def _swiglu_again(packed: Array) -> tuple[Array, Array]:
    """As `_gated_again`."""
    opened = _opened(packed)
    return opened, _swiglu(packed, opened)


@apart
def _swiglu_gradient(packed: Array, opened: Array, grad: Array) -> Array:
    """The gradients of gate and up side by side, in one loop over both."""
    gate, up = packed[:, :, :1], packed[:, :, 1:]
    opened, grad = opened[:, :, None], grad[:, :, None]
    of_gate = jnp.array([True, False])[None, None, :, None]
    return grad * jnp.where(of_gate, up * (opened + gate * opened * (1 - opened)), gate * opened)


def _flat(x: Float[Array, "B T N H"]) -> Float[Array, "B T F"]:
    return x.reshape(*x.shape[:2], -1)


def _halves(x: Float[Array, "*G H"]) -> Float[Array, "*G 2 C"]:
    return x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2)


def _joined(x: Float[Array, "*G 2 C"]) -> Float[Array, "*G H"]:
    return x.reshape(*x.shape[:-2], -1)
