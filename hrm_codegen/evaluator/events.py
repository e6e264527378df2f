"""What happens in an evaluation, as it happens: a stream of small JSON objects for programs that watch.

`run_started`, `sample_judged`, `timeout_confirmed`, `progress`, then `run_finished` or `run_failed`. Each has `event`
and `ts`; the other fields are in `docs/architecture.md`. Nothing here is needed to evaluate, and nothing that goes
wrong with an event file stops an evaluation. Not the results: those are in `results.jsonl`.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any

from hrm_codegen.errors import UsageError
from hrm_codegen.evaluator.report import SampleResult
from hrm_codegen.evaluator.verdicts import ProgramResult

Event = dict[str, Any]
Listener = Callable[[Event], None]
_LOG = logging.getLogger("hrm_codegen.evaluator")
_WINDOW = 30.0  # seconds over which the rate is measured
_EVERY = 1.0  # seconds between two `progress` events, at least


class Meter:
    """Counts samples and tells rate and time left; the clock is the caller's."""

    def __init__(self, *, total: int, done: int, now: float) -> None:
        """Starts counting.

        Args:
          total: Samples of the evaluation.
          done: Those that an earlier run has judged; they say nothing about the rate.
          now: Seconds, of any clock.
        """
        self.total, self.done = total, done
        self._marks = collections.deque([(now, done)])

    def count(self, now: float) -> None:
        """Counts one sample more."""
        self.done += 1
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[1][0] > _WINDOW:
            self._marks.popleft()

    def reading(self, now: float) -> dict[str, Any]:
        """Returns done, total, rate (samples a second) and eta_seconds; the last two None where there is no saying."""
        then, before = self._marks[0]
        seconds = now - then
        rate = (self.done - before) / seconds if seconds > 0 and self.done > before else None
        eta = None if rate is None else round((self.total - self.done) / rate, 1)
        rate = None if rate is None else round(rate, 2)
        return {"done": self.done, "total": self.total, "rate": rate, "eta_seconds": eta}


class Emitter:
    """Turns what the harness does into events for one listener; called from any thread, tells one at a time."""

    def __init__(self, listener: Listener | None, clock: Callable[[], float] = time.monotonic) -> None:
        """See `evaluate` for the listener."""
        self._listener, self._clock = listener, clock
        self._lock = threading.Lock()
        self._meter = Meter(total=0, done=0, now=clock())
        self._told = self._begun = clock()

    def started(self, *, total: int, done: int, **facts: Any) -> None:
        """The evaluation begins: `total` samples, `done` of them by an earlier run."""
        with self._lock:
            self._meter = Meter(total=total, done=done, now=self._clock())
            self._tell("run_started", total=total, done=done, **facts)

    def judged(self, sample: SampleResult, *, cached: bool) -> None:
        """A sample has its final verdict; `cached` if no program was run for it."""
        with self._lock:
            now = self._clock()
            self._meter.count(now)
            self._tell(
                "sample_judged",
                task_id=sample.task_id,
                sample=sample.sample,
                verdict=str(sample.verdict),
                message=sample.message,
                cpu_seconds=sample.result.cpu_seconds,
                cached=cached,
            )
            if now - self._told >= _EVERY or self._meter.done == self._meter.total:
                self._told = now
                self._tell("progress", **self._meter.reading(now))

    def confirmed(self, task_id: str, sample: int, first: ProgramResult, second: ProgramResult) -> None:
        """A program that ran out of time was run again, alone; `second` counts."""
        with self._lock:
            self._tell(
                "timeout_confirmed",
                task_id=task_id,
                sample=sample,
                first=str(first.verdict),
                verdict=str(second.verdict),
            )

    def finished(self, metrics: Mapping[str, float]) -> None:
        """The evaluation is done."""
        with self._lock:
            self._tell("run_finished", seconds=round(self._clock() - self._begun, 3), metrics=dict(metrics))

    def failed(self, error: BaseException) -> None:
        """The evaluation ends without a score."""
        with self._lock:
            self._tell("run_failed", error=f"{type(error).__name__}: {error}")

    def _tell(self, event: str, **fields: Any) -> None:
        if self._listener is not None:
            ts = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._listener({"event": event, "ts": ts, **fields})


@dataclasses.dataclass
class EventFile:
    """A listener that appends each event as a line of JSON, at once; a context manager.

    Attributes:
      path: A file, made if missing, or `-` for stderr: stdout is for results.
    """

    path: str
    _file: IO[str] | None = None

    def __enter__(self) -> EventFile:
        """Opens the file.

        Raises:
          UsageError: If it cannot be written.
        """
        if self.path != "-":
            try:
                self._file = open(self.path, "a", encoding="utf-8", newline="\n")
            except OSError as error:
                raise UsageError(f"cannot write events to {self.path}: {error.strerror}") from error
        else:
            self._file = sys.stderr
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is not None and file is not sys.stderr:
            file.close()

    def __call__(self, event: Event) -> None:
        """Writes a line; a reader that went away, or a full disk, ends the stream and not the evaluation."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            self._file = None
            _LOG.warning("no more events to %s: %s", self.path, error)
