"""Runs one untrusted program in a process of its own and returns one verdict.

Tier C, for every POSIX system: a fresh interpreter a program, CPU, wall, memory, file and output limits, an empty
environment, a private folder, no terminal, its own session, and no network where the kernel allows to drop it. Not
a wall against code that attacks the machine on purpose (it can read the user's files), nor against code that attacks
the score by knowing this harness: tests and program share a process. `Sandbox` is the interface for stronger tiers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import marshal
import os
import platform
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hrm_codegen.errors import SandboxError
from hrm_codegen.evaluator.channel import Channel, Ending, judge_ending
from hrm_codegen.evaluator.cleanup import remove_tree
from hrm_codegen.evaluator.verdicts import Program, ProgramResult, Verdict

_CHILD = Path(__file__).with_name("sandbox_child.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use besides its CPU seconds.

    Attributes:
      address_space: Bytes of virtual memory (not enforced on macOS).
      processes: Processes and threads; enforced in a user namespace only, and never for root.
      file_size: Bytes of a file.
      open_files: File descriptors.
      output: Bytes printed; more is `output_limit`.
      captured: Bytes of the output that are kept.
      start_seconds: Wall time for the interpreter to start; more is the harness's fault.
    """

    address_space: int = 1 << 30
    processes: int = 64
    file_size: int = 32 << 20
    open_files: int = 64
    output: int = 10 << 20
    captured: int = 4096
    start_seconds: float = 60.0


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


class PosixSandbox:
    """Tier C: a process a program. See the module's docstring for what it is not."""

    tier = "C"

    def __init__(self, limits: Limits | None = None) -> None:
        """Makes a sandbox; nothing is started until `run`."""
        if not sys.executable:
            raise SandboxError("no Python interpreter to run programs with: sys.executable is empty")
        self._limits = limits or Limits()
        self._running: set[int] = set()
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """Returns tier, limits and interpreter, for reports."""
        return {"tier": self.tier, "limits": dataclasses.asdict(self._limits), "python": platform.python_version()}

    def stop(self) -> None:
        """Kills the programs that are running now."""
        with self._lock:
            for pid in self._running:
                _kill_group(pid)

    def run(self, program: Program) -> ProgramResult:
        """Runs a program; see `Sandbox.run`."""
        if not program.test_list:
            return ProgramResult(verdict=Verdict.HARNESS_ERROR, message="no tests: any program would pass")
        try:
            folder = tempfile.mkdtemp(prefix="hrm_codegen_")
            try:
                return self._run_in(folder, program)
            finally:
                remove_tree(folder)
        except OSError as error:  # no process, no descriptor, no disk: ours, never the program's
            return ProgramResult(verdict=Verdict.HARNESS_ERROR, message=f"cannot start a program: {error}")

    def _run_in(self, folder: str, program: Program) -> ProgramResult:
        channel = Channel(nonce=secrets.token_hex(16), output_limit=self._limits.output, kept=self._limits.captured)
        with contextlib.ExitStack() as stack:
            child, output, verdicts = self._spawn(folder, program, channel.nonce, stack)
            try:
                reason, ready_at = self._watch(child.pid, output, verdicts, program.timeout, channel)
            finally:
                with self._lock:  # killed before it is reaped, so that its number cannot be another process's
                    _kill_group(child.pid)
                    self._running.discard(child.pid)
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
            channel.drain(output, verdicts)
        ending = Ending(
            reason=channel.reason or reason,
            exit_code=child.returncode,
            total_cpu=usage.ru_utime + usage.ru_stime,
            wall_seconds=time.monotonic() - ready_at,
        )
        return judge_ending(channel, ending, program.timeout)

    def _spawn(
        self, folder: str, program: Program, nonce: str, stack: contextlib.ExitStack
    ) -> tuple[subprocess.Popen[bytes], int, int]:
        """Starts the interpreter. Returns it and the reading ends of its output and of its verdicts."""
        limits = self._limits
        job = {
            "nonce": nonce,
            "parent": os.getpid(),
            "code": program.code,
            "setup": program.test_setup_code,
            "tests": program.test_list,
            "entry_point": program.entry_point,
            "timeout": float(program.timeout),
            "limits": {
                "AS": limits.address_space,
                "NPROC": limits.processes,
                "FSIZE": limits.file_size,
                "NOFILE": limits.open_files,
                "CORE": 0,
            },
        }
        environment = {
            # -I would do this isolation too, but it ignores the hash seed, and sets would be ordered by chance.
            "PYTHONHASHSEED": "0",
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": folder,
            "TMPDIR": folder,
            **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
        }
        with (
            tempfile.TemporaryFile() as file,
            _pipe(stack) as (output, output_end),
            _pipe(stack) as (verdicts, verdict_end),
        ):
            file.write(marshal.dumps(job))
            file.seek(0)
            arguments = [str(file.fileno()), str(verdict_end)]
            child = subprocess.Popen(
                [sys.executable, "-s", "-P", "-S", "-X", "utf8", str(_CHILD), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                pass_fds=(file.fileno(), verdict_end),
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        with self._lock:
            self._running.add(child.pid)
        return child, output, verdicts

    def _watch(self, pid: int, output: int, verdicts: int, timeout: float | int, channel: Channel) -> tuple[str, float]:
        """Reads until a verdict, the end of the process or a limit. Returns why it stopped and when code began."""
        ready_at = time.monotonic()
        deadline = ready_at + self._limits.start_seconds
        with selectors.DefaultSelector() as selector, _process_handle(pid) as handle:
            for source in (output, verdicts, *([handle] if handle is not None else [])):
                selector.register(source, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    return "timeout_wall", ready_at
                for key, _ in selector.select(left):
                    if key.fd == handle:
                        return "exited", ready_at
                    was_ready = channel.started is not None
                    open_ended = channel.read_output(output) if key.fd == output else channel.read_verdicts(verdicts)
                    if not was_ready and channel.started is not None:
                        ready_at = time.monotonic()
                        deadline = ready_at + wall_limit(timeout)
                    if channel.finished or channel.reason:
                        return "finished", ready_at
                    if not open_ended:
                        selector.unregister(key.fd)
                        if key.fd == verdicts and handle is None:
                            return "exited", ready_at


def wall_limit(timeout: float | int) -> float:
    """Returns the wall seconds a program of `timeout` CPU seconds gets: generous, since a busy machine is no fault."""
    return 3 * timeout + 2


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
      test_list: Statements that raise if it is wrong; an empty list is a `harness_error`, never a pass.
      test_setup_code: Runs between the program and the tests.
      entry_point: The function under test, if known; a test that only defines `check(candidate)` is called with it.
      timeout: CPU seconds; the wall limit is `3 * timeout + 2` seconds.
    """
    program = Program(
        code=code,
        test_list=tuple(test_list),
        test_setup_code=test_setup_code,
        entry_point=entry_point,
        timeout=timeout,
    )
    return PosixSandbox().run(program)


@contextlib.contextmanager
def _pipe(stack: contextlib.ExitStack) -> Iterator[tuple[int, int]]:
    """A pipe whose reading end lives as long as `stack`, the writing end as long as the block."""
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    os.set_blocking(reading, False)
    try:
        yield reading, writing
    finally:
        os.close(writing)


@contextlib.contextmanager
def _process_handle(pid: int) -> Iterator[int | None]:
    """A descriptor that is readable when the process has ended; None where the system has no such thing."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
