"""Rounded weights are as near as eight bits allow, and one row is multiplied with just them."""

from __future__ import annotations

import collections
import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny import PRODUCTS

from hrm_codegen.config import ModelConfig
from hrm_codegen.model import init, merge, slabs
from hrm_codegen.model.products import project
from hrm_codegen.model.rounding import LARGEST, round_matrices, rounded, to_bytes
from hrm_codegen.model.slabs import Slabs, bytes_pay, is_for_one, lay_out_for_one, loop_exists

CONFIG = ModelConfig(vocab_size=96, hidden_dim=64, num_heads=2, intermediate_dim=96, layers_per_stack=2, l_cycles=1)


def test_each_weight_is_at_most_half_a_step_away() -> None:
    matrix = jax.random.normal(jax.random.key(0), (3, 40, 7))
    steps = np.abs(np.asarray(matrix)).max(axis=1, keepdims=True) / LARGEST
    assert (jnp.abs(rounded(matrix) - matrix) <= 0.5001 * steps).all()
    numbers, _ = to_bytes(matrix)
    assert (np.abs(np.asarray(numbers, int)).max(axis=1) == LARGEST).all()  # each output uses its whole range


def test_rounding_twice_is_rounding_once() -> None:
    matrix = jax.random.normal(jax.random.key(1), (64, 512)) * jnp.exp(jax.random.normal(jax.random.key(2), (1, 512)))
    np.testing.assert_array_equal(to_bytes(rounded(matrix))[0], to_bytes(matrix)[0])


def test_an_output_without_weights_stays_zero() -> None:
    assert not rounded(jnp.zeros((8, 2))).any()


@pytest.mark.parametrize("scan_layers", [False, True])
def test_all_matrices_are_rounded_each_layer_by_itself(scan_layers) -> None:
    _, params = init(dataclasses.replace(CONFIG, scan_layers=scan_layers), jax.random.key(0))
    after = round_matrices(params)
    np.testing.assert_array_equal(after["embed"][...], params["embed"][...])
    layers = params["l_stack"]["layers"], after["l_stack"]["layers"]
    for layer in range(2):
        before_, after_ = (
            stack["mlp"]["down"][...][layer] if scan_layers else stack[layer]["mlp"]["down"][...] for stack in layers
        )
        np.testing.assert_allclose(after_, rounded(before_), rtol=1e-6)
        assert (np.asarray(after_) != np.asarray(before_)).mean() > 0.9


@pytest.mark.parametrize(("equation", "name", "shape"), PRODUCTS)
def test_a_product_with_bytes_is_that_with_the_rounded_weights(equation, name, shape) -> None:
    weight = jax.random.normal(jax.random.key(1), shape)
    leaf = weight.reshape(-1, shape[-1]) if name == "out" else weight
    x = jax.random.normal(jax.random.key(2), (1, 1, *shape[: -1 if name in ("out", "down") else 1]))
    params = round_matrices(nnx.State({name: leaf}))
    laid_out = lay_out_for_one(params)[name]
    assert isinstance(laid_out, Slabs)
    assert laid_out.numbers.dtype == jnp.int8
    expected = jnp.einsum(equation, x, params[name].reshape(shape), precision="highest")
    np.testing.assert_allclose(project(equation, x, laid_out), expected, rtol=1e-5, atol=1e-5)


def test_inputs_that_no_slabs_divide_stay() -> None:
    params = nnx.State({"head": jnp.ones((12, 40))})
    assert not is_for_one(lay_out_for_one(params))


def test_bytes_are_for_large_weights_where_the_compiler_makes_the_loop(monkeypatch) -> None:
    large = nnx.State({"head": jnp.zeros(slabs.LEAST_BYTES // 4)})
    assert bytes_pay(large) == loop_exists()
    assert not bytes_pay(nnx.State({"head": jnp.zeros(8)}))
    monkeypatch.setattr(slabs, "loop_exists", lambda: False)
    assert not bytes_pay(large)


@pytest.mark.skipif(not loop_exists(), reason="this XLA makes no such loop")
def test_every_product_of_a_step_is_one_loop_over_bytes() -> None:
    graphdef, params = init(CONFIG, jax.random.key(0))
    cache = jax.eval_shape(
        lambda: merge(graphdef, params).prefill(jnp.ones((1, 8), int), jnp.ones(1, int), cache_len=32)[1]
    )

    @jax.jit
    def step(weights, cache):
        model, ones = merge(graphdef, weights), jnp.ones(1, int)
        return model.decode_step(ones, ones, cache, slot=jnp.asarray(8), key_mask=jnp.ones((1, 32), bool))

    text = step.lower(lay_out_for_one(round_matrices(params)), cache).compile().as_text()
    parts, computation = collections.Counter(), ""
    for line in text.splitlines():
        if header := re.match(r"%(\S+) \(", line):
            computation = header[1]
        if re.search(r"= f32\[(8|12),\d+\]\S* convert\(", line):  # a slab of 64 or 96 inputs
            parts[computation] += 1
    passes = CONFIG.h_cycles * (CONFIG.l_cycles + 1)
    assert len(parts) == passes * CONFIG.layers_per_stack * 4 + 1
    assert set(parts.values()) == {slabs.SLABS}
