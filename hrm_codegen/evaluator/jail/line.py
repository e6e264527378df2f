"""The judge's end of the line to a solver: whole messages in, within a deadline, whatever comes.

While it waits it also takes what the program prints, notices that the solver has ended, and ends with the evaluator.
A message is believed to be an answer only if it carries the number of the question.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import NoReturn

from .zygote import DEAD

MAX_ANSWER = 16 << 20
_FRAME = struct.Struct(">II")
_CHUNK = 1 << 16
_HANG_UP_SECONDS = 0.2


class Stopped(BaseException):
    """The program cannot go on; no `except Exception` of a test may swallow it.

    Attributes:
      reason: `ended`, `timeout_wall`, `output_limit`, `protocol`, `harness_error`.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message


class Line:
    """The line to one solver.

    Attributes:
      dead: Wait status and CPU seconds, once the zygote has reported the solver's end.
      out_of_time: Whether it was killed because its CPU time had run out.
      stopped: Why nothing more can be asked; None while the solver lives.
      output: What the program has printed, its beginning.
      output_bytes: How much that was.
    """

    def __init__(
        self,
        solver: socket.socket,
        control: socket.socket,
        output: int,
        evaluator: int,
        leave: Callable[[], NoReturn],
    ) -> None:
        """Takes the open ends.

        Args:
          solver: To the solver.
          control: To the zygote.
          output: Descriptor of the pipe that the program prints into; non-blocking.
          evaluator: Descriptor that hangs up when the evaluator is gone.
          leave: What to do then.
        """
        self._solver, self._control, self._output = solver, control, output
        self._evaluator, self._leave = evaluator, leave
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(output, select.POLLIN)
        self._poll.register(evaluator, 0)
        self._events, self._hung_up = 0, False
        solver.setblocking(False)
        self.dead: tuple[int, float] | None = None
        self.out_of_time = False
        self.stopped: Stopped | None = None
        self.output, self.output_bytes = b"", 0
        self.deadline = float("inf")
        self.output_limit, self.kept = 10 << 20, 4096

    def exchange(self, number: int, message: bytes) -> bytes:
        """Sends a message and returns the next one.

        Raises:
          Stopped: If there will be none; from then on for every call.
        """
        if self.stopped is not None:
            raise self.stopped
        try:
            return self._exchange(number, message)
        except Stopped as stop:
            self.stopped = stop
            raise

    def stop(self, reason: str, message: str = "") -> Stopped:
        """Ends the conversation, and returns what to raise."""
        self.stopped = self.stopped or Stopped(reason, message)
        return self.stopped

    def wait_for_end(self) -> tuple[int, float]:
        """Returns the solver's status and CPU seconds; the zygote has been told to kill it, or it has ended."""
        if self._events and not self._hung_up:
            self._poll.unregister(self._solver)
            self._hung_up = True
        while self.dead is None:
            try:
                self._wait(None)
            except Stopped as stop:
                self.stopped = self.stopped or stop
                if stop.reason == "harness_error":
                    return 0, 0.0
        while self._take_output():
            pass
        return self.dead

    def _exchange(self, number: int, message: bytes) -> bytes:
        rest = memoryview(_FRAME.pack(len(message), number) + message)
        while True:
            if rest:
                rest = rest[self._send(rest) :]
            elif (answer := self._next(number)) is not None:
                return answer
            if self.dead is not None and not self._receive():
                raise Stopped("ended")
            if self.dead is None:
                self._await(select.POLLIN | (select.POLLOUT if rest else 0))
                self._wait(self.deadline - time.monotonic())

    def _await(self, events: int) -> None:
        if events != self._events and not self._hung_up:
            self._poll.register(self._solver, events)
            self._events = events

    def _wait(self, seconds: float | None) -> None:
        if seconds is not None and seconds <= 0:
            raise Stopped("protocol", "the program has closed the line") if self._hung_up else Stopped("timeout_wall")
        for descriptor, event in self._poll.poll(None if seconds is None else max(1, int(seconds * 1000))):
            if descriptor == self._evaluator:
                self._leave()
            elif descriptor == self._output:
                self._take_output()
                if self.output_bytes > self.output_limit:
                    raise Stopped("output_limit", f"printed more than {self.output_limit} bytes")
            elif descriptor == self._control.fileno():
                data = self._control.recv(DEAD.size)
                if not data:
                    raise Stopped("harness_error", "the process that starts programs is gone")
                kind, status, cpu = DEAD.unpack(data)
                self.dead, self.out_of_time = (status, cpu), kind == b"T"
            elif event & ~select.POLLOUT and not self._receive():
                # Its end is about to be reported, or it has closed the line and lives on, to no purpose.
                self._hung_up = True
                self._poll.unregister(self._solver)
                self.deadline = min(self.deadline, time.monotonic() + _HANG_UP_SECONDS)

    def _send(self, data: memoryview) -> int:
        try:
            return self._solver.send(data)
        except BlockingIOError:
            return 0
        except OSError:  # nobody reads any more; what was sent before may still be there
            return len(data)

    def _receive(self) -> bool:
        """Takes what has come. Returns False where there will be no more."""
        try:
            data = self._solver.recv(_CHUNK if len(self._buffer) < _CHUNK else 1 << 20)
        except BlockingIOError:
            return self.dead is None
        except OSError:
            return False
        self._buffer += data
        if len(self._buffer) > MAX_ANSWER + (1 << 20):
            raise Stopped("protocol", "more bytes than any answer has")
        return bool(data)

    def _next(self, number: int) -> bytes | None:
        if len(self._buffer) < _FRAME.size:
            return None
        size, answered = _FRAME.unpack_from(self._buffer)
        if answered != number:
            raise Stopped("protocol", "an answer to a question that was not asked")
        if size > MAX_ANSWER:
            raise Stopped("output_limit", f"an answer of more than {MAX_ANSWER} bytes")
        if len(self._buffer) < _FRAME.size + size:
            return None
        message = bytes(self._buffer[_FRAME.size : _FRAME.size + size])
        del self._buffer[: _FRAME.size + size]
        return message

    def _take_output(self) -> bool:
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:  # somebody else has read it: outside of tier A, a program can
            return False
        self.output_bytes += len(data)
        if len(self.output) < self.kept:
            self.output = (self.output + data)[: self.kept]
        return bool(data)
