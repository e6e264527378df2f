"""Runs one untrusted program and returns one verdict: which walls there are, and the workers behind them.

Tier A, the default on Linux: namespaces and seccomp. Tier B, where the kernel grants no namespaces: Landlock and
seccomp. Tier C: limits only; it is used only when asked for, with a warning. In all of them the tests and the verdict
are in another process than the program. What each tier stops is told, and tested, in `docs/security.md`.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import logging
import os
import platform
import threading
from typing import Any, Protocol, get_args, runtime_checkable

from hrm_codegen.errors import SandboxError, UsageError
from hrm_codegen.evaluator.tiers import ISOLATION, MOST_TOGETHER, choose_tier, take_parked, warn_of_tier_c
from hrm_codegen.evaluator.verdicts import Program, ProgramResult, SandboxMode, Verdict
from hrm_codegen.evaluator.workers import Limits, Worker, WorkerGone, WorkerOverdue, start_workers
from hrm_codegen.machine import cores

__all__ = ["JailSandbox", "Limits", "Sandbox", "default_sandbox", "run_program", "wall_limit"]

_LOG = logging.getLogger("hrm_codegen.evaluator")
_TRIES = 3
_INNOCENT = Program(code="", test_list=("pass",))
# Raised when the walls or the judge change, so that verdicts of an older one are not taken for the new one's.
VERSION = 2


@runtime_checkable
class Sandbox(Protocol):
    """What the harness needs to run programs; called from many threads at once."""

    @property
    def tier(self) -> str:
        """The name of the isolation, for reports."""
        ...

    def run(self, program: Program) -> ProgramResult:
        """Runs one program to its verdict; raises nothing for anything a program does."""
        ...

    def stop(self) -> None:
        """Kills the programs that are running now; their verdicts are worthless."""
        ...

    def describe(self) -> dict[str, Any]:
        """Returns tier, limits and interpreter, for reports."""
        ...


class JailSandbox:
    """Workers of one tier, as many as there are programs at a time."""

    def __init__(self, mode: str = "auto", limits: Limits | None = None, *, workers: int | None = None) -> None:
        """Makes a sandbox; nothing is started until it is used.

        Args:
          mode: `auto`: the strongest of tiers A and B. `best-effort`: tier C as well, with a warning. `namespaces`,
            `landlock`, `posix`: tier A, B, C and no other.
          limits: None: the default ones.
          workers: So many programs are expected to run at a time; None: one a core. More are possible.
        """
        if mode not in get_args(SandboxMode):
            raise UsageError(f"sandbox must be one of {', '.join(get_args(SandboxMode))}, got {mode!r}")
        self._mode, self._limits = mode, limits or Limits()
        self._workers = workers or min(cores(), MOST_TOGETHER)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._lock = threading.Lock()
        self._tier: str | None = None

    @property
    def tier(self) -> str:
        """A, B or C; found out by doing, on first use.

        Raises:
          SandboxError: If this machine has none that the mode allows.
        """
        if self._tier is None:
            self._tier = choose_tier(self._mode)
            if self._tier == "C":
                warn_of_tier_c()
        return self._tier

    def describe(self) -> dict[str, Any]:
        """Returns tier, limits and interpreter, for reports."""
        return {
            "tier": self.tier,
            "isolation": ISOLATION[self.tier],
            "version": VERSION,
            "limits": dataclasses.asdict(self._limits),
            "python": platform.python_version(),
        }

    def stop(self) -> None:
        """Kills the programs that are running now."""
        with self._lock:
            for worker in self._busy:
                worker.stopped = True
                worker.kill()

    def close(self) -> None:
        """Ends all workers; those of a sandbox that is forgotten end by themselves."""
        self.stop()
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()

    def run(self, program: Program) -> ProgramResult:
        """Runs a program; see `Sandbox.run`."""
        if not program.test_list:
            return ProgramResult(verdict=Verdict.HARNESS_ERROR, message="no tests: any program would pass")
        case = _case(program)
        message = ""
        for _ in range(_TRIES):
            try:
                worker = self._take()
            except (OSError, SandboxError) as error:
                return ProgramResult(verdict=Verdict.HARNESS_ERROR, message=f"cannot start a program: {error}")
            try:
                report = worker.judge(case)
            except WorkerOverdue:
                self._drop(worker)
                text = "the tests did not come to an end on what the program answered"
                return ProgramResult(verdict=Verdict.TIMEOUT_WALL, message=text)
            except WorkerGone:
                self._drop(worker)
                if worker.stopped:
                    return ProgramResult(verdict=Verdict.HARNESS_ERROR, message="stopped")
                message = "the judge's process ended"
                continue  # it had left idle, or somebody has killed it: the program has not been judged
            self._give_back(worker)
            return ProgramResult(**report | {"verdict": Verdict(report["verdict"]), "tests": tuple(report["tests"])})
        if self._is_sound(program):  # then it was this program that has brought its judges down
            return ProgramResult(verdict=Verdict.PROTOCOL, message=message)
        return ProgramResult(verdict=Verdict.HARNESS_ERROR, message=message)

    def _is_sound(self, program: Program) -> bool:
        """Whether a program that does nothing is judged as it should be."""
        return program != _INNOCENT and self.run(_INNOCENT).verdict is Verdict.PASSED

    def _take(self) -> Worker:
        tier = self.tier
        with self._lock:
            left = [worker for worker in self._idle if not worker.alive]
            self._idle = [worker for worker in self._idle if worker not in left]
            if not self._idle:
                missing = max(1, self._workers - len(self._busy))
                self._idle = take_parked(tier, self._limits) or start_workers(tier, self._limits, missing)
            worker = self._idle.pop()
            self._busy.add(worker)
        for each in left:
            each.close()
        try:
            worker.wait_until_ready()
        except SandboxError:
            self._drop(worker)
            raise
        return worker

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
            self._idle.append(worker)

    def _drop(self, worker: Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
        worker.close()


def run_program(
    *,
    code: str,
    test_list: tuple[str, ...] | list[str],
    test_setup_code: str = "",
    entry_point: str | None = None,
    timeout: float | int = 2.0,
) -> ProgramResult:
    """Runs one program against its tests in the default sandbox.

    Args:
      code: The untrusted program.
      test_list: Statements that raise if it is wrong; an empty list is a `harness_error`, never a pass. Trusted.
      test_setup_code: Runs between the program and the tests. Trusted.
      entry_point: The function under test, if known; a test that only defines `check(candidate)` is called with it.
      timeout: CPU seconds of the program; the wall limit is `3 * timeout + 2` seconds.

    Raises:
      SandboxError: If this machine has no sandbox that is allowed; see `HRM_CODEGEN_SANDBOX` in docs/security.md.
    """
    program = Program(
        code=code,
        test_list=tuple(test_list),
        test_setup_code=test_setup_code,
        entry_point=entry_point,
        timeout=timeout,
    )
    sandbox = default_sandbox()
    _ = sandbox.tier
    return sandbox.run(program)


def default_sandbox(mode: str | None = None) -> JailSandbox:
    """Returns the sandbox that this process shares, made on first use.

    Args:
      mode: See `JailSandbox`; None: the environment variable `HRM_CODEGEN_SANDBOX`, else `auto`.
    """
    return _shared(mode or os.environ.get("HRM_CODEGEN_SANDBOX") or "auto", os.getpid())


def wall_limit(timeout: float | int) -> float:
    """Returns the wall seconds a program of `timeout` CPU seconds gets: generous, since a busy machine is no fault."""
    return 3 * timeout + 2


@functools.cache
def _shared(mode: str, pid: int) -> JailSandbox:
    """Makes one sandbox a process: a forked child must not talk to its parent's workers."""
    sandbox = JailSandbox(mode)
    atexit.register(lambda: sandbox.close() if os.getpid() == pid else None)
    return sandbox


def _case(program: Program) -> dict[str, Any]:
    return vars(program) | {"timeout": float(program.timeout), "wall_seconds": wall_limit(program.timeout)}
