"""What is in a data file, for `hrm-codegen data info` and `data peek`: token files and files of problems alike."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hrm_codegen.data.problems import load_problems
from hrm_codegen.data.prompts import render_prompt
from hrm_codegen.data.token_file import TokenFile, read_header
from hrm_codegen.errors import UsageError

_SHOWN_IDS = 32
# Too long, or given above as numbers.
_NOT_SHOWN = ("num_documents", "num_tokens", "tokenizer")
_NUMBERS = ("num_skipped", "prompt_tests")


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns facts about a token file or a file of problems; plain values, fit for JSON."""
    path = Path(path)
    return _describe_tokens(TokenFile(path)) if _is_token_file(path) else _describe_problems(path)


def peek(path: str | os.PathLike[str], n: int = 1) -> list[str]:
    """Returns the first n documents as readable text (with special tokens spelled), or problems as prompt and code.

    Of a raw stream, whose tokenizer is unknown, the ids are given.
    """
    if n < 0:
        raise UsageError(f"cannot show {n} documents")
    path = Path(path)
    if not _is_token_file(path):
        return [f"{render_prompt(p, num_tests=len(p.test_list))}\n\n{p.code}".rstrip() for p in load_problems(path)[:n]]
    file = TokenFile(path)
    if file.tokenizer is None:
        starts = range(0, min(n * _SHOWN_IDS, file.num_tokens), _SHOWN_IDS)
        return [" ".join(map(str, file.tokens[start : start + _SHOWN_IDS].tolist())) for start in starts]
    return [file.tokenizer.decode(file[i][0], keep_special=True) for i in range(min(n, len(file)))]


def _is_token_file(path: Path) -> bool:
    return read_header(path) is not None or path.suffix == ".bin"


def _describe_tokens(file: TokenFile) -> dict[str, Any]:
    lengths = np.diff(file.offsets)
    facts: dict[str, Any] = {
        "path": str(file.path),
        "kind": "raw token stream" if file.is_stream else "token file",
        "documents": len(file),
        "tokens": file.num_tokens,
        "prompt_tokens": int(file.prompt_lens.sum(dtype=np.int64)),
        "dtype": file.tokens.dtype.name,
        "bytes": file.path.stat().st_size,
    }
    if len(lengths):
        facts["document_length"] = {
            "p50": int(np.percentile(lengths, 50)),
            "p90": int(np.percentile(lengths, 90)),
            "p99": int(np.percentile(lengths, 99)),
            "max": int(lengths.max()),
        }
    if file.tokenizer is not None:
        facts["vocab_size"] = file.tokenizer.vocab_size
    for key, value in sorted(file.metadata.items()):
        if key not in _NOT_SHOWN:
            facts[key] = int(value) if key in _NUMBERS else value
    return facts


def _describe_problems(path: Path) -> dict[str, Any]:
    problems = load_problems(path)
    return {
        "path": str(path),
        "kind": "problems",
        "problems": len(problems),
        "with_code": sum(bool(p.code.strip()) for p in problems),
        "with_tests": sum(bool(p.test_list) for p in problems),
        "tests": sum(len(p.test_list) for p in problems),
        "splits": dict(Counter(p.split or "(none)" for p in problems)),
        "sources": dict(Counter(p.source or "(none)" for p in problems)),
        "bytes": path.stat().st_size,
    }
