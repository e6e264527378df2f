"""A worker seen from the evaluator: started, asked, killed. What runs in it is `jail/worker.py`.

A worker is an interpreter of its own with an empty environment. It stays warm between cases and leaves by itself when
nothing is asked of it for a while, or when this process is gone, however it went.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
from typing import IO, Any

from hrm_codegen.errors import SandboxError
from hrm_codegen.evaluator import interpreter
from hrm_codegen.evaluator.jail.cleanup import remove_tree
from hrm_codegen.evaluator.jail.messages import receive, send

_LOG = logging.getLogger("hrm_codegen.evaluator")
_LEAVING_SECONDS, _OVERDUE_SECONDS = 1.0, 2.0
_NEEDS_FOLDER = ("B", "C")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use besides its CPU seconds.

    Attributes:
      address_space: Bytes of virtual memory a process (not enforced on macOS).
      processes: Processes and threads; enforced where the sandbox has a user of its own.
      file_size: Bytes of a file.
      open_files: File descriptors.
      folder_bytes: Bytes of the folder it may write to (tier A).
      output: Bytes printed; more is `output_limit`.
      captured: Bytes of the output that are kept.
      judge_bytes: Bytes of virtual memory for the judge, which holds what a program returns.
      start_seconds: Wall time for a worker to start; more is the harness's fault.
      idle_seconds: How long a worker waits for its next case before it leaves.
    """

    address_space: int = 1 << 30
    processes: int = 24
    file_size: int = 32 << 20
    open_files: int = 64
    folder_bytes: int = 64 << 20
    output: int = 10 << 20
    captured: int = 4096
    judge_bytes: int = 1 << 30
    start_seconds: float = 60.0
    idle_seconds: float = 1.0


class Refused(SandboxError):
    """The system does not grant what a tier needs."""


class WorkerGone(Exception):
    """The worker ended before it had reported."""


class WorkerOverdue(Exception):
    """The worker did not report in time; it has been killed."""


class Worker:
    """One worker process; used by one thread at a time, but `kill` may come from any.

    Attributes:
      stopped: Whether it was killed on purpose.
    """

    def __init__(self, launch: _Launch, line: socket.socket, lifeline: int, limits: Limits) -> None:
        """See `start_workers`."""
        self._launch, self._line, self._lifeline, self._limits = launch, line, lifeline, limits
        self._pid: int | None = None
        self._handle: int | None = None
        self.stopped = False

    @property
    def alive(self) -> bool:
        """Whether it has not left."""
        if not select.select([self._line], [], [], 0)[0]:
            return True
        with contextlib.suppress(OSError):
            return bool(self._line.recv(1, socket.MSG_PEEK))
        return False

    def wait_until_ready(self) -> None:
        """Waits for the worker's word.

        Raises:
          Refused: If the system does not grant what the tier needs.
          SandboxError: If it does not start for any other reason.
        """
        if self._pid is not None:
            return
        self._line.settimeout(self._limits.start_seconds)
        try:
            word = receive(self._line) or {}
        except (OSError, ValueError) as error:
            word = {"died": str(error)}
        if "ready" in word:
            self._pid = int(word["ready"])
            with contextlib.suppress(AttributeError, OSError):
                self._handle = os.pidfd_open(self._pid)
            return
        if "refused" in word:
            raise Refused(str(word["refused"]))
        raise SandboxError(f"the sandbox did not start ({self._launch.last_words() or word.get('died', '')})")

    def judge(self, case: dict[str, Any]) -> dict[str, Any]:
        """Returns the report on a case.

        Raises:
          WorkerGone: If the worker ended first.
          WorkerOverdue: If it has not ended the case in the case's wall time.
        """
        self._line.settimeout(case["wall_seconds"] + _OVERDUE_SECONDS)
        try:
            send(self._line, case)
            report = receive(self._line)
        except TimeoutError as error:
            self.kill()
            raise WorkerOverdue from error
        except OSError:
            report = None
        if report is None:
            self.kill()
            raise WorkerGone
        return report

    def kill(self) -> None:
        """Ends it and all that it has started, at once."""
        with contextlib.suppress(ProcessLookupError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)
            else:
                self._launch.kill()

    def close(self) -> None:
        """Ends it and gives back what it had; one that is idle leaves in good order."""
        try:
            self._line.shutdown(socket.SHUT_WR)
            self._line.settimeout(_LEAVING_SECONDS)
            while self._line.recv(1 << 16):
                pass
        except OSError:
            self.kill()
        self._line.close()
        os.close(self._lifeline)
        if self._handle is not None:
            os.close(self._handle)
        self._launch.leave()


class _Launch:
    """The start of one or more workers: an interpreter that forks them once all that they share is imported."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes], folder: str | None, members: int) -> None:
        self._process, self._errors, self._folder, self._members = process, errors, folder, members
        self._lock = threading.Lock()
        # Reaped whenever it ends: an idle evaluator must not keep the dead.
        threading.Thread(target=process.wait, name="sandbox-reaper", daemon=True).start()

    def last_words(self) -> str:
        """Returns how it has ended and what it has written to stderr."""
        self.kill()
        self._errors.seek(0)
        text = self._errors.read().decode("utf-8", "replace").strip()[-500:]
        return f"exit {self._process.wait()}: {text}"

    def kill(self) -> None:
        """Ends it and all its workers."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def leave(self) -> None:
        """Counts a worker that is closed; with the last one gives back what they had."""
        with self._lock:
            self._members -= 1
            if self._members:
                return
        try:
            self._process.wait(_LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._errors.close()
        if self._folder is not None and os.path.isdir(self._folder):
            remove_folder(self._folder)


def start_workers(tier: str, limits: Limits, count: int = 1) -> list[Worker]:
    """Starts workers; does not wait until they are ready.

    Args:
      tier: A, B or C.
      limits: What programs may use.
      count: How many, at the cost of little more than one; always one outside of tier A.

    Raises:
      SandboxError: If there is no interpreter to start.
      OSError: If there is no room for a process, a descriptor or a folder.
    """
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(1 if tier in _NEEDS_FOLDER else count)]
        lifelines = [os.pipe() for _ in pairs]
        for (_, far), (reading, _) in zip(pairs, lifelines, strict=True):
            stack.callback(far.close)
            stack.callback(os.close, reading)
        members = [(far.fileno(), reading) for (_, far), (reading, _) in zip(pairs, lifelines, strict=True)]
        folder = tempfile.mkdtemp(prefix="hrm_codegen_") if tier in _NEEDS_FOLDER else None
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the last worker)
        settings = {
            "tier": tier,
            "folder": folder,
            "members": members,
            "box_bytes": limits.folder_bytes,
            "judge_bytes": limits.judge_bytes,
            "idle_seconds": limits.idle_seconds,
            "limits": dataclasses.asdict(limits),
        }
        descriptors = [descriptor for member in members for descriptor in member]
        process = interpreter.start(settings, folder=folder, descriptors=descriptors, errors=errors)
    launch = _Launch(process, errors, folder, len(pairs))
    return [Worker(launch, near, life, limits) for (near, _), (_, life) in zip(pairs, lifelines, strict=True)]


def remove_folder(folder: str) -> None:
    """Removes a folder that programs have written in; logs a warning if something cannot be removed."""
    try:
        remove_tree(folder)
    except OSError as error:
        _LOG.warning("cannot remove the temporary folder %s: %s", folder, error)
