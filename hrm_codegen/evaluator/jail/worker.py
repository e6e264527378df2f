"""The worker's process: enters the sandbox, starts the zygote, and then judges one case after the other.

Started by `workers.py` as `python -c ... '<settings as JSON>'`, with a socket and a pipe for each worker, that end when
the evaluator does. Cases and reports are JSON, each behind its length.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import solver
from .cleanup import remove_tree
from .encoder import OWN_MODULE
from .messages import receive, send
from .walls import TIERS, Walls
from .zygote import PID, REQUEST, Zygote, import_warm_modules

_EVALUATOR, _LIFELINE = 3, 4
_RECURSION_LIMIT = 20_000
_GRACE = 4.0  # more than the evaluator has
_KILL = b"K".ljust(REQUEST.size, b"\0")


def main() -> NoReturn:
    """Sets everything up, says so, and serves until the evaluator is gone or idle for long."""
    settings = json.loads(sys.argv[1])
    sys.argv[:] = [OWN_MODULE]
    for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):  # read by now, and nobody else's business
        os.environ.pop(name, None)
    import_warm_modules()
    member = _become_one_of(settings["members"])
    # Out of the way first: one of the two may have the other's new number.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _LIFELINE + 1) for descriptor in member]
    os.dup2(moved[0], _EVALUATOR)
    os.dup2(moved[1], _LIFELINE)
    os.closerange(_LIFELINE + 1, 256)
    evaluator = socket.socket(fileno=_EVALUATOR)
    try:
        worker = Worker(evaluator, settings)
    except (OSError, ImportError, ValueError) as error:
        send(evaluator, {"refused": f"{error.strerror if isinstance(error, OSError) else error}"})
        os._exit(0)
    send(evaluator, {"ready": os.getpid()})
    os.dup2(0, 2)  # what a test prints is nobody's; up to here it was why the start failed
    worker.serve()


class Worker:
    """Judges cases."""

    def __init__(self, evaluator: socket.socket, settings: dict[str, Any]) -> None:
        """Enters the sandbox and forks the zygote; raises OSError where the system refuses."""
        self._evaluator, self._settings = evaluator, settings
        self._control, far = socket.socketpair()
        self._zygote = 0
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # where memory runs out, it is programs that go first
        _end_with(_LIFELINE, self._leave if settings["folder"] else None)
        sys.dont_write_bytecode = True  # whatever is imported from here on is a program's or a test's
        self._walls: Walls = TIERS[settings["tier"]](settings["folder"], settings["box_bytes"], settings["packages"])
        os.environ.update(HOME=self._walls.folder, TMPDIR=self._walls.folder)
        self._walls.enter()
        sys.path.append(self._walls.packages)
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        self._zygote = os.fork()
        if not self._zygote:
            self._become_zygote(far, output)
        far.close()
        os.close(output)
        if not self._control.recv(1):
            raise OSError(errno.EPERM, "the process that starts programs could not give up its rights")
        sys.setrecursionlimit(_RECURSION_LIMIT)  # ours; programs have the usual one
        # Only now: what a zygote has in memory, every solver has to carry.
        self._judge = importlib.import_module(f"{__package__}.judge")
        limit = settings["judge_bytes"]
        if sys.platform != "darwin":
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def serve(self) -> NoReturn:
        """Answers each case by a report."""
        while True:
            self._evaluator.settimeout(self._settings["idle_seconds"])
            try:
                message = receive(self._evaluator)
            except TimeoutError:
                message = None
            if message is None:
                self._leave()
            self._evaluator.settimeout(None)
            send(self._evaluator, self._report(message))

    def _report(self, message: dict[str, Any]) -> dict[str, Any]:
        case = self._judge.Case(**message | {"test_list": tuple(message["test_list"])})
        code = self._judge.prepare(case)
        if isinstance(code, self._judge.Report):
            return vars(code)
        self._walls.renew_folder()
        near, far = socket.socketpair()
        limits = self._settings["limits"]
        request = REQUEST.pack(b"F", case.timeout)
        socket.send_fds(self._control, [request], [far.fileno()])
        far.close()
        kind, number = PID.unpack(self._control.recv(PID.size).ljust(PID.size, b"\0"))
        if kind != b"P":
            near.close()
            text = os.strerror(number) if number else "the process that starts programs is gone"
            return vars(self._judge.Report("harness_error", f"cannot start a program: {text}"))
        line = self._judge.Line(near, self._control, self._output, _EVALUATOR, self._leave)
        line.output_limit, line.kept = limits["output"], limits["captured"]
        started = time.monotonic()
        line.deadline = started + case.wall_seconds
        # A test that does not end on some answer is in nobody's loop but the kernel's: this ends the process.
        signal.setitimer(signal.ITIMER_REAL, case.wall_seconds + _GRACE)
        report = self._judge.run_tests(case, code, line)
        if line.dead is None:
            self._control.sendall(_KILL)
        _, seconds = line.wait_for_end()
        signal.setitimer(signal.ITIMER_REAL, 0)
        near.close()
        fields = vars(self._judge.finish(case, report, line))
        stdout = line.output.decode("utf-8", "replace")
        return fields | {"cpu_seconds": seconds, "wall_seconds": time.monotonic() - started, "stdout": stdout,
                         "stdout_bytes": line.output_bytes}  # fmt: skip

    def _leave(self) -> NoReturn:
        """Ends in good order: nothing that a program has started or written stays behind."""
        if self._zygote:
            self._control.close()
            os.waitpid(self._zygote, 0)  # it kills what is left; and its CPU time counts as ours
        if self._settings["folder"]:
            remove_tree(self._settings["folder"])
        os._exit(0)

    def _become_zygote(self, control: socket.socket, output: int) -> NoReturn:
        try:
            os.dup2(output, 1)
            os.dup2(output, 2)
            descriptor = control.detach()
            os.dup2(descriptor, 3)
            os.closerange(4, 256)
            limits = self._settings["limits"]
            _lower(resource.RLIMIT_NOFILE, limits["open_files"])
            _lower(resource.RLIMIT_NPROC, self._walls.process_limit(limits["processes"]))
            _lower(resource.RLIMIT_CORE, 0)
            _lower(resource.RLIMIT_FSIZE, limits["file_size"])
            if sys.platform != "darwin":
                _lower(resource.RLIMIT_AS, limits["address_space"])
            control = socket.socket(fileno=3)
            self._walls.give_up_rights()
            for number in (signal.SIGINT, signal.SIGALRM, signal.SIGIO):
                signal.signal(number, signal.SIG_DFL)
            os.chdir("/")
            control.sendall(b"+")
            Zygote(control, self._serve_solver, init=self._walls.init).run()
        finally:
            os._exit(1)

    def _serve_solver(self, line: int, request: bytes) -> NoReturn:
        try:
            os.chdir(self._walls.folder)
            solver.serve(line, request, self._walls.restrict)
        finally:
            os._exit(1)


def _become_one_of(members: list[list[int]]) -> list[int]:
    """Forks a worker for each member, if there are several, and waits for all of them. Returns, in each, its own."""
    if len(members) == 1:
        return members[0]
    for member in members:
        if not os.fork():
            return member
    os.closerange(_EVALUATOR, 256)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    os._exit(0)


def _end_with(lifeline: int, leave: Callable[[], NoReturn] | None) -> None:
    """Ends this process, whatever it is doing, when the other end of a pipe is closed: at once, or by `leave`."""
    if sys.platform == "linux":
        if leave is not None:
            signal.signal(signal.SIGIO, lambda *_: leave())
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
