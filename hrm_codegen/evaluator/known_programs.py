"""Programs with a known verdict, run before every evaluation: no score is reported from a broken sandbox."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hrm_codegen.errors import SandboxError
from hrm_codegen.evaluator.sandbox import Sandbox, default_sandbox
from hrm_codegen.evaluator.verdicts import Program, Verdict

_TESTS = ("assert double(2) == 4", "assert double(-1) == -2")
_GOOD = "def double(x):\n    return 2 * x\n"
_CASES = (
    (_GOOD, Verdict.PASSED),
    ("def double(x):\n    return x * x\n", Verdict.WRONG_ANSWER),
    ("def double(x):\n    raise ValueError(x)\n", Verdict.EXCEPTION),
    ("def double(x)\n    return 2 * x\n", Verdict.LOAD_ERROR),
    (f"import os\nos.write(1, b'passed')\nos._exit(0)\n{_GOOD}", Verdict.PROTOCOL),
    ("def double(x):\n    while True:\n        pass\n", Verdict.TIMEOUT_CPU),
)
_TIMEOUT = 0.25


def self_check(sandbox: Sandbox | None = None) -> None:
    """Runs known-good and known-bad programs.

    Args:
      sandbox: The one to check; None: the default one.

    Raises:
      SandboxError: Names the first program with a wrong verdict.
    """
    sandbox = sandbox or default_sandbox()
    programs = [Program(code=code, test_list=_TESTS, timeout=_TIMEOUT) for code, _ in _CASES]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(sandbox.run, programs))
    for (code, wanted), program, result in zip(_CASES, programs, results, strict=True):
        if result.verdict != wanted:  # alone, before it counts: a busy machine is no broken sandbox
            result = sandbox.run(program)
        if result.verdict != wanted:
            raise SandboxError(
                f"the sandbox (tier {sandbox.tier}) judges a known program {result.verdict}, not {wanted}: "
                f"{result.message or 'no message'}. No score from it can be trusted. The program:\n{code}"
            )
