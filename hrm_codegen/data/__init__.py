"""Problems, tokenizer, token files and the pipeline that feeds training.

Names are resolved on first use (PEP 562), so that listing data sets imports neither numpy nor jax.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_codegen.data.contamination import Finding, find_contamination
    from hrm_codegen.data.inspection import describe, peek
    from hrm_codegen.data.pipeline import make_loader
    from hrm_codegen.data.preparation import (
        SplitReport,
        convert_raw_to_bin,
        prepare,
        prepare_basics,
        prepare_humaneval,
        prepare_mbpp,
    )
    from hrm_codegen.data.problem import Problem
    from hrm_codegen.data.problems import load_problems, save_problems
    from hrm_codegen.data.prompts import check_prompt, decode_answer, encode_example, encode_prompt, render_prompt
    from hrm_codegen.data.registry import DatasetInfo, Reader, available, get_reader
    from hrm_codegen.data.sources import find_problems
    from hrm_codegen.data.token_file import TokenFile
    from hrm_codegen.data.token_writer import write_token_file
    from hrm_codegen.data.tokenizer import Tokenizer
    from hrm_codegen.data.tokenizer_recipe import train_default

# No module has the name of one of its objects: importing it would hide the object (see docs/decisions.md).
_MODULES = {
    "contamination": ("Finding", "find_contamination"),
    "inspection": ("describe", "peek"),
    "pipeline": ("make_loader",),
    "preparation": (
        "SplitReport",
        "convert_raw_to_bin",
        "prepare",
        "prepare_basics",
        "prepare_humaneval",
        "prepare_mbpp",
    ),
    "problem": ("Problem",),
    "problems": ("load_problems", "save_problems"),
    "prompts": ("check_prompt", "decode_answer", "encode_example", "encode_prompt", "render_prompt"),
    "registry": ("DatasetInfo", "Reader", "available", "get_reader"),
    "sources": ("find_problems",),
    "token_file": ("TokenFile",),
    "token_writer": ("write_token_file",),
    "tokenizer": ("Tokenizer",),
    "tokenizer_recipe": ("train_default",),
}
_OBJECTS = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "DatasetInfo",
    "Finding",
    "Problem",
    "Reader",
    "SplitReport",
    "TokenFile",
    "Tokenizer",
    "available",
    "check_prompt",
    "convert_raw_to_bin",
    "decode_answer",
    "describe",
    "encode_example",
    "encode_prompt",
    "find_contamination",
    "find_problems",
    "get_reader",
    "load_problems",
    "make_loader",
    "peek",
    "prepare",
    "prepare_basics",
    "prepare_humaneval",
    "prepare_mbpp",
    "render_prompt",
    "save_problems",
    "train_default",
    "write_token_file",
]


def __getattr__(name: str) -> Any:
    if name in _OBJECTS:
        return getattr(importlib.import_module(f"hrm_codegen.data.{_OBJECTS[name]}"), name)
    raise AttributeError(f"module 'hrm_codegen.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
