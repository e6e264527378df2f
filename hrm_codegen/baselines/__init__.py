"""Other people's language models behind our interface: any causal model of Transformers, GGUF files included.

Why: a score means little without the score of a model that everyone knows, asked and judged in the same way. For
scoring and writing only; nothing here is trained. Needs the extra [hf]; importing this package does not import torch
or transformers (PEP 562), and names can be checked without either.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_codegen.baselines.model import BaselineConfig, BaselineModel
    from hrm_codegen.baselines.names import Source, check_baseline, check_model, find_source, is_baseline
    from hrm_codegen.baselines.throughput import benchmark_generation

_HOMES = {
    "BaselineConfig": "model",
    "BaselineModel": "model",
    "Source": "names",
    "benchmark_generation": "throughput",
    "check_baseline": "names",
    "check_model": "names",
    "find_source": "names",
    "is_baseline": "names",
}

__all__ = [
    "BaselineConfig",
    "BaselineModel",
    "Source",
    "benchmark_generation",
    "check_baseline",
    "check_model",
    "find_source",
    "is_baseline",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"hrm_codegen.baselines.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hrm_codegen.baselines' has no attribute {name!r}")
