"""How far an evaluation is, for people: one moving line on a terminal, a log line now and then elsewhere.

Both listen to the events of `events.py`, and both write to stderr. Nothing moves where nobody looks.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_codegen.evaluator.events import Event, Listener

_LOG = logging.getLogger("hrm_codegen.evaluator")
_EVERY = 10.0


class LogProgress:
    """A listener that logs a line every ten seconds; a short evaluation has none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """See the class.

        Args:
          clock: Seconds.
        """
        self._clock = clock
        self._told = clock()

    def __call__(self, event: Event) -> None:
        """Logs the event if it is time."""
        now = self._clock()
        if event["event"] == "run_started":
            self._told = now
        elif event["event"] == "progress" and now - self._told >= _EVERY:
            self._told = now
            fields = {name: event[name] for name in ("done", "total", "rate", "eta_seconds")}
            _LOG.info("%s", progress_text(event), extra=fields)


def progress_text(event: Event) -> str:
    """Returns `120 of 1640 samples judged, 35.2/s, 0:43 left`."""
    text = f"{event['done']} of {event['total']} samples judged"
    if event["rate"] is None:
        return text
    return f"{text}, {event['rate']:.1f}/s, {duration(event['eta_seconds'])} left"


def duration(seconds: float) -> str:
    """Returns `0:43`, or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def moving_line() -> Iterator[Listener]:
    """Yields a listener that keeps one line of stderr up to date, and leaves nothing of it behind.

    While it is there, what is written to stderr appears above it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = Console(stderr=True)
    display = Progress(*columns, console=console, transient=True, redirect_stdout=False, refresh_per_second=4)
    task: Any = None

    def listen(event: Event) -> None:
        nonlocal task
        if event["event"] == "run_started":
            text = progress_text({**event, "rate": None})
            task = display.add_task(text, total=event["total"], completed=event["done"])
            display.start()
        elif event["event"] == "progress":
            display.update(task, completed=event["done"], description=progress_text(event))
        elif event["event"] in ("run_finished", "run_failed"):
            display.stop()
            if task is not None:
                display.remove_task(task)
                task = None

    try:
        yield listen
    finally:
        display.stop()
