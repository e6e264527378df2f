"""Products with weights, and their hand-written backward passes, against plain mathematics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen.model.operands import rounded_operands
from hrm_codegen.model.products import project

SIZES = {"B": 2, "T": 7, "D": 6, "C": 2, "F": 5, "N": 3, "H": 4, "V": 11}
LARGE = {"B": 2, "T": 64, "D": 160, "C": 2, "F": 160, "N": 4, "H": 32, "V": 192}
EQUATIONS = ["BTD,DCF->BTCF", "BTD,DCNH->BTCNH", "BTF,FD->BTD", "BTNH,NHD->BTD", "BTD,DV->BTV"]


def draw(seed: int, *shape: int, dtype: str = "float32") -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, dtype)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_project_has_the_gradients_of_einsum(equation: str) -> None:
    left, right = equation.split("->")[0].split(",")
    x, weight = (draw(seed, *(SIZES[letter] for letter in part)) for seed, part in enumerate((left, right)))
    out, pull = jax.vjp(lambda *operands: project(equation, *operands), x, weight)
    _, expected_pull = jax.vjp(lambda *operands: jnp.einsum(equation, *operands), x, weight)
    exact = np.einsum(equation, *(np.asarray(operand, "float64") for operand in (x, weight)))
    np.testing.assert_allclose(out, exact, rtol=1e-6, atol=1e-6)
    grad = draw(9, *out.shape)
    for ours, theirs in zip(pull(grad), expected_pull(grad), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("sizes", [SIZES, LARGE], ids=["small", "large"])
def test_rounded_operands_are_multiplied_exactly_and_summed_in_float32(sizes: dict[str, int], equation: str) -> None:
    left, right = equation.split("->")[0].split(",")
    x, weight = (draw(seed, *(sizes[letter] for letter in part)) for seed, part in enumerate((left, right)))

    def both(x: jax.Array, weight: jax.Array, grad: jax.Array) -> tuple[jax.Array, ...]:
        out, pull = jax.vjp(lambda *operands: project(equation, *operands), x, weight)
        return out, *pull(grad)

    grad = draw(9, *jax.eval_shape(lambda *operands: project(equation, *operands), x, weight).shape)
    with rounded_operands(True):
        program = jax.jit(both).lower(x, weight, grad)
    # On a CPU only what is large enough is multiplied as bfloat16.
    assert ("xbf16>" in program.as_text()) == (sizes is LARGE)
    found = program.compile()(x, weight, grad)
    for ours, exact in zip(found, both(rounded(x), rounded(weight), rounded(grad)), strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-4)
    assert np.max(np.abs(found[0] - project(equation, x, weight))) > 1e-3


def rounded(x: jax.Array) -> jax.Array:
    return x.astype(jnp.bfloat16).astype(jnp.float32)


def test_a_product_of_bfloat16_can_be_float32_and_its_gradients_are_not() -> None:
    x, weight = draw(0, 2, 7, 6, dtype="bfloat16"), draw(1, 6, 11, dtype="bfloat16")
    out, pull = jax.vjp(lambda *operands: project("BTD,DV->BTV", *operands, "float32"), x, weight)
    assert out.dtype == "float32"
    assert [grad.dtype for grad in pull(out)] == ["bfloat16", "bfloat16"]
