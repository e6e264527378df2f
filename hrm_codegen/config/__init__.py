"""Configuration: one schema, and loaders that say exactly what is wrong and where.

Imports neither jax nor numpy, so that a wrong configuration fails in well under a second.
"""

from __future__ import annotations

from hrm_codegen.config.checks import validate
from hrm_codegen.config.files import atomic_write
from hrm_codegen.config.load import from_dict, load, to_dict, to_yaml
from hrm_codegen.config.names import bundled_names, resolve_path
from hrm_codegen.config.overrides import Override
from hrm_codegen.config.presets import PRESETS
from hrm_codegen.config.schema import (
    Config,
    DataConfig,
    EvalConfig,
    MeshConfig,
    ModelConfig,
    OptimConfig,
    SampleConfig,
    TrainConfig,
)

__all__ = [
    "PRESETS",
    "Config",
    "DataConfig",
    "EvalConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimConfig",
    "Override",
    "SampleConfig",
    "TrainConfig",
    "atomic_write",
    "bundled_names",
    "from_dict",
    "load",
    "resolve_path",
    "to_dict",
    "to_yaml",
    "validate",
]
