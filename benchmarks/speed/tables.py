"""Markdown of records. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.speed.records import OURS, Record, Summary, groups, ratio

NOTHING = "–"
Column = Callable[[Record], str]


def number(value: float | None) -> str:
    """Returns about three digits, with thousands separated."""
    if value is None:
        return NOTHING
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def spread(value: Summary | None) -> str:
    """Returns `median (min..max)`."""
    return NOTHING if value is None else f"{number(value.median)} ({number(value.low)}..{number(value.high)})"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table; a `|` in a cell cannot break it."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def compared(records: Sequence[Record], work: Sequence[str], columns: Mapping[str, Column]) -> str:
    """Returns a table with a row for each contender and a ratio for each of ours.

    Args:
      records: Of one section.
      work: Keys of `Record.work` that get a column.
      columns: Header and content of the section's own columns, the first of which shows problems.
    """
    ours = list(dict.fromkeys(record.contender for record in records if record.contender.startswith(OURS)))
    sized = any(record.size for record in records)
    header = [*(["size"] if sized else []), *work, "contender", *columns, *(f"{name} / it" for name in ours)]
    rows = []
    for group in groups(records):
        by_name = {record.contender: record for record in group}
        for record in group:
            cells = [column(record) if record.rounds else NOTHING for column in columns.values()]
            if record.problem is not None:
                cells[0] = record.problem if not record.rounds else f"{cells[0]}, then {record.problem}"
            ratios = [spread(ratio(by_name[name], record)) if name in by_name else NOTHING for name in ours]
            where = [*([record.size] if sized else []), *(str(record.work[key]) for key in work)]
            rows.append([*where, record.contender, *cells, *ratios])
    return markdown(header, rows)
