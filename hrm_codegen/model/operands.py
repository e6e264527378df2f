"""Rounding what a train step multiplies with its weights to bfloat16, where activations are float32.

Why: CPUs with AVX512-BF16 or AMX multiply bfloat16 twice as fast and more, and add up in float32, which loses little:
it is what accelerators do. Everything between the products stays float32, because CPUs have no arithmetic for less.

Why not `jax.default_matmul_precision`: XLA on CPU computes in float32 whatever that says. Why not everywhere: XLA on
CPU compiles a product of bfloat16 whose left operand it has to turn around, and then cannot run it. What is large comes
turned around already (`apart.py`); the rest is rounded and multiplied as float32: the same result, and not slow.
"""

from __future__ import annotations

import contextvars
import functools
from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from hrm_codegen.model.apart import for_cpu, is_apart
from hrm_codegen.model.scopes import scope

_ROUNDED: contextvars.ContextVar[bool] = contextvars.ContextVar("rounded", default=False)


def rounded_operands(wanted: bool) -> AbstractContextManager[None]:
    """Rounds float32 operands of products with weights in all that is traced inside; with False nothing is."""
    return scope(_ROUNDED, wanted)


def as_multiplied(left: Array, right: Array) -> tuple[Array, Array]:
    """Returns the operands of a product as they are to be multiplied: sums have to be float32 if they were."""
    if not _ROUNDED.get() or left.dtype != jnp.float32 or right.dtype != jnp.float32:
        return left, right
    if not for_cpu() or (is_apart(left) and is_apart(right) and _runs_on_cpu()):
        return left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
    return _rounded(left), _rounded(right)


def rounds_on_cpu() -> bool:
    """Says whether operands are rounded in what is traced, for a CPU."""
    return _ROUNDED.get() and for_cpu()


def _rounded(x: Array) -> Array:
    # Not by converting there and back, which the compiler may leave out.
    bits = jnp.finfo(jnp.bfloat16)
    return jax.lax.reduce_precision(x, bits.nexp, bits.nmant)


@functools.cache
def _runs_on_cpu() -> bool:
    """Says whether XLA on this CPU has a product of bfloat16 with sums in float32; without, it fails when it runs."""
    x = np.ones((16, 16), jnp.bfloat16)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        product = jax.jit(lambda x: jax.lax.dot(x, x, preferred_element_type=jnp.float32)).lower(x).compile()
        try:
            return bool(np.all(np.asarray(product(x)) == 16.0))
        except jax.errors.JaxRuntimeError:
            return False
