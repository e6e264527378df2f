"""Is one run better than another? The difference of pass@k on the same problems, with an interval and a p-value.

Both runs met the same problems, so the comparison is paired: what varies is the difference by problem, and how hard a
problem is cancels. The interval is a bootstrap over problems. The p-value is that of a sign-flip permutation test,
which asks how often a difference this large comes out if the two runs were exchangeable on every problem. Neither
knows of the randomness of training: two seeds of one recipe may differ "significantly".
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hrm_codegen.errors import UsageError
from hrm_codegen.evaluator.breakdown import fewest_samples, tally
from hrm_codegen.evaluator.estimators import bootstrap_interval, wilson_interval
from hrm_codegen.evaluator.report import EvalResult, estimate_problem
from hrm_codegen.evaluator.table import layout, percent, visible

NUM_RESAMPLES = 10_000
_LISTED = 10
_BLOCK = 1_000_000  # numbers held at a time
_Tally = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A problem on which the runs differ.

    Attributes:
      task_id: The problem's.
      first: Samples of the first run, and right ones among them.
      second: Likewise of the second.
      difference: Of the estimates of pass@k, second minus first.
    """

    task_id: str
    first: tuple[int, int]
    second: tuple[int, int]
    difference: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs compared; every difference is second minus first.

    Attributes:
      k: Of the pass@k compared.
      problems: How many both met.
      first: pass@k of the first run on these problems.
      second: Likewise of the second.
      difference: second - first.
      low: Lower end of the 95 % interval of the difference.
      high: Upper end.
      p_value: Two-sided, of the sign-flip permutation test.
      wins: Problems on which the second is better.
      losses: Problems on which the first is better.
      ties: The others.
      changes: What differs, the largest change first.
      notes: Reasons why the runs are not quite comparable.
    """

    k: int
    problems: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    wins: int
    losses: int
    ties: int
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object."""
        return dataclasses.asdict(self)


