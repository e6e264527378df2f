"""Other people's formats: torch files without torch, `hrm_text` names, safetensors, and where models are found.

Names are resolved on first use (PEP 562): finding a checkpoint must not import jax.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_codegen.interop.bundle import Bundle, load_bundle, normalize, save_bundle
    from hrm_codegen.interop.find import find_bundle
    from hrm_codegen.interop.hrm_text import from_state_dict, to_state_dict
    from hrm_codegen.interop.torch_file import load_torch, save_torch

_HOMES = {
    "Bundle": "bundle",
    "find_bundle": "find",
    "from_state_dict": "hrm_text",
    "load_bundle": "bundle",
    "load_torch": "torch_file",
    "normalize": "bundle",
    "save_bundle": "bundle",
    "save_torch": "torch_file",
    "to_state_dict": "hrm_text",
}

__all__ = [
    "Bundle",
    "find_bundle",
    "from_state_dict",
    "load_bundle",
    "load_torch",
    "normalize",
    "save_bundle",
    "save_torch",
    "to_state_dict",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"hrm_codegen.interop.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hrm_codegen.interop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
