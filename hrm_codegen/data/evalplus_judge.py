"""Judges an answer to an EvalPlus task: runs the reference on the same inputs and compares by EvalPlus' rules.

`evalplus.py` copies the text of this file into every test that it writes, so this runs where tests run: standard
library only, nothing of this package. The candidate may live in another process; it gets and returns plain data.
"""

from __future__ import annotations

import cmath
import copy
import json
import math
import reprlib
from collections.abc import Callable
from typing import Any

RTOL = 1e-7
FLOAT_ATOL = 1e-6  # where a task gives no tolerance of its own and floats are expected


def first_failure(candidate: Callable[..., Any], text: str) -> tuple[str, Any, Any] | None:
    """Runs a task's inputs until one goes wrong; an exception of the candidate comes out as it is.

    Args:
      candidate: The function under test.
      text: JSON of `reference` (a program), `entry_point`, `inputs` (argument lists, coded), `atol` and `rule`.

    Returns:
      Which call, what it gave and what the reference gave; None if all agree.
    """
    task = json.loads(text)
    space: dict[str, Any] = {"__name__": "reference"}
    exec(task["reference"], space)
    for number, coded in enumerate(task["inputs"], start=1):
        arguments = decode(coded)
        expected = space[task["entry_point"]](*copy.deepcopy(arguments))
        got = candidate(*copy.deepcopy(arguments))
        if not agrees(task["rule"], arguments, got, expected, task["atol"]):
            call = f"{task['entry_point']}({', '.join(map(reprlib.repr, arguments))})"
            return f"input {number} of {len(task['inputs'])}: {call}", got, expected
    return None


def decode(coded: Any) -> Any:
    """Returns the value of its JSON form: lists and scalars stand for themselves, anything else is a tagged object."""
    if isinstance(coded, list):
        return [decode(item) for item in coded]
    if not isinstance(coded, dict):
        return coded
    ((tag, content),) = coded.items()
    items = [decode(item) for item in content]
    if tag == "complex":
        return complex(*items)
    return {"tuple": tuple, "set": set, "dict": dict}[tag](items)


def agrees(rule: str, arguments: list[Any], got: Any, expected: Any, atol: float | int) -> bool:
    """Whether an answer counts as right.

    Args:
      rule: `equal`, or one of the special rules of EvalPlus: `anything`, `or_zero`, `upright_height`, `padded_digits`,
        `same_set`, `not_none` and `root`.
      arguments: Of the call.
      got: The candidate's answer.
      expected: The reference's.
      atol: Absolute tolerance; 0 is exact, but for floats.
    """
    if rule == "anything":
        return True
    if rule == "not_none":
        return bool((got if isinstance(got, bool) else got is not None) == (expected is not None))
    if rule == "root":
        return _is_root(arguments[0], got, atol)
    if rule == "same_set":
        return _same_set(got, expected)
    other = _OTHER_ANSWERS.get(rule)
    if got == expected or (other is not None and _is_near(got, other(*arguments), atol)):
        return True
    tolerance = atol or (FLOAT_ATOL if _is_float(expected) else 0)
    return bool(tolerance) and type(got) is type(expected) and is_close(got, expected, rtol=RTOL, atol=tolerance)


def is_close(got: Any, expected: Any, *, rtol: float | int, atol: float | int, equal_nan: bool = False) -> bool:
    """Compares numbers by `atol + rtol * abs(expected)`, inside of lists, tuples and dicts too; all else exactly."""
    options: dict[str, Any] = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan}
    if isinstance(got, list | tuple) and isinstance(expected, list | tuple):
        return len(got) == len(expected) and all(is_close(g, e, **options) for g, e in zip(got, expected, strict=True))
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() == expected.keys() and all(is_close(got[key], expected[key], **options) for key in got)
    if got == expected:
        return True
    if not (_is_number(got) and _is_number(expected)):
        return False
    try:
        if cmath.isfinite(got) and cmath.isfinite(expected):
            return abs(got - expected) <= atol + rtol * abs(expected)
        return equal_nan and cmath.isnan(got) and cmath.isnan(expected)
    except OverflowError:  # an integer that no float can hold
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex)


def _is_float(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _is_near(got: Any, value: int | None, atol: float | int) -> bool:
    return value is not None and _is_number(got) and abs(got - value) <= atol


def _same_set(got: Any, expected: Any) -> bool:
    try:
        return set(got) == set(expected)
    except TypeError:  # not iterable, or of things that no set can hold
        return False


def _is_root(coefficients: list[Any], x: Any, atol: float | int) -> bool:
    try:
        return abs(sum(factor * math.pow(x, power) for power, factor in enumerate(coefficients))) <= atol
    except (TypeError, ValueError, OverflowError):
        return False


def _surface_by_upright_height(base: float | int, height: float | int) -> int:
    """A square pyramid's surface where the height is the apex over the base, not the slant of a side."""
    return round(base * base + 2 * base * math.hypot(base / 2, height))


def _padded_digit_distance(first: int, second: int) -> int | None:
    """The sum of differences digit by digit of two numbers, the shorter one led by zeros; None if one has a sign."""
    width = max(len(str(first)), len(str(second)))
    try:
        pairs = zip(str(first).zfill(width), str(second).zfill(width), strict=True)
        return sum(abs(int(one) - int(two)) for one, two in pairs)
    except ValueError:
        return None


_OTHER_ANSWERS: dict[str, Callable[..., int | None]] = {
    "or_zero": lambda *_: 0,
    "upright_height": _surface_by_upright_height,
    "padded_digits": _padded_digit_distance,
}


class Numpy:
    """What the tests of EvalPlus in HumanEval's format use of numpy, which a sandbox need not have."""

    ndarray = float32 = float64 = ()  # nothing is an instance of it

    @staticmethod
    def allclose(got: Any, expected: Any, rtol: float | int = 1e-5, atol: float | int = 1e-8) -> bool:
        """As numpy's, without broadcasting."""
        return is_close(got, expected, rtol=rtol, atol=atol)

    class testing:
        """As `numpy.testing`."""

        @staticmethod
        def assert_allclose(got: Any, expected: Any, rtol: float | int = 1e-7, atol: float | int = 0) -> None:
            """As numpy's, without broadcasting."""
            if not is_close(got, expected, rtol=rtol, atol=atol, equal_nan=True):
                raise AssertionError("not equal to tolerance")
