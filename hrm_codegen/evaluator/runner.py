"""Runs many programs at a time and keeps their verdicts: a pool of threads, each driving one sandboxed process.

Equal programs are run once. A program that ran out of time is run again when nothing else runs, and only that verdict
counts: a busy machine must not cost a model its score. Results are recorded one at a time, in the order they come, and
only when they are final. Leaving the block early (Ctrl-C, an error) kills what runs and records nothing of it, so that
an interrupted evaluation can go on later.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Literal

from hrm_codegen.errors import EvaluationTimeout, SandboxError, UsageError
from hrm_codegen.evaluator.cache import VerdictCache, cache_key
from hrm_codegen.evaluator.events import Emitter
from hrm_codegen.evaluator.report import SampleResult
from hrm_codegen.evaluator.results_log import ResultsLog
from hrm_codegen.evaluator.sandbox import Sandbox
from hrm_codegen.evaluator.verdicts import Program, ProgramResult, Verdict

OnTimeout = Literal["skip", "raise"]
_LOG = logging.getLogger("hrm_codegen.evaluator")
_STOPWATCH, _STOPWATCH_ASCII = "⏱️", "[timeout]"
_LISTED = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """A sample whose program waits for its verdict; the fields are those of `SampleResult`."""

    task_id: str
    sample: int
    completion: str
    changes: tuple[str, ...]


@dataclasses.dataclass(kw_only=True)
class _Case:
    """One program and the samples that consist of it."""

    key: str
    program: Program
    waiting: list[Submission]
    first: ProgramResult | None = None  # a timeout that has to be confirmed
    result: ProgramResult | None = None  # final


class Runner:
    """A context manager around a pool.

    Attributes:
      results: By (task_id, sample), with those of an earlier run of the same folder.
      from_cache: How many programs the cache knew.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        workers: int,
        log: ResultsLog | None,
        cache: VerdictCache | None,
        emitter: Emitter,
        on_timeout: OnTimeout,
        confirm_timeouts: bool,
        on_result: Callable[[SampleResult], None] | None,
    ) -> None:
        """See `evaluate` for the arguments."""
        if on_timeout not in ("skip", "raise"):
            raise UsageError(f'on_timeout must be "skip" or "raise", got {on_timeout!r}')
        if workers < 1:
            raise UsageError(f"workers must be at least 1, got {workers}")
        self.results: dict[tuple[str, int], SampleResult] = dict(log.finished) if log is not None else {}
        self.from_cache = 0
        self._sandbox, self._log, self._cache, self._emitter = sandbox, log, cache, emitter
        self._on_timeout, self._confirm_timeouts, self._on_result = on_timeout, confirm_timeouts, on_result
        self._description = sandbox.describe()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="sandbox")
        self._futures: list[Future[None]] = []
        self._cases: dict[str, _Case] = {}
        self._lock = threading.RLock()
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

    def submit(self, submission: Submission, program: Program) -> None:
        """Queues a program; an error that an earlier one raised comes up here or in `wait`."""
        if self._error is not None:
            raise self._error
        key = cache_key(program, self._description)
        with self._lock:
            case = self._cases.get(key)
            if case is None:
                case = self._cases[key] = _Case(key=key, program=program, waiting=[submission])
                self._futures.append(self._pool.submit(self._run, case))
            elif case.result is None:
                case.waiting.append(submission)
            else:
                self._finish(submission, case.result, case.program, cached=True)

    def record(self, result: SampleResult, *, cached: bool = False) -> None:
        """Keeps a result, on disk too; the first of a sample wins.

        Args:
          result: Final.
          cached: Whether no program was run for it.
        """
        with self._lock:
            key = (result.task_id, result.sample)
            if self._stopped or key in self.results:
                return
            self.results[key] = result
            if self._log is not None:
                self._log.append(result)
            if self._on_result is not None:
                self._on_result(result)
            self._emitter.judged(result, cached=cached)

    def wait(self) -> None:
        """Waits for all programs, then for the second runs of those out of time; raises what one of them raised."""
        wait(self._futures, return_when=FIRST_EXCEPTION)
        if self._error is not None:
            raise self._error
        late = [case for case in self._cases.values() if case.result is None]
        if late:
            _LOG.info("out of time: %d of %d programs; running them again, one at a time", len(late), len(self._cases))
        for case in late:
            self._pool.submit(self._confirm, case).result()

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

    def _run(self, case: _Case) -> None:
        try:
            known = self._cache.get(case.key) if self._cache is not None else None
            result = self._judge(case.program) if known is None else known
            if result.verdict.is_timeout and self._confirm_timeouts:
                case.first = result
                return
            self._settle(case, result, cached=known is not None)
        except Exception as error:
            self._error = self._error or error
            raise

    def _confirm(self, case: _Case) -> None:
        result = self._judge(case.program)
        if case.first is not None and not self._stopped:
            for submission in case.waiting:
                self._emitter.confirmed(submission.task_id, submission.sample, case.first, result)
        self._settle(case, result, cached=False)

    def _judge(self, program: Program) -> ProgramResult:
        """Runs a program; a failure of the harness gets a second chance."""
        result = self._sandbox.run(program)
        if result.verdict is Verdict.HARNESS_ERROR and not self._stopped:
            return self._sandbox.run(program)
        return result

    def _settle(self, case: _Case, result: ProgramResult, *, cached: bool) -> None:
        if self._cache is not None and not cached and not self._stopped:
            self._cache.put(case.key, result)
        with self._lock:
            self.from_cache += cached
            case.result = result
            for number, submission in enumerate(case.waiting):
                self._finish(submission, result, case.program, cached=cached or number > 0)
            case.waiting = []

    def _finish(self, submission: Submission, result: ProgramResult, program: Program, *, cached: bool) -> None:
        self.record(
            SampleResult(
                task_id=submission.task_id,
                sample=submission.sample,
                result=result,
                completion=submission.completion,
                changes=submission.changes,
            ),
            cached=cached,
        )
        if result.verdict.is_timeout and not self._stopped:
            self._report_timeout(submission.task_id, program.timeout)

    def _report_timeout(self, task_id: str, timeout: float | int) -> None:
        line = timeout_line(task_id, timeout, getattr(sys.stderr, "encoding", None) or "utf-8")
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
