"""Products of few rows with tiled weights are the plain products, and one kernel each."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny import PRODUCTS

from hrm_codegen.config import ModelConfig
from hrm_codegen.model import init, merge, tiles
from hrm_codegen.model.products import project
from hrm_codegen.model.tiles import KERNEL, Tiled, kernel_exists, lay_out

CONFIG = ModelConfig(vocab_size=96, hidden_dim=64, num_heads=2, intermediate_dim=96, layers_per_stack=2, l_cycles=1)


@pytest.mark.parametrize(("equation", "name", "shape"), PRODUCTS)
@pytest.mark.parametrize("rows", [(2, 1), (1, 3), (5, 1)])
def test_a_tiled_product_is_the_plain_one(equation, name, shape, rows) -> None:
    weight = jax.random.normal(jax.random.key(1), shape)
    leaf = weight.reshape(-1, shape[-1]) if name == "out" else weight
    x = jax.random.normal(jax.random.key(2), rows + shape[: -1 if name in ("out", "down") else 1])
    tiled = tiles._laid_out(nnx.State({name: leaf}))[name]
    assert isinstance(tiled, Tiled)
    np.testing.assert_allclose(
        project(equation, x, tiled), jnp.einsum(equation, x, weight, precision="highest"), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("scan_layers", [False, True])
def test_every_matrix_is_laid_out_and_nothing_else(scan_layers) -> None:
    _, params = init(dataclasses.replace(CONFIG, scan_layers=scan_layers), jax.random.key(0))
    laid_out = tiles._laid_out(params)
    found = jax.tree.leaves_with_path(laid_out, is_leaf=lambda leaf: isinstance(leaf, Tiled))
    plain = {path[0].key for path, leaf in found if not isinstance(leaf, Tiled)}
    assert plain == {"embed", "z_l_init"}


def test_a_matrix_of_other_widths_stays() -> None:
    leaf = jnp.ones((8, 40))
    assert tiles._laid_out(nnx.State({"head": leaf}))["head"].shape == leaf.shape


def test_bfloat16_activations_stay_bfloat16() -> None:
    tiled = tiles._laid_out(nnx.State({"down": jnp.ones((8, 32))}))["down"]
    out = project("BTF,FD->BTD", jnp.ones((2, 1, 8), jnp.bfloat16), tiled)
    assert out.dtype == jnp.bfloat16
    assert project("BTF,FD->BTD", jnp.ones((2, 1, 8), jnp.bfloat16), tiled, jnp.float32).dtype == jnp.float32


def test_without_the_kernel_parameters_stay(monkeypatch) -> None:
    _, params = init(CONFIG, jax.random.key(0))
    monkeypatch.setattr(tiles, "kernel_exists", lambda: False)
    assert lay_out(params) is params


@pytest.mark.skipif(not kernel_exists(), reason="this XLA has no such kernel")
@pytest.mark.parametrize("rows", [2, 3, 8])
def test_every_product_of_a_step_is_one_kernel(rows) -> None:
    graphdef, params = init(CONFIG, jax.random.key(0))
    slots = 32
    cache = jax.eval_shape(
        lambda: merge(graphdef, params).prefill(jnp.ones((rows, 8), int), jnp.ones(rows, int), cache_len=slots)[1]
    )

    @jax.jit
    def step(weights, cache):
        model, ones = merge(graphdef, weights), jnp.ones(rows, int)
        return model.decode_step(ones, ones, cache, slot=jnp.asarray(8), key_mask=jnp.ones((rows, slots), bool))

    text = step.lower(lay_out(params), cache).compile().as_text()
    sums, kernels, computation = set(), set(), ""
    for line in text.splitlines():
        if header := re.match(r"%(\S+) \(", line):
            computation = header[1]
        if re.search(rf"= f32\[{rows},\d+,(64|96),(32|64)\]\S* multiply\(", line):
            sums.add(computation)
        if KERNEL in line and (called := re.search(r"calls=%(\S+),", line)):
            kernels.add(called[1])
    passes = CONFIG.h_cycles * (CONFIG.l_cycles + 1)
    assert len(sums) == passes * CONFIG.layers_per_stack * 4 + 1
    assert sums <= kernels
