"""Markdown of one series: a line for each point, and how fast each column grows. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.growth.formulas import exponent
from benchmarks.growth.work import Series
from benchmarks.speed.records import Record, seconds, speeds, summary
from benchmarks.speed.tables import NOTHING, markdown, number, spread

MB = 2**20
Value = Callable[[Record], float | None]


def milliseconds(record: Record) -> float | None:
    """Returns the median time."""
    found = summary(seconds(record))
    return None if found is None else 1e3 * found.median


def fact(name: str, unit: float) -> Value:
    """Returns a function that looks a fact up, None if it is not known."""

    def value(record: Record) -> float | None:
        known = record.facts.get(name)
        return None if known is None else known / unit

    return value


def show(series: Series, records: Sequence[Record]) -> str:
    """Returns the table under its title."""
    values = _MEMORY if series.kind == "memory" else _TRAIN if series.kind == "train" else _DECODE
    xs = [record.work["x"] for record in records]
    rows = []
    for record in records:
        cells = [_cell(name, value, record) for name, value in values.items()]
        if record.problem is not None:
            cells[0] = f"{cells[0]}, {record.problem}" if record.rounds else record.problem
        rows.append([record.contender, *cells])
    columns = [[value(record) for record in records] for value in values.values()]
    rows.append(["**exponent**", *(_slope(exponent(xs, column)) for column in columns)])
    if len(xs) > 2:
        rows.append(["the last two", *(_slope(exponent(xs[-2:], column[-2:])) for column in columns)])
    return f"{series.title}:\n\n" + markdown([series.grows, *values], rows)


def _cell(name: str, value: Value, record: Record) -> str:
    if name == "ms":
        return spread(summary(1e3 * each for each in seconds(record)))
    return number(value(record))


def _slope(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _speed(record: Record) -> float | None:
    found = summary(speeds(record))
    return None if found is None else found.median


def _flops_a_second(record: Record) -> float | None:
    spent, flops = milliseconds(record), record.facts.get("flops")
    return flops / spent / 1e6 if spent and flops else None


def _over_formula(record: Record) -> float | None:
    need = record.facts.get("temporaries")
    return need and need / record.facts["formula_bytes"]


_TIMED: dict[str, Value] = {
    "ms": milliseconds,
    "tokens/s": _speed,
    "GFLOP": fact("flops", 1e9),
    "GFLOP/s": _flops_a_second,
}
_DECODE = _TIMED
_TRAIN: dict[str, Value] = {
    **_TIMED,
    "compiled, MB": fact("bytes", MB),
    "estimate, MB": fact("formula_bytes", MB),
}
_MEMORY: dict[str, Value] = {
    "compiled, MB": fact("bytes", MB),
    "of it temporary, MB": fact("temporaries", MB),
    "cache by the formula, MB": fact("formula_bytes", MB),
    "temporary / formula": _over_formula,
}
