"""An evaluation problem by problem: counts, estimates, verdicts, the first failure; and metrics for another k.

Pure. It works on what an `EvalResult` has, without the data set: problems that have no sample are a number here and
have no names.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hrm_codegen.evaluator.estimators import estimate_pass_at_k
from hrm_codegen.evaluator.report import EvalResult, SampleResult, metrics_of_k
from hrm_codegen.evaluator.table import layout, percent, shorten, visible
from hrm_codegen.evaluator.verdicts import ProgramResult, Verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemBreakdown:
    """One problem of an evaluation.

    Attributes:
      task_id: The problem's.
      n: Samples.
      c: Right ones among them.
      pass_at_k: The estimate for each k up to n.
      verdicts: How many samples ended in each way that some did, the most frequent first.
      first_failure: The first sample that did not pass; None if all did.
      tests_passed: Mean share of tests that a sample passes; None unless all tests of all samples were asked for.
    """

    task_id: str
    n: int
    c: int
    pass_at_k: dict[int, float]
    verdicts: dict[str, int]
    first_failure: SampleResult | None
    tests_passed: float | None = None

    @property
    def verdict_text(self) -> str:
        """`3 wrong_answer, 2 passed`."""
        return ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object; of the first failure, what explains it."""
        estimates = {f"pass@{k}": value for k, value in self.pass_at_k.items()}
        message = None if self.first_failure is None else self.first_failure.message
        facts = {"task_id": self.task_id, "n": self.n, "c": self.c}
        told = {"verdicts": self.verdicts, "first_failure": message}
        tests = {} if self.tests_passed is None else {"tests_passed": self.tests_passed}
        return {**facts, **estimates, **tests, **told}


def break_down(result: EvalResult, ks: Sequence[int]) -> list[ProblemBreakdown]:
    """Returns the problems that have samples, in the order of the result."""
    problems = []
    for task_id, samples in result.by_problem().items():
        counts = Counter(str(sample.verdict) for sample in samples)
        n, c = len(samples), counts[Verdict.PASSED]
        problems.append(
            ProblemBreakdown(
                task_id=task_id,
                n=n,
                c=c,
                pass_at_k={k: estimate_pass_at_k(n, c, k) for k in ks if k <= n},
                verdicts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
                first_failure=next((sample for sample in samples if sample.verdict is not Verdict.PASSED), None),
                tests_passed=_share_of_tests(samples) if result.settings.get("all_tests") else None,
            )
        )
    return problems


def describe_tests(result: ProgramResult) -> str:
    """Returns how many of a program's tests passed, which failed, how many were not run; empty for a single test."""
    if not result.tests or result.tests_total == 1:
        return ""
    failed = [str(number) for number, verdict in enumerate(result.tests, 1) if verdict != Verdict.PASSED]
    parts = [f"{len(result.tests) - len(failed)} of {result.tests_total} tests passed"]
    parts += [f"failed: {', '.join(failed)}"] if failed else []
    left = result.tests_total - len(result.tests)
    return "; ".join(parts + ([f"{left} not run"] if left else []))


def tally(result: EvalResult) -> dict[str, tuple[int, int]]:
    """Returns how many samples, and how many right ones among them, each problem has that has any."""
    drawn = Counter(sample.task_id for sample in result.samples)
    right = Counter(sample.task_id for sample in result.samples if sample.verdict is Verdict.PASSED)
    return {task_id: (n, right[task_id]) for task_id, n in drawn.items()}


def fewest_samples(result: EvalResult) -> int:
    """Returns the largest k that the result can tell: the samples of the problem that has fewest, if it has any."""
    return min((n for n, _ in tally(result).values()), default=0)


def with_ks(result: EvalResult, ks: Sequence[int]) -> EvalResult:
    """Returns the result with the metrics of every k it can tell, by the same rules as the report's own.

    A k above the samples of some problem is left out. Levels are known to the report only, so a new k has none.
    """
    counts = list(tally(result).values())
    counts += [(0, 0)] * round(result.metrics["n_missing"])
    seed = result.settings.get("seed") or 0
    told = [k for k in ks if k <= fewest_samples(result)]
    new = {name: value for k in told for name, value in metrics_of_k(counts, k, seed=seed).items()}
    return dataclasses.replace(result, metrics=new | result.metrics, settings=result.settings | {"k": told})


def render_breakdown(result: EvalResult, ks: Sequence[int]) -> str:
    """Returns a table with a row a problem, and a line for the problems that have no sample."""
    rows = [breakdown_header(result, ks)]
    for problem in break_down(result, ks):
        failure = problem.first_failure
        told = "" if failure is None else shorten(failure.message, 80)
        rows.append([visible(problem.task_id), *breakdown_cells(problem, ks), told])
    columns = len(rows[0])
    return "\n".join(layout(rows, left=(0, columns - 2, columns - 1)) + missing_lines(result))


def breakdown_header(result: EvalResult, ks: Sequence[int]) -> list[str]:
    """Returns the names of the columns; `tests` only where a share of tests is known."""
    tests = ["tests"] if result.settings.get("all_tests") else []
    return ["problem", "n", "c", *(f"pass@{k}" for k in ks), *tests, "verdicts", "first failure"]


def breakdown_cells(problem: ProblemBreakdown, ks: Sequence[int]) -> list[str]:
    """Returns the cells between a problem's name and its first failure."""
    tests = [] if problem.tests_passed is None else [percent(problem.tests_passed)]
    estimates = (percent(problem.pass_at_k.get(k)) for k in ks)
    return [str(problem.n), str(problem.c), *estimates, *tests, problem.verdict_text]


def missing_lines(result: EvalResult) -> list[str]:
    """Returns a line about problems that have no sample, if there are any."""
    count = round(result.metrics["n_missing"])
    return [f"{count} more without samples: counted as failed"] if count else []


def _share_of_tests(samples: Sequence[SampleResult]) -> float:
    shares = [s.result.tests.count(Verdict.PASSED) / s.result.tests_total for s in samples if s.result.tests_total]
    return sum(shares) / len(samples)
