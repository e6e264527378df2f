"""Runs many programs at a time and keeps their verdicts: a pool of threads, each driving one sandboxed process.

Results are recorded one at a time, in the order they come. Leaving the block early (Ctrl-C, an error) kills what runs
and records nothing of it, so that an interrupted evaluation can go on later.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Literal

from hrm_codegen.errors import EvaluationTimeout, SandboxError, UsageError
from hrm_codegen.evaluator.report import SampleResult
from hrm_codegen.evaluator.results_log import ResultsLog
from hrm_codegen.evaluator.sandbox import Sandbox
from hrm_codegen.evaluator.verdicts import Program, Verdict

OnTimeout = Literal["skip", "raise"]
_LOG = logging.getLogger("hrm_codegen.evaluator")
_STOPWATCH, _STOPWATCH_ASCII = "⏱️", "[timeout]"
_LISTED = 5


class Runner:
    """A context manager around a pool.

    Attributes:
      results: By (task_id, sample), with those of an earlier run of the same folder.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        workers: int,
        log: ResultsLog | None,
        on_timeout: OnTimeout,
        on_result: Callable[[SampleResult], None] | None,
    ) -> None:
        """See `evaluate` for the arguments."""
        if on_timeout not in ("skip", "raise"):
            raise UsageError(f'on_timeout must be "skip" or "raise", got {on_timeout!r}')
        if workers < 1:
            raise UsageError(f"workers must be at least 1, got {workers}")
        self.results: dict[tuple[str, int], SampleResult] = dict(log.finished) if log is not None else {}
        self._sandbox, self._log, self._on_timeout, self._on_result = sandbox, log, on_timeout, on_result
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="sandbox")
        self._futures: list[Future[None]] = []
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._stopped = False
        self._warned = False

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with self._lock:
                self._stopped = True
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._sandbox.stop()
        self._pool.shutdown(wait=True)

    def submit(self, task_id: str, sample: int, program: Program, *, completion: str, changes: tuple[str, ...]) -> None:
        """Queues a program; an error that an earlier one raised comes up here or in `wait`."""
        if self._error is not None:
            raise self._error

        def run() -> None:
            try:
                result = self._sandbox.run(program)
                self.record(
                    SampleResult(task_id=task_id, sample=sample, result=result, completion=completion, changes=changes)
                )
                if result.verdict.is_timeout:
                    self._report_timeout(task_id, program.timeout)
            except Exception as error:
                self._error = self._error or error
                raise

        self._futures.append(self._pool.submit(run))

    def record(self, result: SampleResult) -> None:
        """Keeps a result, on disk too; the first of a sample wins."""
        with self._lock:
            key = (result.task_id, result.sample)
            if self._stopped or key in self.results:
                return
            self.results[key] = result
            if self._log is not None:
                self._log.append(result)
            if self._on_result is not None:
                self._on_result(result)

    def wait(self) -> None:
        """Waits for all programs; raises what one of them raised."""
        wait(self._futures, return_when=FIRST_EXCEPTION)
        if self._error is not None:
            raise self._error

    def check_harness(self) -> None:
        """Raises SandboxError, naming the tasks, if a program could not be judged."""
        failed = [result for result in self.results.values() if result.verdict is Verdict.HARNESS_ERROR]
        if failed:
            shown = "; ".join(f"{r.task_id} (sample {r.sample}): {r.message}" for r in failed[:_LISTED])
            more = f"; and {len(failed) - _LISTED} more" if len(failed) > _LISTED else ""
            raise SandboxError(
                f"{len(failed)} programs could not be judged, which is not the model's fault, so no score is reported: "
                f"{shown}{more}. Repair the tests or the machine and run again"
            )

    def _report_timeout(self, task_id: str, timeout: float | int) -> None:
        line = timeout_line(task_id, timeout, getattr(sys.stderr, "encoding", None) or "utf-8")
        with self._lock:
            if self._stopped:
                return
            _LOG.log(logging.DEBUG if self._warned else logging.WARNING, "%s", line)
            self._warned = True
        if self._on_timeout == "raise":
            raise EvaluationTimeout(line)


def timeout_line(task_id: str, timeout: float | int, encoding: str) -> str:
    """Returns `⏱️  Timeout (2s) on example #123`: the number of the task, else its name.

    Args:
      task_id: The task; `mbpp/123` is #123.
      timeout: CPU seconds it had.
      encoding: Of where the line is going; one that lacks the stopwatch gets `[timeout]`.
    """
    number = re.search(r"\d+$", task_id)
    try:
        _STOPWATCH.encode(encoding)
        mark = _STOPWATCH
    except (UnicodeEncodeError, LookupError):
        mark = _STOPWATCH_ASCII
    return f"{mark}  Timeout ({timeout:g}s) on example #{number[0] if number else task_id}"
