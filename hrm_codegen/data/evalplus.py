"""HumanEval+ and MBPP+ (EvalPlus, Liu et al. 2023, arXiv 2305.01210), in both forms in which they are published.

Release rows (`HumanEvalPlus.jsonl`, `MbppPlus.jsonl`) have inputs and a reference solution, and what a candidate
returns is compared with what the reference returns, by EvalPlus' rules (`evalplus_judge.py`). Rows in the format of the
original data sets ("OriginFmt", and those on the Hugging Face hub) have one long test with the results in it; it
imports numpy, which a sandbox lacks, so it gets a stand-in. Nothing of a row is run here.
"""

from __future__ import annotations

import ast
import functools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_codegen.data.evalplus_inputs import encode, mbpp_arguments
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.row_fields import Place, filled_field, text_field, texts_field

# A task has hundreds of inputs where HumanEval has eight, and EvalPlus itself gives one up to a minute of wall time.
TIMEOUT_FACTOR = 15.0

_HUMAN_EVAL_RULES = {"find_zero": "root"}
_MBPP_RULES = {
    "are_equivalent": "anything",
    "sum_div": "or_zero",
    "surface_Area": "upright_height",
    "digit_distance_nums": "padded_digits",
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "not_none"),
    **dict.fromkeys(
        (
            "similar_elements",
            "find_char_long",
            "common_in_nested_lists",
            "extract_singly",
            "larg_nnum",
            "intersection_array",
            "find_dissimilar",
            "Diff",
        ),
        "same_set",
    ),
}
_NUMPY_IMPORT = re.compile(r"^import numpy as np$", re.MULTILINE)
_NUMPY_USES = re.compile(r"\bnp\.([\w.]+)")
_STAND_IN = {"ndarray", "float32", "float64", "allclose", "testing.assert_allclose"}


def is_release_row(row: Mapping[str, Any]) -> bool:
    """Whether a row has inputs instead of tests."""
    return "base_input" in row


def is_mbpp_plus_row(row: Mapping[str, Any]) -> bool:
    """Whether a row is MBPP's with the long test of MBPP+ next to the short ones."""
    test = row.get("test")
    return {"code", "prompt", "test_list"} <= set(row) and isinstance(test, str) and "def assertion(" in test


def parse_release_row(row: Mapping[str, Any], place: Place) -> Problem:
    """Reads a row of `HumanEvalPlus.jsonl` or `MbppPlus.jsonl`, apart from its `task_id` and `source`."""
    prompt, solution, entry_point = (
        filled_field(row, field, place) for field in ("prompt", "canonical_solution", "entry_point")
    )
    number = re.fullmatch(r"mbpp/(\d+)", str(row.get("task_id")), re.IGNORECASE)
    rules = _HUMAN_EVAL_RULES if number is None else _MBPP_RULES
    task = {
        "entry_point": entry_point,
        "reference": prompt + solution,
        "inputs": _inputs(row, None if number is None else int(number[1]), place),
        "atol": _atol(row, place),
        "rule": rules.get(entry_point, "equal"),
    }
    return Problem(
        task_id="",
        text=prompt if number is None else _docstring(prompt, place),
        prompt_code=prompt,
        code=prompt + solution,
        test_list=(_test_program(task),),
        entry_point=entry_point,
        timeout_factor=TIMEOUT_FACTOR,
    )


def parse_mbpp_plus_row(row: Mapping[str, Any], place: Place) -> Problem:
    """Reads a row of `evalplus/mbppplus`, apart from its `task_id` and `source`.

    Its short tests are shown, by EvalPlus' own prompt with the first of them, but only the long one is run.
    """
    description = filled_field(row, "prompt", place).strip()
    text = "\n".join([description, *texts_field(row, "test_list", place)[:1]])
    prompt = '"""\n{}\n"""\n'.format(text.replace("\\", "\\\\").replace('"""', r"\"\"\""))
    code = text_field(row, "code", place)
    return Problem(
        task_id="",
        text=text,
        prompt_code=prompt,
        code=prompt + code if code else "",
        test_list=(without_numpy(text_field(row, "test", place)),),
        test_setup_code="\n".join(texts_field(row, "test_imports", place)),
        timeout_factor=TIMEOUT_FACTOR,
    )


def timeout_factor(test: str) -> float:
    """Returns the factor of a HumanEval row's time limit, by what its test looks like."""
    return TIMEOUT_FACTOR if re.search(r"^    results = ", test, re.MULTILINE) else 1.0


def without_numpy(test: str) -> str:
    """Returns a test with a stand-in for numpy, if it uses no more of it than EvalPlus' generated tests do."""
    if not _NUMPY_IMPORT.search(test) or not set(_NUMPY_USES.findall(test)) <= _STAND_IN:
        return test
    stand_in = f"evalplus_judge = {{'__name__': 'evalplus_judge'}}\nexec({_judge()!r}, evalplus_judge)\n"
    return _NUMPY_IMPORT.sub(lambda _: f"{stand_in}np = evalplus_judge['Numpy']", test, count=1)


def _test_program(task: Mapping[str, Any]) -> str:
    # What is long stands on lines of its own: reports quote the line that failed.
    return f"""\
def check(candidate):
    source = {_judge()!r}
    task = {json.dumps(task)!r}
    judge = {{"__name__": "evalplus_judge"}}
    exec(source, judge)
    failure = judge["first_failure"](candidate, task)
    if failure is not None:
        call, got, expected = failure
        assert got == expected, call
        raise AssertionError(call)

check({task["entry_point"]})
"""


@functools.cache
def _judge() -> str:
    return Path(__file__).with_name("evalplus_judge.py").read_text(encoding="utf-8")


def _inputs(row: Mapping[str, Any], mbpp_number: int | None, place: Place) -> list[Any]:
    found: list[Any] = []
    for field in ("base_input", "plus_input"):
        values = row.get(field) or []
        if not isinstance(values, list) or not all(isinstance(arguments, list) for arguments in values):
            raise place.error(f'has a "{field}" that is no list of argument lists')
        try:
            found += values if mbpp_number is None else [mbpp_arguments(mbpp_number, value) for value in values]
        except (TypeError, ValueError, AttributeError) as error:
            raise place.error(f'has a "{field}" of another shape than this task of MBPP+: {error}') from error
    if not found:
        raise place.error('has an empty "base_input": any program would pass')
    return [encode(arguments) for arguments in found]


def _atol(row: Mapping[str, Any], place: Place) -> float | int:
    value = row.get("atol", 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise place.error(f'has an "atol" that is no tolerance: {value!r}')
    return value


def _docstring(prompt: str, place: Place) -> str:
    """Returns what a prompt says that is one docstring."""
    try:
        value = ast.literal_eval(prompt.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        value = None
    if not isinstance(value, str):
        raise place.error('has a "prompt" that is no docstring, which it is in MBPP+')
    return value.strip()
