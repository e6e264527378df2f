"""One row of somebody's data set becomes a `Problem`, or an error that names the row and the field.

Knows the fields of MBPP, sanitized MBPP, HumanEval and of our own saved form; `evalplus.py` knows those of HumanEval+
and MBPP+. Not a file reader: `problems.py` finds the rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from hrm_codegen.data import evalplus
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.row_fields import Place, filled_field, newlines, text_field, texts_field
from hrm_codegen.data.syntax import dump


def parse_row(row: Any, place: Place) -> Problem:
    """Reads one row.

    Args:
      row: A mapping with the fields of MBPP (`text` or `prompt`, `code`, `test_list`, ...), of HumanEval (`prompt`,
        `canonical_solution`, `test`, `entry_point`), of HumanEval+ or MBPP+, or of a saved `Problem`.
      place: Where the row is.

    Raises:
      DatasetError: A field that is needed is missing, or a field has the wrong type.
    """
    if not isinstance(row, Mapping):
        raise place.error(f"is a {type(row).__name__}, not an object with fields")
    # JSON fields that are null, and the columns that HF fills with None, mean "not there".
    row = {key: value for key, value in row.items() if value is not None}
    task_id = _task_id(row, place)
    source = text_field(row, "source", place) or place.stem
    if evalplus.is_release_row(row):
        return dataclasses.replace(evalplus.parse_release_row(row, place), task_id=task_id, source=source)
    if evalplus.is_mbpp_plus_row(row):
        task_id = f"Mbpp/{task_id}" if task_id.isdigit() else task_id  # as in the release, and so in people's samples
        return dataclasses.replace(evalplus.parse_mbpp_plus_row(row, place), task_id=task_id, source=source)
    if "test_list" not in row and {"prompt", "test", "entry_point"} <= set(row):
        return dataclasses.replace(_human_eval(row, place), task_id=task_id, source=source)
    return dataclasses.replace(_mbpp(row, place), task_id=task_id, source=source)


def normalize_code(code: str) -> str:
    """Returns the same program with LF line ends, no trailing blanks or outer blank lines, and spaces for tabs.

    A step that would change the syntax tree (a blank or a tab inside of a string) is not taken; code that does not
    parse keeps everything but its line ends.
    """
    code = newlines(code)
    tree = dump(code)
    if tree is None:
        return code
    tidy = "\n".join(line.rstrip() for line in code.split("\n")).strip("\n")
    for candidate in (tidy.expandtabs(4), tidy):
        if dump(candidate) == tree:
            return candidate
    return code


def _mbpp(row: Mapping[str, Any], place: Place) -> Problem:
    description = "text" if "text" in row else "prompt"
    if description not in row:
        raise place.error('has no "text" (nor "prompt"): the description of what to write')
    text = text_field(row, description, place)
    tests = texts_field(row, "test_list", place)
    if not text.strip() and not tests:
        raise place.error(f'has an empty "{description}" and no "test_list": nothing says what to write')
    prompt_code = text_field(row, "prompt_code", place)
    code = text_field(row, "code", place)
    setup = [*texts_field(row, "test_imports", place), text_field(row, "test_setup_code", place)]
    level = row.get("level")
    if level is not None and (isinstance(level, bool) or not isinstance(level, int)):
        raise place.error(f'has a "level" that is no integer: {level!r}')
    factor = row.get("timeout_factor", 1.0)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise place.error(f'has a "timeout_factor" that is no positive number: {factor!r}')
    return Problem(
        task_id="",
        text=text,
        # The stub of a completion is verbatim, so its program has to begin with it byte for byte.
        code=code if prompt_code else normalize_code(code),
        test_list=tests,
        test_setup_code="\n".join(part for part in setup if part),
        challenge_test_list=texts_field(row, "challenge_test_list", place),
        entry_point=text_field(row, "entry_point", place) or None,
        prompt_code=prompt_code,
        timeout_factor=float(factor),
        split=text_field(row, "split", place),
        level=level,
    )


def _human_eval(row: Mapping[str, Any], place: Place) -> Problem:
    prompt, test, entry_point = (filled_field(row, field, place) for field in ("prompt", "test", "entry_point"))
    solution = text_field(row, "canonical_solution", place)
    return Problem(
        task_id="",
        text=prompt,
        prompt_code=prompt,
        code=prompt + solution if solution else "",
        test_list=(f"{evalplus.without_numpy(test)}\ncheck({entry_point})",),
        entry_point=entry_point,
        timeout_factor=evalplus.timeout_factor(test),
        split=text_field(row, "split", place),
    )


def _task_id(row: Mapping[str, Any], place: Place) -> str:
    value = row.get("task_id", "")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise place.error(f'has a "task_id" that is neither text nor an integer: {value!r}')
    return str(value) or f"{place.stem or 'row'}/{place.number}"
