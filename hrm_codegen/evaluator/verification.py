"""Tests a data set's tests: each reference solution has to pass, and programs that do nothing have to fail.

A task whose reference fails scores nobody, one that an empty function passes scores everybody. Both are found by
running, never by a list of names. Not a judgement of the reference: a wrong one that agrees with its tests passes.
"""

from __future__ import annotations

import ast
import dataclasses
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from hrm_codegen.data.problem import Problem
from hrm_codegen.data.syntax import parse
from hrm_codegen.evaluator.report import program_of
from hrm_codegen.evaluator.sandbox import Sandbox, default_sandbox
from hrm_codegen.evaluator.verdicts import Verdict, check_timeout

Candidate = Literal["reference", "functions that return None", "empty program"]
_LOG = logging.getLogger("hrm_codegen.evaluator")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Offence:
    """A program whose verdict is not what it has to be.

    Attributes:
      task_id: The task.
      candidate: Which program.
      verdict: What became of it.
      message: One line for people.
    """

    task_id: str
    candidate: Candidate
    verdict: Verdict
    message: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of a data set.

    Attributes:
      checked: How many tasks were checked.
      skipped: The tasks that have no reference solution, by id; they were not.
      offences: In the order of the problems.
    """

    checked: int
    skipped: tuple[str, ...]
    offences: tuple[Offence, ...]


def verify_problems(
    problems: Sequence[Problem],
    *,
    timeout: float | int = 2.0,
    workers: int | None = None,
    sandbox: Sandbox | None = None,
) -> Verification:
    """Runs the reference solution of each problem, and programs that do nothing, against its tests.

    Args:
      problems: Those without `code` are skipped.
      timeout: CPU seconds a program, times the problem's `timeout_factor`; best what evaluations use.
      workers: Programs run at a time; None: one a core.
      sandbox: None: the default one.

    Raises:
      UsageError: A timeout that is none.
      SandboxError: This machine has no sandbox.
    """
    check_timeout(timeout)
    box = sandbox or default_sandbox()
    _LOG.debug("verifying %d problems in sandbox tier %s", len(problems), box.tier)  # known before threads need it
    with_code = [problem for problem in problems if problem.code.strip()]
    pool = ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="verify")
    try:
        found = list(pool.map(lambda problem: _offences(problem, timeout, box), with_code))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        box.stop()
        raise
    finally:
        pool.shutdown()
    return Verification(
        checked=len(with_code),
        skipped=tuple(problem.task_id for problem in problems if not problem.code.strip()),
        offences=tuple(offence for offences in found for offence in offences),
    )


def empty_functions(code: str) -> str | None:
    """Returns a program with every function emptied to `return None`; None if there is none or it does not parse."""
    tree = parse(code)
    if tree is None:
        return None
    emptier = _Emptier()
    try:
        text = ast.unparse(ast.fix_missing_locations(emptier.visit(tree)))
    except RecursionError:
        return None
    return text if emptier.emptied else None


class _Emptier(ast.NodeTransformer):
    emptied = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.emptied += 1
        node.body = [ast.Return(value=ast.Constant(value=None))]
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        self.emptied += 1
        node.body = [ast.Return(value=ast.Constant(value=None))]
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self.emptied += 1
        node.body = ast.Constant(value=None)
        return node


def _offences(problem: Problem, timeout: float | int, sandbox: Sandbox) -> list[Offence]:
    candidates: dict[Candidate, str | None] = {
        "reference": problem.code,
        "functions that return None": empty_functions(problem.code),
        "empty program": "",
    }
    offences = []
    for candidate, code in candidates.items():
        if code is None:
            continue
        result = sandbox.run(program_of(problem, code, timeout * problem.timeout_factor))
        has_to_pass = candidate == "reference"
        if result.verdict is Verdict.HARNESS_ERROR or (result.verdict is Verdict.PASSED) != has_to_pass:
            message = result.message or "passes: the tests prove nothing"
            offences.append(
                Offence(task_id=problem.task_id, candidate=candidate, verdict=result.verdict, message=message)
            )
        if result.verdict is Verdict.HARNESS_ERROR:
            break  # tests that cannot be run say the same of every program
    return offences
