"""What goes into a sandbox and what comes out: a program with its tests, and one verdict.

Plain data, shared by every sandbox: a stronger one replaces the code that runs programs, not these names.
"""

from __future__ import annotations

import dataclasses
import math
from enum import StrEnum
from typing import Literal

from hrm_codegen.errors import UsageError

SandboxMode = Literal["auto", "best-effort", "namespaces", "landlock", "posix"]


class Verdict(StrEnum):
    """How a program ended. Only `PASSED` counts; `HARNESS_ERROR` is never the model's fault and fails the run."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    EXCEPTION = "exception"
    TIMEOUT_CPU = "timeout_cpu"
    TIMEOUT_WALL = "timeout_wall"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    CRASH = "crash"
    LOAD_ERROR = "load_error"
    PROTOCOL = "protocol"
    HARNESS_ERROR = "harness_error"

    @property
    def is_timeout(self) -> bool:
        """Whether the program ran out of CPU or wall time."""
        return self in (Verdict.TIMEOUT_CPU, Verdict.TIMEOUT_WALL)

    @property
    def is_error(self) -> bool:
        """Whether the program broke, neither in time with an answer nor out of time."""
        return self not in (Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.HARNESS_ERROR) and not self.is_timeout


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A candidate and what it is judged by. Run in the order code, prelude, setup, tests.

    Attributes:
      code: The candidate, untrusted.
      test_list: Statements that raise if the candidate is wrong.
      test_setup_code: Runs after `code` (it may use the candidate's classes) and before the tests.
      prelude: Trusted code of the problem itself (HumanEval's stub), run before the tests: helpers that it defines are
        taken from it and not from the candidate.
      entry_point: The function under test, if known. With it, a test that only defines `check(candidate)` is called.
      timeout: CPU seconds of the candidate, for loading it and for all its calls together.
      all_tests: Go on after the first failure, for a breakdown by test.
    """

    code: str
    test_list: tuple[str, ...]
    test_setup_code: str = ""
    prelude: str = ""
    entry_point: str | None = None
    timeout: float | int = 2.0
    all_tests: bool = False

    def __post_init__(self) -> None:
        check_timeout(self.timeout)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramResult:
    """A verdict and what explains it; every text is bounded.

    Attributes:
      verdict: One of `Verdict`.
      message: One line for people; empty for a pass.
      failing_test: The first test that failed, if one did.
      call: The last call that this test made, with its arguments.
      expected: `repr` of the expected side of a failing `assert f(x) == y`.
      got: `repr` of the other side.
      tests: Verdicts of the tests that were run, in order; those after the first failure only if all were asked for.
      tests_total: How many tests there are.
      cpu_seconds: CPU time of the candidate's processes, without the interpreter's start.
      wall_seconds: Wall time of the candidate and its tests.
      stdout: The first 4 KB of what it printed, to stdout or stderr.
      stdout_bytes: How much it printed.
    """

    verdict: Verdict
    message: str = ""
    failing_test: str | None = None
    call: str | None = None
    expected: str | None = None
    got: str | None = None
    tests: tuple[str, ...] = ()
    tests_total: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    stdout: str = ""
    stdout_bytes: int = 0


def check_timeout(timeout: float | int) -> None:
    """Raises UsageError unless `timeout` is a positive, finite number of seconds."""
    if not (math.isfinite(timeout) and timeout > 0):
        raise UsageError(f"timeout must be a positive number of CPU seconds, got {timeout}")
