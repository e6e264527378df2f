"""What every evaluation does, whoever wrote the programs: checks before, runner and files during, the report after.

`harness.py` is its only user and holds the public functions; their arguments are explained there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.data.problem import Problem, to_dict
from hrm_codegen.errors import DatasetError, UsageError
from hrm_codegen.evaluator.cache import VerdictCache, default_cache
from hrm_codegen.evaluator.events import Emitter, Listener
from hrm_codegen.evaluator.known_programs import self_check
from hrm_codegen.evaluator.report import EvalResult, SampleResult, compute_metrics, program_of
from hrm_codegen.evaluator.results_log import ResultsLog
from hrm_codegen.evaluator.runner import OnTimeout, Runner, Submission
from hrm_codegen.evaluator.sandbox import Sandbox, default_sandbox
from hrm_codegen.evaluator.table import shorten
from hrm_codegen.evaluator.verdicts import Program, Verdict, check_timeout
from hrm_codegen.machine import cores

Dataset = str | Path | Iterable[Problem | Mapping[str, Any]]
_LOG = logging.getLogger("hrm_codegen.evaluator")
_MANY = 0.2  # share of samples that do not load, above which something else than the model is likely at fault


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Problems: `all_problems` of the data set, the `problems` within the limit, and what the report says of them."""

    problems: list[Problem]
    all_problems: list[Problem]
    name: str
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judging:
    """How programs are judged, and who is told; the arguments of `evaluate` of the same names."""

    timeout: float | int
    workers: int | None
    out: str | Path | None
    on_timeout: OnTimeout
    on_result: Callable[[SampleResult], None] | None
    on_event: Listener | None
    sandbox: Sandbox | None
    confirm_timeouts: bool
    all_tests: bool
    cache: bool | str | Path

    def settings(self) -> dict[str, Any]:
        """Returns what the report says of it."""
        return {
            "timeout": float(self.timeout),
            "confirm_timeouts": self.confirm_timeouts,
            "all_tests": self.all_tests,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation.

    Attributes:
      data: The problems.
      ks: The k of each pass@k.
      model: Who wrote the programs, for the report.
      settings: For the report, beside `Judging.settings`.
      judging: How programs are judged.
      total: How many samples there will be.
      seed: Of the bootstrap.
    """

    data: Data
    ks: tuple[int, ...]
    model: dict[str, Any]
    settings: dict[str, Any]
    judging: Judging
    total: int
    seed: int

    @contextlib.contextmanager
    def run(self) -> Iterator[OpenEvaluation]:
        """Checks the sandbox, opens folder and cache, and yields what takes the programs."""
        how = self.judging
        check_timeout(how.timeout)
        sandbox = how.sandbox or default_sandbox()
        described, settings = sandbox.describe(), how.settings() | self.settings
        workers = how.workers or cores()
        # Content says more than a path, and stays the same when a file moves. k is not part: it changes no sample.
        model = self.model.get("sha256") or settings.get("samples_sha256") or self.model
        fingerprint = {"dataset_sha256": self.data.sha256, "model": model, "sandbox": described, **settings}
        emitter = Emitter(how.on_event)
        with contextlib.ExitStack() as stack:
            stack.push(lambda kind, error, trace: emitter.failed(error) if error is not None else None)
            log = stack.enter_context(ResultsLog(how.out, fingerprint)) if how.out is not None else None
            self_check(sandbox)
            place = default_cache() if how.cache is True else how.cache
            cache = stack.enter_context(VerdictCache(place)) if place is not False else None
            runner = Runner(
                sandbox,
                workers=workers,
                log=log,
                cache=cache,
                emitter=emitter,
                on_timeout=how.on_timeout,
                confirm_timeouts=how.confirm_timeouts,
                on_result=how.on_result,
            )
            stack.enter_context(runner)
            isolation = f" ({described['isolation']})" if "isolation" in described else ""
            _LOG.info("sandbox: tier %s%s, %d at a time", sandbox.tier, isolation, workers)
            wanted = {problem.task_id for problem in self.data.problems}
            emitter.started(
                total=self.total,
                done=sum(task_id in wanted for task_id, _ in runner.results),
                dataset=self.data.name,
                problems=len(self.data.problems),
                model=self.model.get("name"),
                out=None if how.out is None else str(how.out),
                sandbox=described,
                settings=settings,
                k=list(self.ks),
                workers=workers,
            )
            yield OpenEvaluation(self, runner=runner, log=log, emitter=emitter, sandbox=described, settings=settings)


class OpenEvaluation:
    """An evaluation that takes programs; made by `Evaluation.run`."""

    def __init__(
        self,
        evaluation: Evaluation,
        *,
        runner: Runner,
        log: ResultsLog | None,
        emitter: Emitter,
        sandbox: dict[str, Any],
        settings: dict[str, Any],
    ) -> None:
        self._evaluation, self._log, self._emitter = evaluation, log, emitter
        self._runner, self._sandbox, self._settings = runner, sandbox, settings

    def has(self, task_id: str, sample: int) -> bool:
        """Whether a sample has been judged, now or by an earlier run of the same folder."""
        return (task_id, sample) in self._runner.results

    def submit(self, problem: Problem, sample: int, *, code: str, completion: str, changes: tuple[str, ...]) -> None:
        """Queues a program; `completion` is the raw text, and `changes` what was done to it."""
        program = self._program(problem, code)
        submission = Submission(task_id=problem.task_id, sample=sample, completion=completion, changes=changes)
        self._runner.submit(submission, program)

    def record(self, result: SampleResult) -> None:
        """Keeps the verdict on a sample that has no program."""
        self._runner.record(result)

    def finish(self) -> EvalResult:
        """Waits for the last verdict, and reports."""
        evaluation, runner = self._evaluation, self._runner
        runner.wait()
        problems = evaluation.data.problems
        order = {problem.task_id: number for number, problem in enumerate(problems)}
        mine = [result for result in runner.results.values() if result.task_id in order]
        samples = tuple(sorted(mine, key=lambda result: (order[result.task_id], result.sample)))
        result = EvalResult(
            metrics=compute_metrics(problems, samples, evaluation.ks, seed=evaluation.seed),
            samples=samples,
            dataset={
                "name": evaluation.data.name,
                "sha256": evaluation.data.sha256,
                "problems": len(problems),
                "task_ids": list(order),
            },
            model=evaluation.model,
            sandbox=self._sandbox,
            settings={"k": list(evaluation.ks), **self._settings},
        )
        runner.check_harness()
        if self._log is not None:
            self._log.write_report(result)
        if runner.from_cache:
            _LOG.info("%d verdicts came from the cache; --no-cache asks for new ones", runner.from_cache)
        _warn_of_loading(samples)
        self._emitter.finished(result.metrics)
        return result

    def _program(self, problem: Problem, code: str) -> Program:
        how = self._evaluation.judging
        return program_of(problem, code, how.timeout * problem.timeout_factor, all_tests=how.all_tests)


def load(dataset: Dataset, name: str | None, limit: int | None) -> Data:
    """Loads the problems of an evaluation.

    Raises:
      UsageError: For a limit below 1.
      DatasetError: For a file that is no data set, or a problem without tests.
    """
    from hrm_codegen.data import load_problems

    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, got {limit}")
    problems = load_problems(dataset)
    for problem in problems[:limit]:
        if not problem.test_list:
            raise DatasetError(f"task {problem.task_id} has no tests: any program would pass")
    digest = hashlib.sha256(json.dumps([to_dict(problem) for problem in problems], sort_keys=True).encode())
    name = name or (str(dataset) if isinstance(dataset, str | Path) else "problems")
    return Data(problems=problems[:limit], all_problems=problems, name=name, sha256=digest.hexdigest())


def _warn_of_loading(samples: Sequence[SampleResult]) -> None:
    broken = [sample.message for sample in samples if sample.verdict is Verdict.LOAD_ERROR]
    if len(broken) > _MANY * len(samples):
        [(message, count)] = Counter(broken).most_common(1)
        _LOG.warning(
            "%d of %d samples do not load, %d of them with: %s. Usual reasons: prompts in another format than the "
            "model was trained on, text or fences around the code, answers cut short (--max), completions scored as "
            "solutions or the reverse. See some with --show-failures 3",
            *(len(broken), len(samples), count, shorten(message, 120)),
        )
