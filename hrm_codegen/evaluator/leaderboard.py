"""Finished evaluations side by side: a table for each data set, the best first.

Numbers of different data sets are never in one table. Pure: folders are names here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hrm_codegen.evaluator.breakdown import fewest_samples
from hrm_codegen.evaluator.report import EvalResult, label
from hrm_codegen.evaluator.table import estimate, layout, percent, shorten, visible

_SAMPLING = {"temperature": "T", "top_p": "top_p"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """An evaluation and the folder it is kept in."""

    folder: str
    result: EvalResult


def by_dataset(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Returns the entries of each data set, in the order in which the data sets come."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.result.dataset["sha256"], []).append(entry)
    return list(groups.values())


def ranked(entries: Sequence[Entry], k: int) -> list[Entry]:
    """Returns the entries by falling pass@k, those without one last; equals keep their order."""
    return sorted(entries, key=lambda entry: -entry.result.metrics.get(f"pass@{k}", -1.0))


def leaderboard_rows(entries: Sequence[Entry], ks: Sequence[int]) -> list[list[str]]:
    """Returns a header and a row an entry: folder, model, what it was asked, pass@k with intervals, pass^k for k > 1.

    Temperature and top-p are columns where some entry has them.
    """
    sampling = [name for name in _SAMPLING if any(entry.result.settings.get(name) is not None for entry in entries)]
    powers = [k for k in ks if k > 1]
    header = ["folder", "model", "problems", "n", *(_SAMPLING[name] for name in sampling)]
    rows = [[*header, *(f"pass@{k}" for k in ks), *(f"pass^{k}" for k in powers)]]
    for entry in entries:
        result = entry.result
        metrics = result.metrics
        asked = [f"{metrics['n_problems']:.0f}", str(fewest_samples(result))]
        asked += [_number(result.settings.get(name)) for name in sampling]
        scores = [estimate(metrics, k) for k in ks] + [percent(metrics.get(f"pass^{k}")) for k in powers]
        rows.append([visible(entry.folder), shorten(label(result), 60), *asked, *scores])
    return rows


def dataset_title(result: EvalResult) -> str:
    """Returns the name of the data set and the start of its digest."""
    return visible(f"{result.dataset.get('name')} (sha256 {result.dataset['sha256'][:12]})")


def render_leaderboard(entries: Sequence[Entry], ks: Sequence[int]) -> str:
    """Returns a table for each data set under its name, sorted by the first k."""
    return "\n\n".join(
        "\n".join([dataset_title(group[0].result), *layout(leaderboard_rows(ranked(group, ks[0]), ks), left=(0, 1))])
        for group in by_dataset(entries)
    )


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "-"
