"""What lies between a block's products, forward and backward, against the equations differentiated by jax."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen.model.apart import apart, fused
from hrm_codegen.model.gates import gated_down, gated_out, split_heads

# The large ones are programs of their own on a CPU, the small ones are not.
LENGTHS = pytest.mark.parametrize("length", [5, 160])
BATCH, HEADS, SIZE, INNER, WIDTH = 2, 3, 8, 24, 20


def draw(seed: int, *shape: int, dtype: str = "float32") -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def agree(ours, theirs, operands: list[jax.Array], tolerance: float = 1e-5) -> None:
    """Compares values and gradients of two functions."""
    out, pull = jax.vjp(ours, *operands)
    wide = [x.astype("float32") for x in operands]
    expected, expected_pull = jax.vjp(theirs, *wide)
    grads = jax.tree.map(lambda x: draw(9, *x.shape, dtype=x.dtype), out)
    wide_grads = jax.tree.map(lambda x: x.astype("float32"), grads)
    found = (out, pull(grads))
    assert [x.dtype for x in jax.tree.leaves(found)] == [operands[0].dtype] * len(jax.tree.leaves(found))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves((expected, expected_pull(wide_grads))), strict=True):
        scale = float(jnp.abs(other).max())
        np.testing.assert_allclose(one.astype("float32"), other, atol=tolerance * scale)


def angles(length: int) -> tuple[jax.Array, jax.Array]:
    turns = draw(5, BATCH, length, 1, SIZE // 2)
    turns = jnp.concatenate([turns, turns], axis=-1)
    return jnp.cos(turns), jnp.sin(turns)


def complex_rotation(x, cos, sin):
    """A pair (i, i + H/2) as a complex number, times `cos + i sin`."""
    half = SIZE // 2
    turned = jax.lax.complex(x[..., :half], x[..., half:]) * jax.lax.complex(cos[..., :half], sin[..., :half])
    return jnp.concatenate([turned.real, turned.imag], axis=-1)


@LENGTHS
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_heads_are_taken_apart_and_rotated(length: int, dtype: str, tolerance: float) -> None:
    cos, sin = angles(length)

    def plain(packed):
        gate, q, k, v = (packed[:, :, part] for part in range(4))
        rotated = [complex_rotation(x, cos, sin) for x in (q, k)]
        return gate, *(x.transpose(0, 2, 1, 3) for x in (*rotated, v))

    packed = draw(0, BATCH, length, 4, HEADS, SIZE, dtype=dtype)
    agree(lambda packed: split_heads(packed, cos, sin), plain, [packed], tolerance)


@LENGTHS
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_attention_is_gated_and_multiplied(length: int, dtype: str, tolerance: float) -> None:
    def plain(gate, mixed, weight):
        return jnp.einsum("btnh,bnth,nhd->btd", 1 / (1 + jnp.exp(-gate)), mixed, weight)

    gate = draw(0, BATCH, length, HEADS, SIZE, dtype=dtype)
    mixed, weight = draw(1, BATCH, HEADS, length, SIZE, dtype=dtype), draw(2, HEADS, SIZE, WIDTH, dtype=dtype)
    agree(gated_out, plain, [gate, mixed, weight], tolerance)


@LENGTHS
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_swiglu_is_multiplied(length: int, dtype: str, tolerance: float) -> None:
    def plain(packed, weight):
        gate, up = packed[:, :, 0], packed[:, :, 1]
        return gate / (1 + jnp.exp(-gate)) * up @ weight

    packed, weight = draw(0, BATCH, length, 2, INNER, dtype=dtype), draw(1, INNER, WIDTH, dtype=dtype)
    agree(gated_down, plain, [packed, weight], tolerance)


def loops(function, *args: jax.Array) -> int:
    """Counts the loops and calls of the compiled program's outermost level."""
    text = jax.jit(function).lower(*args).compile().as_text()
    entry = text[text.index("ENTRY") :]
    return sum(f" {kind}(" in line for line in entry.splitlines() for kind in ("fusion", "call"))


def test_apart_is_not_fused_if_large() -> None:
    double = apart(lambda x: jnp.where(x > 0, 2 * x, x))  # `where` is a function of its own, and stays a part

    def program(x):
        return jnp.sin(double(jnp.cos(x)))

    large, small = jnp.ones((128, 128)), jnp.ones((8, 8))
    assert loops(program, large) == 3
    assert loops(program, small) == 1
    text = jax.jit(program).lower(large).compile().as_text()
    assert text.count(" call(") == 1


def test_apart_does_nothing_for_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_apart() -> bool:
        return "inlineable" in jax.jit(apart(jnp.sin)).lower(jnp.ones((128, 128))).as_text()

    assert is_apart()
    with fused():
        assert not is_apart()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert not is_apart()
