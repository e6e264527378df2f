"""A sweep of sampling temperatures: which cells there are, where each is kept, and which is best for each k.

The best temperature rises with k: one sample should be the likeliest program, ten should differ. So there is a best
cell for each k, and not one. Pure; the evaluations themselves are `jobs.sweep`'s.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from hrm_codegen.evaluator.report import EvalResult
from hrm_codegen.evaluator.table import estimate, layout


@dataclasses.dataclass(frozen=True)
class Cell:
    """One way to sample; None is the checkpoint's own value."""

    temperature: float | int | None = None
    top_p: float | int | None = None

    @property
    def folder(self) -> str:
        """The name of the cell's folder, `t0.6-p0.9`; the same for the same cell in every sweep."""
        axes = {"t": self.temperature, "p": self.top_p}
        return "-".join(f"{letter}{float(value)}" for letter, value in axes.items() if value is not None)


def grid(temperatures: Sequence[float | int], top_ps: Sequence[float | int]) -> list[Cell]:
    """Returns every pair of a temperature and a top-p, each once, in rising order; no values: the checkpoint's own."""
    axes: list[list[Any]] = [sorted(set(values)) or [None] for values in (temperatures, top_ps)]
    return [Cell(*pair) for pair in itertools.product(*axes)]


def best_cells(results: Sequence[EvalResult]) -> dict[int, int]:
    """Returns the number of the best result for each k; of equal ones the first, which is the coolest in a sweep."""
    ks = sorted({k for result in results for k in result.settings["k"]})
    scores = {k: [result.metrics.get(f"pass@{k}", -1.0) for result in results] for k in ks}
    return {k: values.index(max(values)) for k, values in scores.items()}


def render_sweep(results: Sequence[EvalResult]) -> str:
    """Returns a table with a row a cell, a star at the best of each k, and a line that names these."""
    best = best_cells(results)
    rows = [["temperature", "top_p", *(f"pass@{k}" for k in best)]]
    for number, result in enumerate(results):
        cells = [f"{'* ' if best[k] == number else ''}{estimate(result.metrics, k)}" for k in best]
        rows.append([_setting(result, "temperature"), _setting(result, "top_p"), *cells])
    with_top_p = len({_setting(result, "top_p") for result in results}) > 1
    named = []
    for k, number in best.items():
        top_p = f" with top_p {_setting(results[number], 'top_p')}" if with_top_p else ""
        named.append(f"pass@{k}: {_setting(results[number], 'temperature')}{top_p}")
    return "\n".join([*layout(rows, left=()), "", f"* best temperature: {', '.join(named)}"])


def _setting(result: EvalResult, name: str) -> str:
    value = result.settings.get(name)
    return "-" if value is None else f"{value:g}"