def compare_runs(
    first: EvalResult, second: EvalResult, *, k: int = 1, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Comparison:
    """Compares two evaluations of one data set.

    Args:
      first: What is compared with.
      second: What may be better or worse.
      k: Of pass@k; at most the samples of every problem.
      num_resamples: Of the bootstrap and of the permutation test, at least 10,000.
      seed: Of both; the same seed gives the same numbers.

    Raises:
      UsageError: If the data sets differ, no problem is in both, or some problem has fewer than k samples.
    """
    if num_resamples < NUM_RESAMPLES:
        raise UsageError(f"a comparison needs at least {NUM_RESAMPLES} resamples, got {num_resamples}")
    pairs, notes = _pair(first, second)
    for name, result in (("first", first), ("second", second)):
        if not 1 <= k <= fewest_samples(result):
            raise UsageError(f"no pass@{k} of the {name} run: some problem has {fewest_samples(result)} samples")
    scores = [(estimate_problem(*one, k), estimate_problem(*two, k)) for _, one, two in pairs]
    differences = [b - a for a, b in scores]
    size = len(differences)
    low, high = difference_interval(differences, num_resamples=num_resamples, seed=seed)
    changes = [
        Change(task_id=task_id, first=one, second=two, difference=difference)
        for (task_id, one, two), difference in zip(pairs, differences, strict=True)
        if difference
    ]
    wins = sum(difference > 0 for difference in differences)
    return Comparison(
        k=k,
        problems=size,
        first=sum(a for a, _ in scores) / size,
        second=sum(b for _, b in scores) / size,
        difference=sum(differences) / size,
        low=low,
        high=high,
        p_value=sign_flip_p_value(differences, num_resamples=num_resamples, seed=seed),
        wins=wins,
        losses=len(changes) - wins,
        ties=size - len(changes),
        changes=tuple(sorted(changes, key=lambda change: -abs(change.difference))),
        notes=(*notes, *_conditions(first, second)),
    )


def render_comparison(comparison: Comparison) -> str:
    """Returns the scores, the difference with what it is worth, and the problems that changed most."""
    lines = [
        f"pass@{comparison.k} on {comparison.problems} problems: "
        f"{percent(comparison.first)} first, {percent(comparison.second)} second",
        f"difference: {difference_text(comparison)}",
        f"second is better on {comparison.wins}, worse on {comparison.losses}, the same on {comparison.ties}",
    ]
    if comparison.changes:
        lines += ["", *layout(change_rows(comparison.changes[:_LISTED]))]
    if len(comparison.changes) > _LISTED:
        lines.append(f"and {len(comparison.changes) - _LISTED} more")
    return "\n".join(lines)


def difference_text(comparison: Comparison) -> str:
    """Returns `+5.0 points [+1.2, +9.0], p = 0.012 (paired, two-sided)`."""
    difference, low, high = (f"{100 * x:+.1f}" for x in (comparison.difference, comparison.low, comparison.high))
    return f"{difference} points [{low}, {high}], p = {comparison.p_value:.2g} (paired sign-flip test, two-sided)"


def change_rows(changes: Sequence[Change]) -> list[list[str]]:
    """Returns a header and a row a problem: right ones of the samples of both runs, and the difference."""
    rows = [["problem", "first", "second", "points"]]
    for change in changes:
        counts = [f"{c}/{n}" for n, c in (change.first, change.second)]
        rows.append([visible(change.task_id), *counts, f"{100 * change.difference:+.1f}"])
    return rows


def difference_interval(
    differences: Sequence[float], *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % percentile bootstrap interval of the mean difference over problems.

    Where all problems have the same difference a bootstrap has no width. Then the interval is as wide as the share of
    other problems may be of which none was seen: Wilson's upper end for 0 of so many.
    """
    if min(differences) < max(differences):
        return bootstrap_interval(differences, num_resamples=num_resamples, seed=seed)
    unseen = wilson_interval(0, len(differences))[1]
    return max(-1.0, differences[0] - unseen), min(1.0, differences[0] + unseen)


def sign_flip_p_value(differences: Sequence[float], *, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> float:
    """Returns the two-sided p-value of the paired permutation test of the mean difference.

    The share of ways to flip the signs of the differences that give a mean at least as far from 0. All ways are counted
    if there are no more than `num_resamples`; else so many are drawn, and what was seen is counted as one of them, so
    that the value is never 0.
    """
    import numpy as np

    changed = np.array([difference for difference in differences if difference], np.float64)
    if not len(changed):
        return 1.0
    # Sums of the same numbers in another order differ by rounding; they are as far from 0, not nearer.
    bound = abs(changed.sum()) - 1e-9 * np.abs(changed).sum()
    if 2 ** len(changed) <= num_resamples:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(changed))))
        return float(np.mean(np.abs(signs @ changed) >= bound))
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // len(changed))
    reached = 1
    for start in range(0, num_resamples, rows):
        flips = rng.integers(0, 2, (min(rows, num_resamples - start), len(changed)), np.int8)
        reached += int((np.abs((2.0 * flips - 1.0) @ changed) >= bound).sum())
    return reached / (num_resamples + 1)


def _pair(first: EvalResult, second: EvalResult) -> tuple[list[tuple[str, _Tally, _Tally]], list[str]]:
    """Returns the tallies of each problem that both runs met, and what to know about the choice."""
    if first.dataset["sha256"] != second.dataset["sha256"]:
        names = " and ".join(visible(str(result.dataset.get("name"))) for result in (first, second))
        raise UsageError(f"the runs are of different data sets ({names}): there is nothing to compare")
    ours, theirs = tally(first), tally(second)
    sizes = [round(result.metrics["n_problems"]) for result in (first, second)]
    if sizes[0] == sizes[1]:
        # The first so many of one data set, so the same ones. One without samples counts as failed, as in the report.
        names_of_all = [*ours, *(task_id for task_id in theirs if task_id not in ours)]
        pairs = [(task_id, ours.get(task_id, (0, 0)), theirs.get(task_id, (0, 0))) for task_id in names_of_all]
        return pairs + [("", (0, 0), (0, 0))] * (sizes[0] - len(pairs)), []
    asked = set(_asked(second, theirs))
    both = [task_id for task_id in _asked(first, ours) if task_id in asked]
    pairs = [(task_id, ours.get(task_id, (0, 0)), theirs.get(task_id, (0, 0))) for task_id in both]
    if not pairs:
        raise UsageError("the runs have no problem in common: there is nothing to compare")
    return pairs, [f"compared on the {len(pairs)} problems that both have, of {sizes[0]} and {sizes[1]}"]


def _asked(result: EvalResult, tallies: Mapping[str, _Tally]) -> list[str]:
    """Returns the problems of a run; of one by an older version only those that have samples are known."""
    return result.dataset.get("task_ids") or list(tallies)


def _conditions(first: EvalResult, second: EvalResult) -> list[str]:
    """Says in what the runs differ beside the model and its sampling."""
    pairs = {
        f"sandbox {name}": (first.sandbox.get(name), second.sandbox.get(name))
        for name in sorted({*first.sandbox, *second.sandbox})
    }
    pairs["time limit"] = first.settings.get("timeout"), second.settings.get("timeout")
    return [f"different {name}: {one} and {other}" for name, (one, other) in pairs.items() if one != other]
