"""HumanEval+ and MBPP+: both published forms are read, and their tests judge by EvalPlus' rules without numpy."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.data import load_problems, render_prompt, save_problems
from hrm_codegen.data.evalplus import TIMEOUT_FACTOR, without_numpy
from hrm_codegen.data.evalplus_inputs import encode, mbpp_arguments
from hrm_codegen.data.evalplus_judge import Numpy, agrees, decode, is_close
from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError

HALVE = {
    "task_id": "HumanEval/900",
    "prompt": 'from typing import List\n\n\ndef halve(xs: List[int]) -> List[float]:\n    """ Halves.\n    """\n',
    "entry_point": "halve",
    "canonical_solution": "\n    return [x / 2 for x in xs]\n\n",
    "test": "def check(candidate):\n    assert candidate([2]) == [1.0]\n",
    "contract": "\n    assert xs # $_CONTRACT_$\n",
    "base_input": [[[2, 4]]],
    "plus_input": [[[1]], [[]], [[3, float("inf")]]],
    "atol": 0,
}
MBPP_PLUS = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nWrite a function to join two tuples.\nassert similar_elements((1,), (2,)) == (1, 2)\n"""\n',
    "entry_point": "similar_elements",
    "canonical_solution": "\ndef similar_elements(a, b):\n    return a + b\n",
    "base_input": [[[1], [2]]],
    "plus_input": [],
    "atol": 0,
    "contract": "",
    "assertion": "\nassert similar_elements((1,), (2,)) == (1, 2)\n",
}
ORIGIN_TEST = """
import numpy as np

def is_floats(x) -> bool:
    if isinstance(x, float):
        return True
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False

def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        {compare}
    else:
        assert exact_match

"""
LOOP = "for i, (inp, exp) in enumerate(zip(inputs, results)):\n{indent}    assertion({name}(*inp), exp, 0)\n"
ORIGIN = {
    "task_id": "HumanEval/901",
    "prompt": "def third(x):\n",
    "canonical_solution": "    return x / 3\n",
    "entry_point": "third",
    "test": ORIGIN_TEST.format(compare="assert np.allclose(out, exp, rtol=1e-07, atol=atol)")
    + "def check(candidate):\n    inputs = [[3], [1]]\n    results = [1.0, 0.333333333]\n    "
    + LOOP.format(indent="    ", name="candidate"),
}
HUB = {
    "task_id": 2,
    "prompt": 'Write a function to say """.',
    "code": "def third(x):\n    return x / 3",
    "source_file": "x.ipynb",
    "test_imports": ["import math"],
    "test_list": ["assert third(3) == 1", "assert third(6) == 2"],
    "test": ORIGIN_TEST.format(compare="np.testing.assert_allclose(out, exp, atol=atol)")
    + "inputs = [[3], [1]]\nresults = [1.0, 0.333333333]\n"
    + LOOP.format(indent="", name="third"),
}


def judge(problem: Problem, code: str) -> None:
    """Runs a program and its tests, raising what they raise."""
    space: dict[str, Any] = {}
    for text in (code, problem.test_setup_code, *problem.test_list):
        exec(text, space)


def load(row: dict[str, Any]) -> Problem:
    return load_problems([json.loads(json.dumps(row))])[0]


@pytest.mark.parametrize("row", [HALVE, MBPP_PLUS, ORIGIN, HUB], ids=["human-eval", "mbpp", "origin", "hub"])
def test_the_reference_passes_and_an_empty_function_fails(row, monkeypatch):
    problem = load(row)
    assert problem.timeout_factor == TIMEOUT_FACTOR
    assert problem.code.startswith(problem.prompt_code)
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)  # cannot be imported
    judge(problem, problem.code)
    name = problem.entry_point or "third"
    with pytest.raises(AssertionError):
        judge(problem, f"def {name}(*_): pass")


def test_what_is_asked_is_the_stub_or_the_docstring():
    assert render_prompt(load(HALVE), num_tests=3) == HALVE["prompt"].strip()
    text = "Write a function to join two tuples.\nassert similar_elements((1,), (2,)) == (1, 2)"
    assert render_prompt(load(MBPP_PLUS), num_tests=3) == text
    hub = load(HUB)
    assert (hub.task_id, hub.test_setup_code) == ("Mbpp/2", "import math")
    assert render_prompt(hub, num_tests=3) == 'Write a function to say """.\nassert third(3) == 1'
    space: dict[str, Any] = {}
    exec(f"doc = {hub.prompt_code}", space)
    assert space["doc"].strip() == hub.text


