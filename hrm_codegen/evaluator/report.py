"""What an evaluation found: samples, metrics, provenance, and a table of it.

Pure: everything here is computed from verdicts, and the same verdicts give the same report, byte for byte.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.config.files import atomic_write
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.syntax import parse
from hrm_codegen.evaluator.assemble import closed_stub
from hrm_codegen.evaluator.estimators import bootstrap_interval, estimate_pass_at_k, pass_pow_k, wilson_interval
from hrm_codegen.evaluator.table import estimate, layout, percent, visible
from hrm_codegen.evaluator.verdicts import Program, ProgramResult, Verdict

# What JSON has for the types of `ProgramResult`'s fields.
_KINDS: dict[str, Any] = {
    "str": str,
    "str | None": str | None,
    "int": int,
    "float": int | float,
    "tuple[str, ...]": list,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleResult:
    """One sample of one problem, judged; a line of `results.jsonl`.

    Attributes:
      task_id: The problem's.
      sample: 0, 1, ... among the samples of the problem.
      result: Verdict and what explains it.
      completion: Raw, as the model wrote it.
      changes: What extraction did to it before it ran.
    """

    task_id: str
    sample: int
    result: ProgramResult
    completion: str
    changes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.result.verdict

    @property
    def message(self) -> str:
        """One line that explains it."""
        return self.result.message

    def to_row(self) -> dict[str, Any]:
        """Returns the JSON object of a line."""
        return {
            "task_id": self.task_id,
            "sample": self.sample,
            **dataclasses.asdict(self.result),
            "completion": self.completion,
            "changes": list(self.changes),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> SampleResult:
        """Reads what `to_row` made, by this version or an earlier one, which had fewer fields in `ProgramResult`.

        Raises:
          KeyError, TypeError or ValueError: For anything else.
        """
        _check_kinds(row, {"task_id": str, "sample": int, "completion": str, "changes": list})
        return cls(
            task_id=row["task_id"],
            sample=row["sample"],
            result=result_from_row(row),
            completion=row["completion"],
            changes=tuple(map(str, row["changes"])),
        )


def result_from_row(row: Mapping[str, Any]) -> ProgramResult:
    """Reads the fields of a `ProgramResult` out of a JSON object that may have others.

    Raises:
      KeyError, TypeError or ValueError: For anything else.
    """
    kinds = {field.name: _KINDS.get(str(field.type), object) for field in dataclasses.fields(ProgramResult)}
    _check_kinds(row, kinds)
    fields: dict[str, Any] = {name: row[name] for name in kinds if name in row}
    fields |= {name: tuple(map(str, value)) for name, value in fields.items() if kinds[name] is list}
    return ProgramResult(**fields | {"verdict": Verdict(row["verdict"])})


def _check_kinds(row: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    for name, kind in kinds.items():
        if name in row and not isinstance(row[name], kind):
            raise TypeError(f"{name} is {row[name]!r:.40}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalResult:
    """An evaluation.

    Attributes:
      metrics: `pass@k`, its interval `pass@k_low` and `pass@k_high`, `pass^k`, `pass@k_levelN`, counts; floats only.
      samples: By problem in the order of the data set, then by number.
      dataset: name, sha256 (of the problems, whatever the file's format), problems (how many), task_ids (in order).
      model: name, path, sha256, params, as far as the model tells.
      sandbox: tier, limits, python.
      settings: k, num_samples, timeout, confirm_timeouts, all_tests, temperature, seed, prompt_tests and the like.
    """

    metrics: dict[str, float]
    samples: tuple[SampleResult, ...]
    dataset: dict[str, Any]
    model: dict[str, Any]
    sandbox: dict[str, Any]
    settings: dict[str, Any]

    def by_problem(self) -> dict[str, tuple[SampleResult, ...]]:
        """Returns the samples of each problem that has any."""
        groups: dict[str, list[SampleResult]] = {}
        for sample in self.samples:
            groups.setdefault(sample.task_id, []).append(sample)
        return {task_id: tuple(group) for task_id, group in groups.items()}

    def to_json(self) -> dict[str, Any]:
        """Returns metrics and provenance, without the samples."""
        names = ("metrics", "dataset", "model", "sandbox", "settings")
        return {name: getattr(self, name) for name in names}

    def to_jsonl(self, path: str | Path) -> None:
        """Writes one line a sample, whole or not at all."""
        with atomic_write(path) as file:
            file.writelines(json.dumps(sample.to_row()) + "\n" for sample in self.samples)


def compute_metrics(
    problems: Sequence[Problem], samples: Sequence[SampleResult], ks: Sequence[int], *, seed: int = 0
) -> dict[str, float]:
    """Returns all metrics of an evaluation.

    Args:
      problems: All that were asked; one without samples counts as failed.
      samples: Their verdicts.
      ks: Each at most the number of samples of every problem that has any.
      seed: Of the bootstrap.
    """
    drawn = Counter(sample.task_id for sample in samples)
    right = Counter(sample.task_id for sample in samples if sample.verdict is Verdict.PASSED)
    tallies = {p.task_id: (drawn[p.task_id], right[p.task_id]) for p in problems}
    levels = sorted({problem.level for problem in problems if problem.level is not None})
    metrics: dict[str, float] = {}
    for k in ks:
        metrics |= metrics_of_k(list(tallies.values()), k, seed=seed)
        for level in levels:
            chosen = [estimate_problem(*tallies[p.task_id], k) for p in problems if p.level == level]
            metrics[f"pass@{k}_level{level}"] = sum(chosen) / len(chosen)
    counts = Counter(sample.verdict for sample in samples)
    metrics["n_problems"] = float(len(problems))
    metrics["n_samples"] = float(len(samples))
    metrics["n_missing"] = float(sum(not drawn[p.task_id] for p in problems))
    metrics["n_timeouts"] = float(sum(sample.verdict.is_timeout for sample in samples))
    metrics["n_errors"] = float(sum(sample.verdict.is_error for sample in samples))
    return metrics | {f"n_{verdict}": float(counts[verdict]) for verdict in Verdict}


def estimate_problem(n: int, c: int, k: int) -> float:
    """Returns pass@k of a problem with c right ones of n samples; without samples it counts as failed."""
    return estimate_pass_at_k(n, c, k) if n else 0.0


def metrics_of_k(tallies: Sequence[tuple[int, int]], k: int, *, seed: int = 0) -> dict[str, float]:
    """Returns `pass@k`, the ends of its interval, and `pass^k`: means over problems.

    The interval of pass@1 is Wilson's over problems; that of other k is a percentile bootstrap over problems, or
    Wilson's where all problems have the same estimate and a bootstrap has no width.

    Args:
      tallies: Samples drawn, and right ones among them, of each problem; one without samples counts as failed.
      k: At most the number of samples of every problem that has any.
      seed: Of the bootstrap.
    """
    values = [estimate_problem(n, c, k) for n, c in tallies]
    size = len(values)
    low, high = (
        wilson_interval(min(sum(values), size), size)
        if k == 1 or min(values) == max(values)
        else bootstrap_interval(values, seed=seed)
    )
    power = sum(pass_pow_k(n, c, k) if n else 0.0 for n, c in tallies) / size
    return {f"pass@{k}": sum(values) / size, f"pass@{k}_low": low, f"pass@{k}_high": high, f"pass^{k}": power}


def program_of(problem: Problem, code: str, timeout: float | int, *, all_tests: bool = False) -> Program:
    """Returns what a sandbox runs for a problem and a candidate.

    Helpers of the problem's own stub that the tests use are the stub's: a candidate cannot replace them.

    Args:
      problem: Gives the tests.
      code: The candidate.
      timeout: CPU seconds.
      all_tests: Go on after the first failure.
    """
    return Program(
        code=code,
        test_list=problem.test_list,
        test_setup_code=problem.test_setup_code,
        prelude=_prelude(problem.prompt_code),
        entry_point=problem.entry_point,
        timeout=timeout,
        all_tests=all_tests,
    )


@functools.lru_cache(maxsize=1024)
def _prelude(stub: str) -> str:
    """Returns a stub closed with `pass`; empty where that is no program, as in the middle of an expression."""
    closed = closed_stub(stub) if stub.strip() else ""
    return closed if parse(closed) is not None else ""


def render_table(results: EvalResult | Sequence[EvalResult]) -> str:
    """Returns a plain text table: a row an evaluation, rows by level under it, then a line of counts."""
    results = [results] if isinstance(results, EvalResult) else results
    ks = sorted({k for result in results for k in result.settings["k"]})
    rows = [["model", *(f"pass@{k}" for k in ks)]]
    for result in results:
        metrics = result.metrics
        rows.append([label(result), *(estimate(metrics, k) for k in ks)])
        prefix = f"pass@{ks[0]}_level"
        for level in sorted(int(name.removeprefix(prefix)) for name in metrics if name.startswith(prefix)):
            shares = [percent(metrics.get(f"pass@{k}_level{level}")) for k in ks]
            rows.append([f"  level {level}", *shares])
    return "\n".join([*layout(rows), "", *(_summary(result, named=len(results) > 1) for result in results)])


def label(result: EvalResult) -> str:
    """Returns the model's path, from here if it is below, or else its name; and that its weights were rounded."""
    path, here = result.model.get("path"), Path.cwd()
    if path is None:
        name = result.model.get("name") or "samples"
    else:
        name = Path(path).relative_to(here) if Path(path).is_relative_to(here) else path
    return visible(f"{name} (int8)" if result.model.get("weights") == "int8" else str(name))


def _summary(result: EvalResult, *, named: bool) -> str:
    counts = [f"{result.metrics[f'n_{name}']:.0f} {name}" for name in ("problems", "samples", "timeouts", "errors")]
    return f"{f'{label(result)}: ' if named else ''}{', '.join(counts)}"
