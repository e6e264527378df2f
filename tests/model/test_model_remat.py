"""Gradient checkpointing: the same gradients, for less memory the more is recomputed."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_codegen.config import ModelConfig
from hrm_codegen.model import init, merge
from hrm_codegen.parallel.activations import compiler_options

CONFIG = ModelConfig(
    vocab_size=32, hidden_dim=64, num_heads=4, intermediate_dim=256, layers_per_stack=2, h_cycles=1, l_cycles=2
)
POLICIES = {
    "none": {},
    "elementwise": {"gradient_checkpointing": True, "remat_policy": "elementwise"},
    "all": {"gradient_checkpointing": True},
}


@functools.cache
def gradient(policy: str):
    """Returns the gradients of a loss, and the bytes of temporaries that they take."""
    config = dataclasses.replace(CONFIG, **POLICIES[policy])
    graphdef, params = init(config, jax.random.key(0))
    tokens = jax.random.randint(jax.random.key(1), (4, 128), 0, 32)

    def loss(params):
        return jnp.mean(jax.nn.logsumexp(merge(graphdef, params)(tokens, bp_passes=3), axis=-1))

    compiled = jax.jit(jax.grad(loss)).lower(params).compile(compiler_options(None))
    return compiled(params), compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("policy", ["elementwise", "all"])
def test_gradients_are_the_same(policy: str) -> None:
    expected, _ = gradient("none")
    for ours, theirs in zip(jax.tree.leaves(gradient(policy)[0]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_more_is_recomputed_the_less_is_kept() -> None:
    none, elementwise, everything = (gradient(policy)[1] for policy in POLICIES)
    assert everything < elementwise < none
