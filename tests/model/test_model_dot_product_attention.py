"""Attention's hand-written backward pass, and attention in two parts, against plain mathematics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hrm_codegen.model.dot_product_attention import attend, attend_to_two


def draw(seed: int, *shape: int, dtype: str = "float32") -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def plain_attention(q, k, v, mask):
    scores = jnp.where(mask, jnp.einsum("bnth,bnsh->bnts", q, k) / jnp.sqrt(q.shape[-1]), -jnp.inf)
    return jnp.einsum("bnts,bnsh->bnth", jax.nn.softmax(scores, axis=-1), v)


def attention_inputs(dtype: str = "float32"):
    q, k, v = (draw(seed, 2, 3, length, 4, dtype=dtype) for seed, length in ((0, 5), (1, 9), (2, 9)))
    mask = (jax.random.uniform(jax.random.key(3), (2, 1, 5, 9)) < 0.5).at[..., 0].set(True).at[..., 8].set(False)
    return q, k, v, mask


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
