"""The hand-written backward passes, and attention in two parts, against plain mathematics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen.model.operands import rounded_operands
from hrm_codegen.model.products import attend, attend_to_two, project

SIZES = {"B": 2, "T": 7, "D": 6, "C": 2, "F": 5, "N": 3, "H": 4, "V": 11}
LARGE = {"B": 2, "T": 64, "D": 160, "C": 2, "F": 160, "N": 4, "H": 32, "V": 192}
EQUATIONS = ["BTD,DCF->BTCF", "BTD,DCNH->BTCNH", "BTF,FD->BTD", "BTNH,NHD->BTD", "BTD,DV->BTV"]


def draw(seed: int, *shape: int, dtype: str = "float32") -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def plain_attention(q, k, v, mask):
    scores = jnp.where(mask, jnp.einsum("bnth,bnsh->bnts", q, k) / jnp.sqrt(q.shape[-1]), -jnp.inf)
    return jnp.einsum("bnts,bnsh->bnth", jax.nn.softmax(scores, axis=-1), v)


def attention_inputs(dtype: str = "float32"):
    q, k, v = (draw(seed, 2, 3, length, 4, dtype=dtype) for seed, length in ((0, 5), (1, 9), (2, 9)))
    mask = (jax.random.uniform(jax.random.key(3), (2, 1, 5, 9)) < 0.5).at[..., 0].set(True).at[..., 8].set(False)
    return q, k, v, mask


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


def test_attention_has_the_values_and_gradients_of_softmax() -> None:
    q, k, v, mask = attention_inputs()
    out, pull = jax.vjp(lambda *qkv: attend(*qkv, mask), q, k, v)
    expected, expected_pull = jax.vjp(lambda *qkv: plain_attention(*qkv, mask), q, k, v)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    grad = draw(4, *out.shape)
    for ours, theirs in zip(pull(grad), expected_pull(grad), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_attention_in_bfloat16_is_near_that_in_float32() -> None:
    q, k, v, mask = attention_inputs("bfloat16")
    out, pull = jax.vjp(lambda *qkv: attend(*qkv, mask), q, k, v)
    wide = [x.astype("float32") for x in (q, k, v)]
    expected, expected_pull = jax.vjp(lambda *qkv: plain_attention(*qkv, mask), *wide)
    assert out.dtype == "bfloat16"
    np.testing.assert_allclose(out, expected, atol=0.03)
    for ours, theirs in zip(pull(out), expected_pull(out.astype("float32")), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.1)


def test_rows_and_heads_may_be_one_axis() -> None:
    q, k, v, mask = attention_inputs()
    merged = attend(*(x.reshape(-1, *x.shape[2:]) for x in (q, k, v)), jnp.repeat(mask[:, 0], 3, axis=0))
    np.testing.assert_allclose(merged.reshape(q.shape), attend(q, k, v, mask), atol=1e-6)


def test_hidden_keys_count_for_nothing_and_get_no_gradient() -> None:
    q, k, v, mask = attention_inputs()
    seen = jnp.any(mask, axis=(1, 2))[:, None, :, None]
    far = jnp.where(seen, v, 1e6)
    np.testing.assert_array_equal(attend(q, k, far, mask), attend(q, k, jnp.where(seen, v, 0.0), mask))
    grads = jax.grad(lambda k, v: jnp.sum(attend(q, k, v, mask)), (0, 1))(k, v)
    for grad in grads:
        assert not jnp.any(jnp.where(seen, 0.0, grad))


def test_no_array_of_queries_times_keys_is_kept() -> None:
    q, k, v, mask = attention_inputs()
    kept = jax.tree.leaves(jax.vjp(lambda *qkv: attend(*qkv, mask), q, k, v)[1])
    assert max(leaf.size for leaf in kept if leaf.dtype == "float32") == k.size  # T S N would be larger


def test_attention_to_two_sets_of_keys_is_that_to_all_of_them() -> None:
    prompts, group, heads, size, lengths = 2, 3, 2, 8, (5, 4)
    rows = prompts * group
    keys = iter(jax.random.split(jax.random.key(3), 5))
    q = 3 * jax.random.normal(next(keys), (rows * heads, 1, size))
    prompt = [jax.random.normal(next(keys), (prompts, heads, lengths[0], size)) for _ in "kv"]
    own = [jax.random.normal(next(keys), (rows, heads, lengths[1], size)) for _ in "kv"]
    prompt_mask = jnp.arange(lengths[0])[None] < jnp.array([[5], [2]])
    own_mask = jnp.arange(lengths[1])[None] < jnp.array([[1], [2], [3], [4], [1], [2]])

    repeated = [jnp.repeat(x, group, axis=0) for x in prompt]
    k, v = (jnp.concatenate(pair, axis=2).reshape(rows * heads, -1, size) for pair in zip(repeated, own, strict=True))
    mask = jnp.concatenate([jnp.repeat(prompt_mask, group, axis=0), own_mask], axis=1)
    expected = attend(q, k, v, jnp.repeat(mask, heads, axis=0)[:, None])

    def by_head(x):
        return jnp.repeat(x, heads, axis=0)[:, None]

    def merged(pair):
        return tuple(x.reshape(-1, *x.shape[2:]) for x in pair)

    got = attend_to_two(q, merged(own), by_head(own_mask), merged(prompt), by_head(prompt_mask), heads=heads)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
