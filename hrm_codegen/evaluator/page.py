"""Evaluations as one HTML page that needs nothing else: tables, intervals, and every problem with its first failure.

The texts come from models, and the page is opened by people. Everything is escaped, there is no script, and the page
forbids the browser to load or run anything, so that a mistake here stays harmless.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from hrm_codegen.evaluator.breakdown import (
    ProblemBreakdown,
    break_down,
    breakdown_cells,
    breakdown_header,
    describe_tests,
    missing_lines,
)
from hrm_codegen.evaluator.compare import Comparison, change_rows, difference_text
from hrm_codegen.evaluator.diff import render_diff
from hrm_codegen.evaluator.leaderboard import Entry, by_dataset, dataset_title, leaderboard_rows, ranked
from hrm_codegen.evaluator.table import visible

_LONGEST = 4000  # characters of one text
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #8884; padding: .25rem .75rem; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
pre { background: #8881; max-width: 60rem; overflow: auto; padding: .5rem; }
svg { display: block; height: 8px; width: 10rem; }
line { stroke: currentColor; stroke-width: 2; }
circle { fill: currentColor; }
"""
_HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>HRM-CodeGen evaluations</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Evaluations</h1>
"""


def render_page(entries: Sequence[Entry], ks: Sequence[int], comparisons: Sequence[Comparison] = ()) -> str:
    """Returns the page.

    Args:
      entries: Finished evaluations.
      ks: The k of each pass@k; the first decides the order.
      comparisons: Of the first entry with the second, if they were asked for.
    """
    parts = [_HEAD]
    for group in by_dataset(entries):
        entries_of_group = ranked(group, ks[0])
        rows = [[_escape(cell) for cell in row] for row in leaderboard_rows(entries_of_group, ks)]
        first = rows[0].index(f"pass@{ks[0]}")
        for row, entry in zip(rows[1:], entries_of_group, strict=True):
            for column, k in enumerate(ks, start=first):
                row[column] += _bar(entry.result.metrics, k)
        parts += [f"<h2>{_escape(dataset_title(group[0].result))}</h2>", _table(rows)]
    if comparisons:
        names = " and ".join(_escape(entry.folder) for entry in entries)
        parts.append(f"<h2>Comparison of {names} (first and second)</h2>")
        parts += [_comparison(comparison) for comparison in comparisons]
    for entry in entries:
        problems = break_down(entry.result, ks)
        rows = [breakdown_header(entry.result, ks)]
        rows += [_problem_row(problem, ks) for problem in problems]
        parts += [f"<h2>{_escape(entry.folder)}</h2>", _table(rows)]
        parts += [f"<p>{_escape(line)}</p>" for line in missing_lines(entry.result)]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _comparison(comparison: Comparison) -> str:
    rows = [[_escape(cell) for cell in row] for row in change_rows(comparison.changes)]
    lines = [
        f"pass@{comparison.k}: {difference_text(comparison)}",
        f"second is better on {comparison.wins}, worse on {comparison.losses}, the same on {comparison.ties}",
        *comparison.notes,
    ]
    return "\n".join([*(f"<p>{_escape(line)}</p>" for line in lines), _table(rows)])


def _problem_row(problem: ProblemBreakdown, ks: Sequence[int]) -> list[str]:
    cells = [_escape(text) for text in (problem.task_id, *breakdown_cells(problem, ks))]
    sample = problem.first_failure
    if sample is None:
        return [*cells, ""]
    texts = (render_diff(sample.result), sample.completion)
    blocks = "".join(f"<pre>{_escape(text, lines=True)}</pre>" for text in texts)
    told = ", ".join(filter(None, (sample.message or str(sample.verdict), describe_tests(sample.result))))
    summary = _escape(f"sample {sample.sample}: {told}")
    return [*cells, f"<details><summary>{summary}</summary>{blocks}</details>"]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Lays out cells that are HTML already; the first row is the header."""
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _bar(metrics: Mapping[str, float], k: int) -> str:
    """Returns the interval as a line from 0 to 100 with the estimate as a dot."""
    if f"pass@{k}" not in metrics:
        return ""
    low, value, high = (100 * metrics[f"pass@{k}{end}"] for end in ("_low", "", "_high"))
    line = f'<line x1="{low:.1f}" x2="{high:.1f}" y1="4" y2="4"/>'
    return f'<svg viewBox="0 0 100 8" preserveAspectRatio="none">{line}<circle cx="{value:.1f}" cy="4" r="3"/></svg>'


def _escape(text: str, *, lines: bool = False) -> str:
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return html.escape(visible(text, lines=lines))
