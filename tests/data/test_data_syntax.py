"""Equal up to names is equal, anything else is not."""

from __future__ import annotations

import pytest

from hrm_codegen.data.syntax import dump, normalise, parse

BASE = "def f(nums):\n    total = 0\n    for v in nums:\n        total += v\n    return total"


@pytest.mark.parametrize(
    "other",
    [
        "def add(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s",
        'def f(n: list[int]) -> int:\n    """Adds."""\n    total = 0\n    for v in n: total += v\n    return (total)',
        "def f(nums):\r\n  total = 0  # start\r\n  for v in nums:\r\n    total += v\r\n  return total\r\n",
    ],
)
def test_names_annotations_docstrings_and_layout_do_not_count(other: str):
    assert normalise(other) == normalise(BASE)


@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("= 0", "= 1"),
        BASE.replace("+=", "-="),
        BASE.replace("return total", "return nums"),
        BASE.replace("in nums", "in sorted(nums)"),
        "",
    ],
)
def test_everything_else_counts(other: str):
    assert normalise(other) != normalise(BASE)


def test_called_builtins_keep_their_names():
    assert normalise("def f(a):\n    return min(a)") != normalise("def f(a):\n    return max(a)")


def test_recursion_comprehensions_and_docstring_only_bodies():
    assert normalise("def f(n):\n    return f(n - 1)") == normalise("def g(k):\n    return g(k - 1)")
    assert normalise("def f(n):\n    return [v for v in n]") == normalise("def f(v):\n    return [n for n in v]")
    assert normalise('def f():\n    """Nothing."""') == normalise("def g():\n    pass")
    assert normalise("class A:\n    x = 1") != normalise("class A:\n    x = 2")


def test_code_that_does_not_parse_stands_for_itself():
    assert normalise("def f(:") == normalise("def f(:\n")
    assert normalise("def f(:") != normalise("def g(:")


def test_constants_may_be_left_out_but_not_their_types():
    loose = [normalise(f"def f(n):\n    return n + {c}", constants=False) for c in ("1", "7", "'a'", "None", "True")]
    assert loose[0] == loose[1]
    assert len(set(loose)) == 4


def test_layout_is_no_part_of_a_program():
    assert dump("x = 1  # one") == dump("x=1\n")
    assert dump("x = 1") != dump("y = 1")


@pytest.mark.parametrize("code", ["def f(:", "x = '\0'", "(" * 5_000, "-" * 3_000 + "1", "x" + ".y" * 2_000])
def test_what_cannot_be_parsed_or_walked_is_no_error(code):
    assert normalise(code) == code
    assert dump(code) is None


def test_invalid_escapes_are_not_reported(recwarn):
    assert parse("x = '\\d'") is not None
    assert not recwarn
