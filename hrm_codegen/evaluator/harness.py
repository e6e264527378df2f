"""Evaluation: problems in, verdicts out, each on disk as soon as it is final.

The public functions. The main thread asks the model chunk after chunk; a pool of threads drives one program each.
What a program does is the sandbox's business, what verdicts mean the report's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError, UsageError
from hrm_codegen.evaluator.assemble import assemble_program
from hrm_codegen.evaluator.completions import Asking, ask
from hrm_codegen.evaluator.evaluation import Dataset, Evaluation, Judging, load
from hrm_codegen.evaluator.events import Listener
from hrm_codegen.evaluator.report import EvalResult, SampleResult
from hrm_codegen.evaluator.runner import OnTimeout
from hrm_codegen.evaluator.samples import Sample, read_samples, samples_sha256
from hrm_codegen.evaluator.sandbox import Sandbox
from hrm_codegen.evaluator.verdicts import ProgramResult, Verdict

_LOG = logging.getLogger("hrm_codegen.evaluator")


def evaluate(
    model: Any,
    dataset: Dataset,
    *,
    k: int | Sequence[int] = (1, 10),
    num_samples: int | None = None,
    timeout: float | int = 2.0,
    workers: int | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    out: str | Path | None = None,
    on_timeout: OnTimeout = "skip",
    confirm_timeouts: bool = True,
    all_tests: bool = False,
    cache: bool | str | Path = False,
    seed: int | None = None,
    temperature: float | int | None = None,
    max_tokens: int | None = None,
    top_p: float | int | None = None,
    on_result: Callable[[SampleResult], None] | None = None,
    on_event: Listener | None = None,
    prompt_tests: int | None = None,
    dataset_name: str | None = None,
    sandbox: Sandbox | None = None,
) -> EvalResult:
    """Scores a model: draws programs, runs them, estimates pass@k.

    Args:
      model: `HRMCodeGen`, or anything with its `generate` or `generate_code`.
      dataset: File of problems (JSON array or lines), or problems.
      k: The k of each pass@k.
      num_samples: Programs a problem, at least max(k); None: max(k).
      timeout: CPU seconds a program, times the problem's `timeout_factor`; the wall limit is larger.
      workers: Programs run at a time; None: one a core.
      batch_size: Sequences decoded together.
      limit: First so many problems only.
      out: Folder for `results.jsonl` and `report.json`; an interrupted run of the same settings goes on there.
      on_timeout: `skip` counts a timeout as a failure, `raise` raises `EvaluationTimeout` when one is final.
      confirm_timeouts: Run what ran out of time again after all others, alone; only that verdict counts.
      all_tests: Go on after a program's first failing test, for a breakdown by test. They share the time limit.
      cache: Where verdicts of earlier evaluations are looked up and kept; True: `cache.default_cache()`.
      seed: Of the sampling; None: the model's configuration, else 0.
      temperature: None: the model's default; likewise `max_tokens` and `top_p`.
      max_tokens: Longest answer.
      top_p: Nucleus of the sampling.
      on_result: Called with each new result, one at a time, from a worker's thread.
      on_event: Called with each event (see `events.py`), one at a time, from any thread.
      prompt_tests: Asserts that a prompt shows; None: as in the model's training, else 1.
      dataset_name: For the report; None: the file's name.
      sandbox: None: the default one.

    Raises:
      UsageError: For k above n, or a folder of other settings.
      DatasetError: For a file that is no data set, or a problem without tests.
      SandboxError: If the self-check fails, or a program could not be judged.
    """
    ks = _check_k(k)
    count = max(ks) if num_samples is None else num_samples
    if count < max(ks):
        raise UsageError(f"n must be ≥ max(k): n is {count}, k is {', '.join(map(str, ks))}")
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    data = load(dataset, dataset_name, limit)
    asking = Asking(
        num_samples=count,
        batch_size=batch_size,
        prompt_tests=_configured(prompt_tests, model, ("data", "prompt_tests"), 1),
        seed=_configured(seed, model, ("sample", "seed"), 0),
        sampling={
            name: _configured(value, model, ("sample", name), None)
            for name, value in (("temperature", temperature), ("max_tokens", max_tokens), ("top_p", top_p))
        },
    )
    asked = {"num_samples": count, "seed": asking.seed, "prompt_tests": asking.prompt_tests, **asking.sampling}
    if condition := _configured(None, model, ("data", "condition"), ""):
        asked["condition"] = condition
    judging = Judging(
        timeout=timeout, workers=workers, out=out, sandbox=sandbox, confirm_timeouts=confirm_timeouts,
        all_tests=all_tests, cache=cache, on_timeout=on_timeout, on_result=on_result, on_event=on_event,
    )  # fmt: skip
    total = count * len(data.problems)
    evaluation = Evaluation(
        data=data, ks=ks, model=_identity(model), settings=asked, judging=judging, total=total, seed=asking.seed
    )
    with evaluation.run() as running:
        missing = [(p, [i for i in range(count) if not running.has(p.task_id, i)]) for p in data.problems]
        for answers in ask(model, [(problem, indexes) for problem, indexes in missing if indexes], asking):
            problem = answers.problem
            for index, text in answers.texts.items():
                assembled = assemble_program(problem, text, "answer")
                running.submit(problem, index, code=assembled.code, completion=text, changes=assembled.changes)
            if answers.refused:
                for index in range(count):
                    running.record(_unanswered(problem, index, answers.refused))
        return running.finish()


def score_samples(
    samples: str | Path | Iterable[Mapping[str, Any]],
    dataset: Dataset,
    *,
    k: int | Sequence[int] = (1, 10),
    timeout: float | int = 2.0,
    workers: int | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    on_timeout: OnTimeout = "skip",
    confirm_timeouts: bool = True,
    all_tests: bool = False,
    cache: bool | str | Path = False,
    on_result: Callable[[SampleResult], None] | None = None,
    on_event: Listener | None = None,
    dataset_name: str | None = None,
    sandbox: Sandbox | None = None,
) -> EvalResult:
    """Scores programs made by anyone: rows of `task_id` and `completion` or `solution`.

    `samples` is a JSONL file, or rows. A problem without samples counts as failed. A k above the samples of some
    problem is left out, with a notice; UsageError if none is left. The other arguments, and the errors, are those of
    `evaluate`.
    """
    data = load(dataset, dataset_name, limit)
    chosen = {problem.task_id: problem for problem in data.problems}
    known = [sample for sample in read_samples(samples, data.all_problems) if sample.task_id in chosen]
    if not known:
        raise DatasetError("no samples for the problems of the data set")
    ks = _possible_k(_check_k(k), known)
    absent = len(chosen) - len({sample.task_id for sample in known})
    if absent:
        _LOG.warning("%d of %d problems have no sample: counted as failed", absent, len(chosen))
    judging = Judging(
        timeout=timeout, workers=workers, out=out, sandbox=sandbox, confirm_timeouts=confirm_timeouts,
        all_tests=all_tests, cache=cache, on_timeout=on_timeout, on_result=on_result, on_event=on_event,
    )  # fmt: skip
    model = {"name": str(samples) if isinstance(samples, str | Path) else None}
    settings = {"samples_sha256": samples_sha256(known)}
    evaluation = Evaluation(data=data, ks=ks, model=model, settings=settings, judging=judging, total=len(known), seed=0)
    with evaluation.run() as running:
        for sample in known:
            if running.has(sample.task_id, sample.index):
                continue
            problem = chosen[sample.task_id]
            assembled = assemble_program(problem, sample.text, sample.kind)
            running.submit(
                problem, sample.index, code=assembled.code, completion=sample.text, changes=assembled.changes
            )
        return running.finish()


def pass_at_k(
    model: Any,
    dataset: Dataset,
    k: int | Sequence[int] = (1, 10),
    timeout: float | int = 2.0,
    *,
    on_timeout: OnTimeout = "skip",
    **options: Any,
) -> dict[str, float]:
    """Returns `{"pass@1": ..., "pass@10": ...}`; `evaluate` takes the same options and tells more."""
    result = evaluate(model, dataset, k=k, timeout=timeout, on_timeout=on_timeout, **options)
    return {f"pass@{each}": result.metrics[f"pass@{each}"] for each in result.settings["k"]}


def _check_k(k: int | Sequence[int]) -> tuple[int, ...]:
    ks = tuple(sorted({k} if isinstance(k, int) else set(k)))
    if not ks or ks[0] < 1:
        raise UsageError(f"every k must be at least 1, got {list(ks)}")
    return ks


def _possible_k(ks: tuple[int, ...], samples: Sequence[Sample]) -> tuple[int, ...]:
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.task_id] = counts.get(sample.task_id, 0) + 1
    task_id, least = min(counts.items(), key=lambda item: item[1])
    dropped = [k for k in ks if k > least]
    reason = f"task {task_id} has {least} sample{'s' if least > 1 else ''}"
    if len(dropped) == len(ks):
        raise UsageError(f"n must be ≥ max(k): {reason}, k is {', '.join(map(str, ks))}")
    for k in dropped:
        _LOG.warning("no pass@%d: %s", k, reason)
    return tuple(k for k in ks if k <= least)


def _unanswered(problem: Problem, index: int, reason: str) -> SampleResult:
    result = ProgramResult(verdict=Verdict.LOAD_ERROR, message=f"no program: the model refused the prompt ({reason})")
    return SampleResult(task_id=problem.task_id, sample=index, result=result, completion="")


def _configured(value: Any, model: Any, path: tuple[str, str], default: Any) -> Any:
    """Returns `value`, or the model's configuration at `path`, or `default`: the first that says something."""
    if value is not None:
        return value
    section = getattr(getattr(model, "config", None), path[0], None)
    return getattr(section, path[1], default)


def _identity(model: Any) -> dict[str, Any]:
    name = getattr(getattr(model, "config", None), "name", None) or type(model).__name__
    path, weights = getattr(model, "metadata", {}).get("path"), getattr(model, "weights", None)
    return {
        "name": name,
        "path": None if path is None else str(path),
        "sha256": getattr(model, "sha256", None),
        "params": getattr(model, "num_params", None),
    } | ({} if weights is None else {"weights": weights})