def test_a_row_of_the_hub_without_its_own_short_tests_or_code_is_read():
    problem = load({**HUB, "task_id": "own", "test_list": [], "code": ""})
    assert (problem.task_id, problem.text, problem.code) == ("own", 'Write a function to say """.', "")


def test_a_failure_says_which_call_and_both_values():
    problem = load(HALVE)
    with pytest.raises(AssertionError, match=r"input 2 of 4: halve\(\[1\]\)"):
        judge(problem, "def halve(xs): return [x // 2 for x in xs]")
    with pytest.raises(AssertionError, match="input 1 of 4"):  # equal, yet not the same type: a plain assert would pass
        judge(load({**HALVE, "canonical_solution": "    return float('nan')\n"}), "def halve(xs): return float('nan')")
    with pytest.raises(ZeroDivisionError):
        judge(problem, "def halve(xs): return 1 / 0")


def test_neither_side_sees_what_the_other_did_to_the_arguments():
    greedy = "def halve(xs):\n    out = [x / 2 for x in xs]\n    xs.clear()\n    return out"
    judge(load({**HALVE, "canonical_solution": "    xs.append(1)\n    return [x / 2 for x in xs[:-1]]\n"}), greedy)


def test_names_of_the_candidate_survive_the_test():
    helpers = "def decode(x): return x / 2\nis_close = decode\ndef halve(xs): return [is_close(x) for x in xs]"
    judge(load(HALVE), helpers)


def test_problems_come_back_from_a_file(tmp_path):
    problems = load_problems([{**row, "source": "plus"} for row in (HALVE, MBPP_PLUS, ORIGIN, {**HUB, "task_id": 3})])
    save_problems(tmp_path / "p.json", problems)
    assert load_problems(tmp_path / "p.json") == problems


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_input": []}, 'empty "base_input"'),
        ({"base_input": {"a": 1}}, '"base_input" that is no list of argument lists'),
        ({"plus_input": [3]}, '"plus_input" that is no list of argument lists'),
        ({"base_input": [[3]]}, '"base_input" of another shape than this task'),
        ({"canonical_solution": ""}, 'empty "canonical_solution"'),
        ({"atol": "0"}, '"atol" that is no tolerance'),
        ({"atol": True}, '"atol" that is no tolerance'),
        ({"atol": -1}, '"atol" that is no tolerance'),
        ({"prompt": "def f():\n"}, '"prompt" that is no docstring'),
        ({"prompt": "3"}, '"prompt" that is no docstring'),
    ],
)
def test_what_a_release_row_lacks_is_named(change, message):
    row = {**MBPP_PLUS, "plus_input": [], **change}
    if "plus_input" in change:
        row["base_input"] = [[[1], [2]]]
    with pytest.raises(DatasetError, match=rf"row 1 has an? {message}"):
        load_problems([row])


def test_a_test_that_needs_more_of_numpy_keeps_it():
    test = "import numpy as np\nassert np.sum([f(1)]) == 1\n"
    assert without_numpy(test) == test
    assert without_numpy("assert f(1) == 1") == "assert f(1) == 1"
    assert load({**ORIGIN, "test": "def check(candidate):\n    pass\n"}).timeout_factor == 1.0


@pytest.mark.parametrize(
    ("number", "given", "meant"),
    [
        (2, [[1], [2]], [(1,), (2,)]),
        (63, [[[1, 2], [3]]], [[(1, 2), (3,)]]),
        (259, [[[1], [2]], [[3]]], [((1,), (2,)), ((3,),)]),
        (580, [[1, [2, [3]]], 4], [(1, (2, (3,))), 4]),
        (75, [[[1], [2]], 3], [[(1,), (2,)], 3]),
        (106, [[1], [2]], [[1], (2,)]),
        (115, [[[1], []]], [[{1}, {}]]),
        (124, ["1.5", "1+2j"], [1.5, 1 + 2j]),
        (250, [[1], 2], [(1,), 2]),
        (252, ["(1-2j)"], [1 - 2j]),
        (278, [[1, [2, [3]]]], [(1, (2, [3]))]),
        (307, [[1], 2, 3], [(1,), 2, 3]),
        (722, [{"a": [1, 2]}, 3], [{"a": (1, 2)}, 3]),
        (3, [[1], {"a": [2]}], [[1], {"a": [2]}]),
    ],
)
def test_arguments_that_json_cannot_write(number, given, meant):
    assert repr(mbpp_arguments(number, given)) == repr(meant)


