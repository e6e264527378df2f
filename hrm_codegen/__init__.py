"""HRM-CodeGen: train, evaluate and ship small Hierarchical Reasoning Models that write Python.

Names are resolved on first use (PEP 562): importing this package imports neither jax nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hrm_codegen.version import __version__

if TYPE_CHECKING:
    from hrm_codegen import config, data, errors, evaluator, utils
    from hrm_codegen.codegen import HRMCodeGen
    from hrm_codegen.training import Trainer

_MODULES = ("config", "data", "errors", "evaluator", "utils")
_OBJECTS = {"HRMCodeGen": "hrm_codegen.codegen", "Trainer": "hrm_codegen.training"}

__all__ = ["HRMCodeGen", "Trainer", "__version__", "config", "data", "errors", "evaluator", "utils"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"hrm_codegen.{name}")
    if name in _OBJECTS:
        return getattr(importlib.import_module(_OBJECTS[name]), name)
    raise AttributeError(f"module 'hrm_codegen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
