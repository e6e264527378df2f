"""What was measured, and the arithmetic on it: medians, spreads, and ratios round by round. Pure functions."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OURS = "ours"  # how the names of our contenders begin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One contender on one piece of work.

    Attributes:
      section: Which comparison.
      size: Which model, or "" without one.
      contender: Who.
      work: What distinguishes this piece of work in its section, such as the batch.
      problem: Why there are no (more) rounds: "not installed" or an error; None: all went well.
      facts: What is known once: parameters, compile time, memory.
      rounds: In each round `units` (work of one repetition) and `seconds` (of every repetition).
    """

    section: str
    size: str
    contender: str
    work: Mapping[str, Any]
    problem: str | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rounds: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True)
class Summary:
    """A median and how far rounds were from it."""

    median: float
    low: float
    high: float


def summary(values: Iterable[float]) -> Summary | None:
    """Returns None for no values."""
    values = list(values)
    return Summary(statistics.median(values), min(values), max(values)) if values else None


def seconds(record: Record, key: str = "seconds") -> list[float]:
    """Returns the mean time of a repetition, for each round."""
    return [statistics.fmean(each[key]) for each in record.rounds]


def speeds(record: Record) -> list[float]:
    """Returns units a second, for each round."""
    return [each["units"] / statistics.fmean(each["seconds"]) for each in record.rounds]


def ratio(ours: Record, theirs: Record) -> Summary | None:
    """Returns our speed over theirs, round by round: both of a round met the same load of the machine."""
    return summary(a / b for a, b in zip(speeds(ours), speeds(theirs), strict=False))


def groups(records: Iterable[Record]) -> list[list[Record]]:
    """Returns the records of each section, model and piece of work, in order."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(f"{record.section} {record.size} {sorted(record.work.items())}", []).append(record)
    return list(found.values())


def to_json(records: Iterable[Record], **more: Any) -> dict[str, Any]:
    """Returns every single measurement, with its summary beside it."""
    rows = []
    for record in records:
        speed = summary(speeds(record))
        rows.append({**dataclasses.asdict(record), "units_per_second": speed and dataclasses.asdict(speed)})
    return {**more, "records": rows}


def from_json(tree: Mapping[str, Any]) -> list[Record]:
    """Returns the records of what `to_json` made."""
    fields = [field.name for field in dataclasses.fields(Record)]
    return [Record(**{name: row[name] for name in fields}) for row in tree["records"]]
