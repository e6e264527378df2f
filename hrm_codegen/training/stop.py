"""Stopping politely: SIGTERM and the first Ctrl-C let the current step finish, a second Ctrl-C does not."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import jax

from hrm_codegen.parallel.distributed import Agreement

_log = logging.getLogger("hrm_codegen.training")

SIGNALS = ("SIGTERM", "Ctrl-C")  # the reasons that cannot wait
_REASONS = (None, "time limit", "Ctrl-C", "SIGTERM")  # a later one prevails


class StopRequest:
    """A context manager that turns signals and a time limit into a question asked between steps.

    Handlers are installed in the main thread only (Python allows no other), and the previous ones come back at the
    end.

    Args:
      time_limit_minutes: Counted from entering; None: no limit.
      clock: Seconds, monotonic.
    """

    def __init__(self, *, time_limit_minutes: float | None = None, clock: Callable[[], float] = time.monotonic):
        self._limit, self._clock = time_limit_minutes, clock
        self._signal: str | None = None
        self._deadline = float("inf")
        self._previous: dict[int, Any] = {}
        self._agree: Agreement | None = None

    def __enter__(self) -> StopRequest:
        if self._limit is not None:
            self._deadline = self._clock() + 60 * self._limit
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # A handler that was not installed from Python cannot be put back by Python: None.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    @property
    def reason(self) -> str | None:
        """Why to stop: `SIGTERM`, `Ctrl-C` or `time limit`; None: go on."""
        if self._signal:
            return self._signal
        return "time limit" if self._clock() >= self._deadline else None

    def poll(self) -> str | None:
        """Returns the reason that holds for all processes of a run, who stop at the same step.

        Everyone has to ask equally often. With several processes the answer is a call late.
        """
        if jax.process_count() == 1:
            return self.reason
        if self._agree is None:
            self._agree = Agreement()
        return _REASONS[self._agree(_REASONS.index(self.reason))]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT and self._signal:
            raise KeyboardInterrupt
        self._signal = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        again = "; press Ctrl-C again to abort without saving" if number == signal.SIGINT else ""
        with contextlib.suppress(RuntimeError):  # A signal may arrive while a line is being written.
            _log.info("%s: finishing this step and saving%s", self._signal, again)
