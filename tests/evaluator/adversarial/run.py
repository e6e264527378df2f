"""Runs cases in a tier and says which of them got a verdict that they must not. Standard library only.

As a program (`python -m adversarial.run <tier> <threads> <category>...`) it prints one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from hrm_codegen.evaluator.sandbox import JailSandbox
from hrm_codegen.evaluator.verdicts import Program, ProgramResult
from hrm_codegen.evaluator.workers import Limits

from .case import Case

MODES = {"A": "namespaces", "B": "landlock", "C": "posix"}
# In the command line of every process of these workers, and of no other's: leftovers can be told by it.
IDLE_SECONDS = float(os.environ.get("HRM_TEST_IDLE") or f"7.{os.getpid():07d}1")


@contextlib.contextmanager
def opened(tier: str) -> Iterator[JailSandbox]:
    """A sandbox of the tier whose processes can be told from all others."""
    sandbox = JailSandbox(MODES[tier], Limits(idle_seconds=IDLE_SECONDS))  # type: ignore[arg-type]
    try:
        yield sandbox
    finally:
        sandbox.close()


def run_case(sandbox: JailSandbox, case: Case) -> ProgramResult:
    """Runs a case."""
    return sandbox.run(
        Program(
            code=case.code,
            test_list=case.tests,
            test_setup_code=case.setup,
            entry_point=case.entry_point,
            timeout=float(case.timeout),
        )
    )


def complaint(case: Case, result: ProgramResult, seconds: float = 0.0) -> str:
    """Returns what is wrong with a result; an empty text if nothing is."""
    found = f"{case.name}: {result.verdict} ({result.message}), printed {result.stdout[:300]!r}"
    if result.verdict not in case.allowed:
        return f"{found}; only {', '.join(sorted(case.allowed))} may come of it"
    if case.prints not in result.stdout:
        return f"{found}, not {case.prints!r}"
    if case.seconds and seconds > case.seconds:
        return f"{found}; took {seconds:.1f} s"
    return ""


def run_all(tier: str, cases: Iterable[Case], threads: int) -> dict[str, str]:
    """Runs cases in one sandbox. Returns the complaint about each, by name."""
    with opened(tier) as sandbox, ThreadPoolExecutor(threads) as pool:

        def judge(case: Case) -> tuple[str, str]:
            started = time.monotonic()
            return case.name, complaint(case, run_case(sandbox, case), time.monotonic() - started)

        return dict(pool.map(judge, cases))


if __name__ == "__main__":
    from adversarial.corpus import chosen

    _, name, number, *categories = sys.argv
    places = json.loads(os.environ.pop("HRM_TEST_VALUES", "{}"))
    print(json.dumps(run_all(name, [case.filled(places) for case in chosen(name, categories)], int(number))))
