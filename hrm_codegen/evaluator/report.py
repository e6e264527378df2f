"""What an evaluation found: samples, metrics, provenance, and a table of it.

Pure: everything here is computed from verdicts, and the same verdicts give the same report, byte for byte.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.config.files import atomic_write
from hrm_codegen.data.problem import Problem
from hrm_codegen.evaluator.estimators import bootstrap_interval, estimate_pass_at_k, wilson_interval
from hrm_codegen.evaluator.verdicts import Program, ProgramResult, Verdict


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
        """Reads what `to_row` made; raises KeyError, TypeError or ValueError for anything else."""
        fields = {field.name: row[field.name] for field in dataclasses.fields(ProgramResult)}
        return cls(
            task_id=row["task_id"],
            sample=row["sample"],
            result=ProgramResult(**fields | {"verdict": Verdict(row["verdict"])}),
            completion=row["completion"],
            changes=tuple(row["changes"]),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalResult:
    """An evaluation.

    Attributes:
      metrics: `pass@k`, its interval `pass@k_low` and `pass@k_high`, `pass@k_levelN`, counts; floats only.
      samples: By problem in the order of the data set, then by number.
      dataset: name, sha256 (of the problems, whatever the file's format), problems.
      model: name, path, sha256, params, as far as the model tells.
      sandbox: tier, limits, python.
      settings: k, num_samples, timeout, temperature, seed, prompt_tests and the like.
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

    The interval of pass@1 is Wilson's over problems; that of other k is a percentile bootstrap over problems, or
    Wilson's where all problems have the same estimate and a bootstrap has no width.

    Args:
      problems: All that were asked; one without samples counts as failed.
      samples: Their verdicts.
      ks: Each at most the number of samples of every problem that has any.
      seed: Of the bootstrap.
    """
    drawn = Counter(sample.task_id for sample in samples)
    right = Counter(sample.task_id for sample in samples if sample.verdict is Verdict.PASSED)
    levels = sorted({problem.level for problem in problems if problem.level is not None})
    metrics: dict[str, float] = {}
    for k in ks:
        values = {
            p.task_id: estimate_pass_at_k(drawn[p.task_id], right[p.task_id], k) if drawn[p.task_id] else 0.0
            for p in problems
        }
        everything = list(values.values())
        metrics[f"pass@{k}"] = sum(everything) / len(everything)
        constant = min(everything) == max(everything)
        interval = (
            wilson_interval(min(sum(everything), len(everything)), len(everything))
            if k == 1 or constant
            else bootstrap_interval(everything, seed=seed)
        )
        metrics[f"pass@{k}_low"], metrics[f"pass@{k}_high"] = interval
        for level in levels:
            chosen = [values[p.task_id] for p in problems if p.level == level]
            metrics[f"pass@{k}_level{level}"] = sum(chosen) / len(chosen)
    counts = Counter(sample.verdict for sample in samples)
    metrics["n_problems"] = float(len(problems))
    metrics["n_samples"] = float(len(samples))
    metrics["n_missing"] = float(sum(not drawn[p.task_id] for p in problems))
    metrics["n_timeouts"] = float(sum(sample.verdict.is_timeout for sample in samples))
    metrics["n_errors"] = float(sum(sample.verdict.is_error for sample in samples))
    return metrics | {f"n_{verdict}": float(counts[verdict]) for verdict in Verdict}


def program_of(problem: Problem, code: str, timeout: float | int) -> Program:
    """Returns what a sandbox runs for a problem and a candidate."""
    return Program(
        code=code,
        test_list=problem.test_list,
        test_setup_code=problem.test_setup_code,
        entry_point=problem.entry_point,
        timeout=timeout,
    )


def render_table(results: EvalResult | Sequence[EvalResult]) -> str:
    """Returns a plain text table: a row an evaluation, rows by level under it, then a line of counts."""
    results = [results] if isinstance(results, EvalResult) else results
    ks = sorted({k for result in results for k in result.settings["k"]})
    rows = [["model", *(f"pass@{k}" for k in ks)]]
    for result in results:
        metrics = result.metrics
        rows.append([_label(result), *(_estimate(metrics, k) for k in ks)])
        prefix = f"pass@{ks[0]}_level"
        for level in sorted(int(name.removeprefix(prefix)) for name in metrics if name.startswith(prefix)):
            shares = [_percent(metrics.get(f"pass@{k}_level{level}")) for k in ks]
            rows.append([f"  level {level}", *shares])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += ["", *(_summary(result, named=len(results) > 1) for result in results)]
    return "\n".join(line.rstrip() for line in lines)


def _summary(result: EvalResult, *, named: bool) -> str:
    counts = [f"{result.metrics[f'n_{name}']:.0f} {name}" for name in ("problems", "samples", "timeouts", "errors")]
    return f"{f'{_label(result)}: ' if named else ''}{', '.join(counts)}"


def _label(result: EvalResult) -> str:
    path = result.model.get("path")
    if path is None:
        return str(result.model.get("name") or "samples")
    here = Path.cwd()
    return str(Path(path).relative_to(here) if Path(path).is_relative_to(here) else path)


def _estimate(metrics: Mapping[str, float], k: int) -> str:
    if f"pass@{k}" not in metrics:
        return "-"
    low, high = metrics[f"pass@{k}_low"], metrics[f"pass@{k}_high"]
    return f"{_percent(metrics[f'pass@{k}'])} [{100 * low:.1f}, {100 * high:.1f}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
