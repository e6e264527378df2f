"""The process that solvers are forked from: process 1 of the sandbox, warm, without rights, and without any secret.

It is forked from the worker before the worker has read a single test, gives up its rights once for all solvers, and
then only forks, waits, kills and counts. A solver's program goes from the worker to the solver directly: nothing that
one solver is given is in the memory that the next one inherits.

On its control socket, `F` with a number of CPU seconds, and a descriptor (the solver's end of its line), asks for a
solver. It is answered by `P` and a pid, or by `E` and an error number. `K` kills whatever the solver has left. The end
of each solver is reported once, whether it came by itself or by `K`: by `D`, its wait status and its CPU time; by `T`
where its CPU time had run out.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

REQUEST = struct.Struct(">cd")
PID, DEAD = struct.Struct(">ci"), struct.Struct(">cid")
_NOT_REAPED = (0, 0.0)
_PAUSE_MS = 5
_OUTPUT = 1
_CORES = os.cpu_count() or 1
_CPUCLOCK_SCHED = 2
# What most programs import: loaded once, inherited by all.
WARM = (
    "_ast",  # `compile` makes its types on first use, which takes it a millisecond
    *("abc", "array", "bisect", "collections", "contextlib", "copy", "datetime", "decimal", "enum"),
    *("fractions", "functools", "heapq", "itertools", "math", "numbers", "operator", "random", "re", "string"),
    *("struct", "time", "typing"),
)


_fork_handlers: list[dict[str, Any]] = []


def import_warm_modules() -> None:
    """Imports what is to be warm, without what some of it would run at every fork.

    `threading` repairs itself after a fork of several threads, of which there is one here, and `random` seeds itself
    anew, which no sample should. Together they would be a third of a fork's cost.
    """
    register = os.register_at_fork
    os.register_at_fork = lambda **handlers: _fork_handlers.append(handlers)
    try:
        for name in WARM:
            importlib.import_module(name)
    finally:
        os.register_at_fork = register


def register_fork_handlers() -> None:
    """In a solver: from now on a fork is the program's own."""
    for handlers in _fork_handlers:
        os.register_at_fork(**handlers)


class Zygote:
    """The loop of the zygote's process."""

    def __init__(self, control: socket.socket, serve: Callable[[int, bytes], NoReturn], *, init: bool) -> None:
        """Makes the loop.

        Args:
          control: To the worker; its descriptor is 3.
          serve: Becomes the solver; never returns.
          init: Whether this is process 1, that may kill and reap all others.
        """
        self._control, self._serve, self._init = control, serve, init
        self._solver, self._out_of_time = 0, False

    def run(self) -> NoReturn:
        """Serves until the worker is gone."""
        sys.modules["random"].seed(0)  # every solver starts with the same stream
        gc.collect()
        gc.freeze()
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 1)
            if not message:
                os._exit(0)
            if message[:1] == b"F":  # else a `K` that has crossed the report of the end
                self._fork(message, descriptors)
                if self._solver:
                    self._report(self._wait(REQUEST.unpack(message)[1]))

    def _fork(self, message: bytes, descriptors: list[int]) -> None:
        fcntl.fcntl(_OUTPUT, fcntl.F_SETFL, os.O_WRONLY)  # the last solver may have made it non-blocking, for all of us
        try:
            self._solver = os.fork()
        except OSError as error:
            os.close(descriptors[0])
            self._control.sendall(PID.pack(b"E", error.errno or 0))
            return
        if not self._solver:
            self._serve(descriptors[0], message)
        os.close(descriptors[0])
        self._control.sendall(PID.pack(b"P", self._solver))

    def _wait(self, seconds: float) -> tuple[int, float]:
        """Waits for the solver's end, the end of its CPU time, or the worker's word.

        Returns:
          Status and CPU seconds if it is reaped already.
        """
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        handle = os.pidfd_open(self._solver) if hasattr(os, "pidfd_open") else None
        if handle is not None:
            poll.register(handle, select.POLLIN)
        try:
            while True:
                left = seconds - self._cpu_seconds()
                if left <= 0:
                    self._out_of_time = True
                    return _NOT_REAPED
                # Two threads use it up twice as fast as the clock on the wall goes.
                pause = max(_PAUSE_MS, int(left / _CORES * 1000) + 1) if handle is not None else _PAUSE_MS
                ready = [descriptor for descriptor, _ in poll.poll(pause)]
                if handle in ready:
                    return _NOT_REAPED
                if ready:
                    self._take_word()
                    return _NOT_REAPED
                if handle is None:
                    pid, status, usage = os.wait4(self._solver, os.WNOHANG)
                    if pid:
                        return status, usage.ru_utime + usage.ru_stime
        finally:
            if handle is not None:
                os.close(handle)

    def _cpu_seconds(self) -> float:
        """Returns what the solver has used so far, exactly; timers and limits of the kernel count in ticks."""
        try:
            return time.clock_gettime((~self._solver << 3) | _CPUCLOCK_SCHED)
        except OSError:  # it has just ended, or this is no Linux: what is left is the limit on whole seconds
            return 0.0

    def _take_word(self) -> None:
        if not self._control.recv(REQUEST.size):  # the worker is gone: nobody else cleans up
            self._clean_up(_NOT_REAPED)
            os._exit(0)

    def _report(self, known: tuple[int, float]) -> None:
        status, seconds = self._clean_up(known)
        self._control.sendall(DEAD.pack(b"T" if self._out_of_time else b"D", status, seconds))
        self._solver, self._out_of_time = 0, False

    def _clean_up(self, known: tuple[int, float]) -> tuple[int, float]:
        """Kills all that is left of the solver and reaps it. Returns the solver's status and the CPU time of all."""
        status, seconds = known
        self._kill()
        while True:
            try:
                pid, code, usage = os.wait4(-1, 0 if self._init or known is _NOT_REAPED else os.WNOHANG)
            except ChildProcessError:
                break
            seconds += usage.ru_utime + usage.ru_stime
            if pid == self._solver:
                status, known = code, (code, seconds)
            elif not pid and not self._kill_stragglers():
                break
        return status, seconds

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._init:
                os.kill(-1, signal.SIGKILL)
            else:
                os.killpg(self._solver, signal.SIGKILL)

    def _kill_stragglers(self) -> bool:
        """Kills processes that have left the solver's group and were handed to us. Returns whether there were any."""
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            return False
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        return bool(children)