COMPLEX = st.complex_numbers(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | COMPLEX,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(st.integers() | st.tuples(st.text(max_size=2)), max_size=3)
        | st.dictionaries(st.integers() | st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_any_argument_survives_json(value):
    back = decode(json.loads(json.dumps(encode(value))))
    assert back == value
    assert type(back) is type(value)


@settings(max_examples=200, deadline=None)
@given(st.floats(), st.floats(), st.sampled_from([0.0, 1e-7, 0.1]), st.sampled_from([0.0, 1e-6, 0.5]), st.booleans())
def test_closeness_is_numpys(got, expected, rtol, atol, equal_nan):
    with np.errstate(all="ignore"):
        wanted = bool(np.allclose(got, expected, rtol=rtol, atol=atol, equal_nan=equal_nan))
    assert is_close(got, expected, rtol=rtol, atol=atol, equal_nan=equal_nan) == wanted
    assert is_close([got, "a"], (expected, "a"), rtol=rtol, atol=atol, equal_nan=equal_nan) == wanted
    assert is_close({1: got}, {1: expected}, rtol=rtol, atol=atol, equal_nan=equal_nan) == wanted


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ([1.0], [1.0, 1.0]),
        ({1: 1.0}, {2: 1.0}),
        ("a", 1.0),
        ([1.0], 1.0),
        (10**400, 1.0),
        (None, 0),
        (10**400, math.inf),
    ],
)
def test_what_is_never_close(got, expected):
    assert not is_close(got, expected, rtol=1.0, atol=1.0)


def test_the_stand_in_raises_as_numpy_does():
    Numpy.testing.assert_allclose([math.nan], [math.nan])
    with pytest.raises(AssertionError):
        Numpy.testing.assert_allclose(1.0, 1.1)
    assert not Numpy.allclose(math.nan, math.nan)


@pytest.mark.parametrize(
    ("rule", "arguments", "got", "expected", "atol", "right"),
    [
        ("equal", [], 1, 1.0, 0, True),
        ("equal", [], 1.0000001, 1.0, 0, True),
        ("equal", [], 1.1, 1.0, 0, False),
        ("equal", [], 1.1, 1.0, 0.2, True),
        ("equal", [], 3, 4, 2, True),
        ("equal", [], 3, 3.1, 2, False),  # of another type
        ("equal", [], [1.0000001, 2.0], [1.0, 2.0], 0, True),
        ("equal", [], [1.0000001, 2], [1.0, 2], 0, False),  # not all floats
        ("equal", [], [], [1.0], 0, False),
        ("equal", [], [1], [], 0, False),
        ("equal", [], (1,), [1], 0, False),
        ("anything", [], object(), 1, 0, True),
        ("or_zero", [], 0, 6, 0, True),
        ("or_zero", [], 6, 6, 0, True),
        ("or_zero", [], 5, 6, 0, False),
        ("or_zero", [], None, 6, 0, False),
        ("upright_height", [3, 4], 33, 0, 0, False),
        ("upright_height", [6, 4], 96, 0, 0, True),  # base 36, four triangles of 6 x 5 / 2
        ("padded_digits", [123, 23], 1, 9, 0, True),
        ("padded_digits", [-1, 20], 3, 9, 0, False),
        ("padded_digits", [-1, 20], 9, 9, 0, True),
        ("same_set", [], [2, 1, 1], (1, 2), 0, True),
        ("same_set", [], [1], (1, 2), 0, False),
        ("same_set", [], 5, (1, 2), 0, False),
        ("same_set", [], [[1]], (1, 2), 0, False),
        ("not_none", [], True, "match", 0, True),
        ("not_none", [], False, "match", 0, False),
        ("not_none", [], "other", "match", 0, True),
        ("not_none", [], None, None, 0, True),
        ("root", [[-2, 1]], 2.00001, "unused", 1e-4, True),
        ("root", [[-2, 1]], 2.1, 2.0, 1e-4, False),
        ("root", [[-2, 1]], "2", 2.0, 1e-4, False),
        ("root", [[-2, 0, 1]], 1e300, 2.0, 1e-4, False),
        ("root", [[-2, 1]], math.nan, 2.0, 1e-4, False),
    ],
)  # fmt: skip
def test_the_rules_of_evalplus(rule, arguments, got, expected, atol, right):
    assert agrees(rule, arguments, got, expected, atol) is right
