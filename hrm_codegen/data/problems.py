"""Problems from files and from memory, and back into a file.

`load_problems` reads a JSON array, JSON lines, either of them gzipped, a `datasets.Dataset` or any iterable of
mappings. Not a data set's reader: those (`readers/`) also know where to get the file and how it is split.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import logging
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.config.files import atomic_write
from hrm_codegen.data.problem import Problem, to_dict
from hrm_codegen.data.row_fields import Place
from hrm_codegen.data.rows import parse_row
from hrm_codegen.errors import DatasetError

_log = logging.getLogger("hrm_codegen.data")


def load_problems(source: str | os.PathLike[str] | Iterable[Any], *, require_code: bool = False) -> list[Problem]:
    """Reads problems.

    Args:
      source: A path (JSON array or JSON lines, `.gz` or not), or rows: mappings with the fields of MBPP, HumanEval,
        MBPP+ or HumanEval+ (a `datasets.Dataset` is one such iterable), or problems.
      require_code: Refuse rows without a reference solution, which training needs.

    Returns:
      At least one problem; their ids differ (a repeated id gets `#2`, `#3`, ... and a warning).

    Raises:
      DatasetError: Naming the file, the row (from 1) or line, and the field.
    """
    if isinstance(source, str | os.PathLike):
        file, stem = os.fspath(source), Path(source).name.split(".")[0]
        rows: Iterable[Any] = _read_rows(Path(source))
    else:
        file, stem, rows = "", "", _rows_in_memory(source)
    problems = []
    for number, row in enumerate(rows, start=1):
        place = Place(number=number, file=file, stem=stem)
        problem = row if isinstance(row, Problem) else parse_row(row, place)
        if require_code and not problem.code.strip():
            raise place.error('has no "code", which is needed for training (fine for eval)')
        problems.append(problem)
    if not problems:
        raise DatasetError(f"no problems in {file or 'the given rows'}")
    return _distinct(problems, file)


def save_problems(path: str | os.PathLike[str], problems: Iterable[Problem]) -> None:
    """Writes a JSON array that `load_problems` reads back, one problem a line; whole or not at all."""
    text = dump_problems(problems)
    with atomic_write(path) as file:
        file.write(text)


def dump_problems(problems: Iterable[Problem]) -> str:
    """Returns the text that `save_problems` writes."""
    rows = ",\n".join(json.dumps(to_dict(problem), ensure_ascii=False) for problem in problems)
    return f"[\n{rows}\n]\n"


def read_text(path: Path) -> str:
    """Reads UTF-8 text, with or without a byte order mark, gzipped or not.

    Raises:
      DatasetError: No such file, a torn archive, or another encoding.
    """
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except FileNotFoundError as error:
        raise DatasetError(f"no such file: {path}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path} is a torn gzip archive: {error}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data[8:9] == b"{":
            hint = "it looks like a token file: give the problems it was made of (*_raw.json)"
        else:
            hint = "save it as UTF-8"
        raise DatasetError(f"{path} is not UTF-8 (byte 0x{data[error.start]:02x} at {error.start}); {hint}") from error


def _read_rows(path: Path) -> Sequence[Any]:
    text = read_text(path)
    stripped = text.lstrip()
    if not stripped:
        raise DatasetError(f"{path} is empty")
    if not stripped.startswith("["):
        return _json_lines(text, path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # an integer of 5,000 digits is a plain ValueError
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "it"
        raise DatasetError(f"{place} is not valid JSON: {error} ({path})") from error


def _json_lines(text: str, path: Path) -> list[Any]:
    rows = []
    # Not splitlines(): JSON lines may hold U+2028 and other characters that only Python takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if not rows and _is_json(text):
                raise DatasetError(f"{path} holds one object; expected a JSON array or JSON lines") from error
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            raise DatasetError(f"line {number} is not valid JSON: {reason} ({path})") from error
    return rows


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _rows_in_memory(source: Iterable[Any]) -> Iterable[Any]:
    if isinstance(source, Mapping):
        keys = ", ".join(repr(key) for key in list(source)[:5])
        raise DatasetError(f"expected rows, got one mapping with the keys {keys}; pass one split, or a list of rows")
    if not isinstance(source, Iterable):
        raise DatasetError(f"expected a path or rows, got {type(source).__name__}")
    return source


def _distinct(problems: list[Problem], file: str) -> list[Problem]:
    seen: set[str] = set()
    taken = {problem.task_id for problem in problems}
    renamed = 0
    for index, problem in enumerate(problems):
        task_id, copy = problem.task_id, 1
        while task_id in seen or (copy > 1 and task_id in taken):
            copy += 1
            task_id = f"{problem.task_id}#{copy}"
        seen.add(task_id)
        if copy > 1:
            renamed += 1
            problems[index] = dataclasses.replace(problem, task_id=task_id)
    if renamed:
        _log.warning("%d rows repeat a task_id and were given #2, #3, ... (%s)", renamed, file or "rows in memory")
    return problems
