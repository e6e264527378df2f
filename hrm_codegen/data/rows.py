"""One row of somebody's data set becomes a `Problem`, or an error that names the row and the field.

Knows the fields of MBPP, sanitized MBPP, HumanEval and of our own saved form. Not a file reader: `problems.py` finds
the rows.
"""

from __future__ import annotations

import ast
import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a row comes from, for messages and for the ids of rows that have none.

    Attributes:
      number: The row's number, from 1.
      file: The file's name as the user gave it; empty for rows that are in memory.
      stem: The data set's name when the row does not say it.
    """

    number: int
    file: str = ""
    stem: str = ""

    def error(self, message: str) -> DatasetError:
        """Returns `row 3 <message> (file)`, to be raised."""
        return DatasetError(f"row {self.number} {message}" + (f" ({self.file})" if self.file else ""))


def parse_row(row: Any, place: Place) -> Problem:
    """Reads one row.

    Args:
      row: A mapping with the fields of MBPP (`text` or `prompt`, `code`, `test_list`, ...), of HumanEval (`prompt`,
        `canonical_solution`, `test`, `entry_point`), or of a saved `Problem`.
      place: Where the row is.

    Raises:
      DatasetError: A field that is needed is missing, or a field has the wrong type.
    """
    if not isinstance(row, Mapping):
        raise place.error(f"is a {type(row).__name__}, not an object with fields")
    # JSON fields that are null, and the columns that HF fills with None, mean "not there".
    row = {key: value for key, value in row.items() if value is not None}
    task_id = _task_id(row, place)
    source = _text(row, "source", place) or place.stem
    if "test_list" not in row and {"prompt", "test", "entry_point"} <= set(row):
        return dataclasses.replace(_human_eval(row, place), task_id=task_id, source=source)
    text_field = "text" if "text" in row else "prompt"
    if text_field not in row:
        raise place.error('has no "text" (nor "prompt"): the description of what to write')
    text = _text(row, text_field, place)
    tests = _texts(row, "test_list", place)
    if not text.strip() and not tests:
        raise place.error(f'has an empty "{text_field}" and no "test_list": nothing says what to write')
    prompt_code = _text(row, "prompt_code", place)
    code = _text(row, "code", place)
    setup = [*_texts(row, "test_imports", place), _text(row, "test_setup_code", place)]
    level = row.get("level")
    if level is not None and (isinstance(level, bool) or not isinstance(level, int)):
        raise place.error(f'has a "level" that is no integer: {level!r}')
    return Problem(
        task_id=task_id,
        text=text,
        # The stub of a completion is verbatim, so its program has to begin with it byte for byte.
        code=code if prompt_code else normalize_code(code),
        test_list=tests,
        test_setup_code="\n".join(part for part in setup if part),
        challenge_test_list=_texts(row, "challenge_test_list", place),
        entry_point=_text(row, "entry_point", place) or None,
        prompt_code=prompt_code,
        source=source,
        split=_text(row, "split", place),
        level=level,
    )


def normalize_code(code: str) -> str:
    """Returns the same program with LF line ends, no trailing blanks or outer blank lines, and spaces for tabs.

    A step that would change the syntax tree (a blank or a tab inside of a string) is not taken; code that does not
    parse keeps everything but its line ends.
    """
    code = _newlines(code)
    tree = _tree(code)
    if tree is None:
        return code
    tidy = "\n".join(line.rstrip() for line in code.split("\n")).strip("\n")
    for candidate in (tidy.expandtabs(4), tidy):
        if _tree(candidate) == tree:
            return candidate
    return code


def _human_eval(row: Mapping[str, Any], place: Place) -> Problem:
    prompt, test, entry_point = (_text(row, field, place) for field in ("prompt", "test", "entry_point"))
    for field, value in (("prompt", prompt), ("test", test), ("entry_point", entry_point)):
        if not value.strip():
            raise place.error(f'has an empty "{field}"')
    solution = _text(row, "canonical_solution", place)
    return Problem(
        task_id="",
        text=prompt,
        prompt_code=prompt,
        code=prompt + solution if solution else "",
        test_list=(f"{test}\ncheck({entry_point})",),
        entry_point=entry_point,
        split=_text(row, "split", place),
    )


def _task_id(row: Mapping[str, Any], place: Place) -> str:
    value = row.get("task_id", "")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise place.error(f'has a "task_id" that is neither text nor an integer: {value!r}')
    return str(value) or f"{place.stem or 'row'}/{place.number}"


def _text(row: Mapping[str, Any], field: str, place: Place) -> str:
    value = row.get(field, "")
    if not isinstance(value, str):
        raise place.error(f'has a "{field}" of type {type(value).__name__}, expected text')
    return _newlines(_encodable(value, field, place))


def _texts(row: Mapping[str, Any], field: str, place: Place) -> tuple[str, ...]:
    values = row.get(field, ())
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise place.error(f'has a "{field}" of type {type(values).__name__}, expected a list of texts')
    values = tuple(values)
    for value in values:
        if not isinstance(value, str):
            raise place.error(f'has a "{field}" with a {type(value).__name__} in it, expected a list of texts')
    return tuple(_newlines(_encodable(value, field, place)) for value in values)


def _encodable(value: str, field: str, place: Place) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise place.error(f'has half of a surrogate pair in "{field}", at character {error.start}') from error
    return value


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _tree(code: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in somebody's solution is not this user's concern
        try:
            return ast.dump(ast.parse(code))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
