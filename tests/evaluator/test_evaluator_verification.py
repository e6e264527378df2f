"""Tests that do not test, and references that do not pass, are found; sound tasks are not reported."""

from __future__ import annotations

import pytest

from hrm_codegen.data import Problem, load_problems
from hrm_codegen.errors import UsageError
from hrm_codegen.evaluator import ProgramResult, Verdict, verify_problems
from hrm_codegen.evaluator.verification import empty_functions

SOUND = Problem(task_id="sound", text="t", code="def f(x):\n    return x + 1", test_list=("assert f(1) == 2",))


class FakeSandbox:
    """Runs programs here, which is fine for these, and remembers them."""

    tier = "none"

    def __init__(self, error: BaseException | None = None) -> None:
        self.programs: list = []
        self.stopped = False
        self._error = error

    def run(self, program):
        self.programs.append(program)
        if self._error is not None:
            raise self._error
        if not program.test_list:
            return ProgramResult(verdict=Verdict.HARNESS_ERROR, message="no tests")
        space: dict = {}
        try:
            exec("\n".join([program.code, *program.test_list]), space)
        except Exception as error:
            return ProgramResult(verdict=Verdict.WRONG_ANSWER, message=repr(error))
        return ProgramResult(verdict=Verdict.PASSED)

    def stop(self):
        self.stopped = True

    def describe(self):
        return {}


def offences(*problems: Problem, **options) -> list[tuple[str, str, str]]:
    found = verify_problems(problems, sandbox=FakeSandbox(), **options)
    return [(offence.task_id, offence.candidate, str(offence.verdict)) for offence in found.offences]


def change(**fields: object) -> Problem:
    return Problem(**{**{name: getattr(SOUND, name) for name in ("text", "code", "test_list")}, **fields})


def test_a_sound_task_is_not_reported():
    found = verify_problems([SOUND, change(task_id="none", code=" ")], sandbox=FakeSandbox(), workers=1)
    assert (found.checked, found.skipped, found.offences) == (1, ("none",), ())


def test_each_kind_of_offence_is_reported_in_order():
    assert offences(
        change(task_id="wrong", test_list=("assert f(1) == 3",)),
        SOUND,
        change(task_id="defined", test_list=("assert f",)),
        change(task_id="nothing", test_list=("assert True",)),
        change(task_id="untested", test_list=()),
        change(task_id="no function", code="x = 1", test_list=("assert x == 1",)),
    ) == [
        ("wrong", "reference", "wrong_answer"),
        ("defined", "functions that return None", "passed"),
        ("nothing", "functions that return None", "passed"),
        ("nothing", "empty program", "passed"),
        ("untested", "reference", "harness_error"),
    ]


def test_messages_explain():
    found = verify_problems([change(task_id="a", test_list=("assert True",))], sandbox=FakeSandbox())
    assert found.offences[0].message == "passes: the tests prove nothing"
    found = verify_problems([change(task_id="a", test_list=("assert g",))], sandbox=FakeSandbox())
    assert "NameError" in found.offences[0].message


def test_the_time_limit_is_the_task_s():
    box = FakeSandbox()
    verify_problems([SOUND, change(task_id="long", timeout_factor=15.0)], timeout=3, sandbox=box, workers=1)
    assert [program.timeout for program in box.programs] == [3.0] * 3 + [45.0] * 3
    with pytest.raises(UsageError, match="timeout"):
        verify_problems([SOUND], timeout=0, sandbox=box)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
def test_an_error_stops_what_runs(error):
    box = FakeSandbox(error)
    with pytest.raises(type(error)):
        verify_problems([SOUND] * 50, sandbox=box, workers=1)
    assert box.stopped
    assert len(box.programs) < 50


@pytest.mark.parametrize(
    ("code", "emptied"),
    [
        ('def f(x: int) -> int:\n    """Doc."""\n    return x', "def f(x: int) -> int:\n    return None"),
        ("async def f():\n    await g()", "async def f():\n    return None"),
        ("f = lambda x: x + 1", "f = lambda x: None"),
        ("class A:\n    def f(self): yield 1", "class A:\n\n    def f(self):\n        return None"),
        ("@cache\ndef f():\n    def g(): ...\n    return g", "@cache\ndef f():\n    return None"),
        ("x = 1", None),
        ("def f(:", None),
    ],
)  # fmt: skip
def test_functions_are_emptied(code, emptied):
    assert empty_functions(code) == emptied


def test_a_program_too_deep_for_the_printer_has_no_emptied_form():
    assert empty_functions("def f():\n    return 1\nx = a" + ".b" * 900) is None


@pytest.mark.sandbox
def test_human_eval_and_its_plus_form_in_the_sandbox(shared_data):
    problems = load_problems(shared_data / "HumanEval_first20.jsonl.gz")[::4]
    bad = load_problems([{
        "task_id": "HumanEval/901", "prompt": "def half(x):\n", "entry_point": "half",
        "canonical_solution": "    return x / 2\n", "base_input": [[3]], "plus_input": [[0]], "atol": 0,
    }, {
        "task_id": "HumanEval/902", "prompt": "def nothing(x):\n", "entry_point": "nothing",
        "canonical_solution": "    x.append(1)\n", "base_input": [[[]]], "atol": 0,
    }])  # fmt: skip
    found = verify_problems([*problems, *bad], workers=2)
    assert [(o.task_id, o.candidate) for o in found.offences] == [("HumanEval/902", "functions that return None")]
