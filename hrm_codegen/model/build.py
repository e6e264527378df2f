"""Making models: initial parameters, their shapes alone, and the way back from parameters to a module."""

from __future__ import annotations

import math
from typing import Any

import jax
from flax import nnx

from hrm_codegen.config.schema import Config, ModelConfig
from hrm_codegen.model.hrm import HRM

FROZEN = "z_l_init"  # the one parameter that is never trained


def init(config: ModelConfig, key: jax.Array) -> tuple[nnx.GraphDef, nnx.State]:
    """Returns the static graph of a new model and its parameters, float32."""
    return nnx.split(HRM(config, rngs=nnx.Rngs(params=key)))


def abstract(config: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
    """Returns the same with shapes instead of arrays: no memory is taken, whatever the size."""
    return nnx.split(nnx.eval_shape(lambda: HRM(config, rngs=nnx.Rngs(params=0))))


def merge(graphdef: nnx.GraphDef, params: nnx.State) -> HRM:
    """Returns the module with these parameters; call it inside a pure function."""
    return nnx.merge(graphdef, params)


def count_params(config: Config | ModelConfig) -> int:
    """Returns the number of trainable parameters (without the fixed `z_l_init`)."""
    _, params = abstract(config.model if isinstance(config, Config) else config)
    return sum(math.prod(leaf.shape) for path, leaf in jax.tree.leaves_with_path(params) if not is_frozen(path))


def is_frozen(path: tuple[Any, ...]) -> bool:
    """Says whether a parameter's key path names one that is never trained."""
    return FROZEN in jax.tree_util.keystr(path, simple=True, separator="/").split("/")
