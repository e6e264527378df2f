"""One table of all sections: ours beside Transformers' eager model, and everyone else; lost comparisons are marked.

Not a ranking of sizes or machines: each line is a ratio of two programs that did the same work in turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.speed.records import OURS, Record, Summary, groups, ratio, speeds, summary
from benchmarks.speed.tables import NOTHING, markdown, number


class _Ours(NamedTuple):
    """A contender of ours that has a line of its own.

    Attributes:
      label: Added to the work.
      theirs: Transformers' that it is compared with, by section.
      others: Whether others, all of float32, are compared, too.
    """

    label: str
    theirs: tuple[str, ...] = ("hf", "hf-eager")
    others: bool = True


# As the commands run; another number of devices is a section's.
_OURS = {
    OURS: _Ours(""),
    f"{OURS}-int8": _Ours(", int8 weights"),
    f"{OURS}-bf16": _Ours(", bfloat16 products", theirs=("hf-bf16",), others=False),
}
_THEIRS = {name for ours in _OURS.values() for name in ours.theirs}
_UNITS = {"train": "tokens/s", "decode": "tokens/s", "samples": "answers/s", "rows": "answer tokens/s"}
_HEADER = ("work", "size", "unit", "ours", "Transformers", "ours / Transformers", "others: theirs (ours / theirs)")
LOST = "lost"


def show(records: Sequence[Record]) -> str:
    """Returns the table; sections without contenders, and those that measure starting, have no lines."""
    rows = []
    for group in groups(record for record in records if record.section in _UNITS):
        by_name = {record.contender: record for record in group if record.rounds}
        for name in (name for name in _OURS if name in by_name):
            theirs = next((by_name[match] for match in _OURS[name].theirs if match in by_name), None)
            rows.append(_line(by_name[name], theirs, by_name if _OURS[name].others else {}))
    return markdown(_HEADER, rows)


def _line(ours: Record, theirs: Record | None, others: Mapping[str, Record]) -> tuple[str, ...]:
    foreign = {name: each for name, each in others.items() if not name.startswith(OURS) and name not in _THEIRS}
    compared = [f"{name} {_median(each)} ({_ratio(ratio(ours, each))})" for name, each in foreign.items()]
    return (
        _described(ours.section, ours.work) + _OURS[ours.contender].label,
        ours.size,
        _UNITS[ours.section],
        _median(ours),
        NOTHING if theirs is None else _median(theirs),
        NOTHING if theirs is None else _ratio(ratio(ours, theirs), spread=True),
        ", ".join(compared) or NOTHING,
    )


def _described(section: str, work: Mapping[str, Any]) -> str:
    if section == "decode":
        return f"decode, batch {work['batch']}"
    if section == "samples":
        return f"{work['samples']} samples x {work['problems']} problems"
    return {"train": "train step, 8 x 256", "rows": "epoch of real problems"}[section]


def _median(record: Record) -> str:
    found = summary(speeds(record))
    return NOTHING if found is None else number(found.median)


def _ratio(value: Summary | None, *, spread: bool = False) -> str:
    if value is None:
        return NOTHING
    around = f" ({number(value.low)}..{number(value.high)})" if spread else ""
    return f"{number(value.median)}{around}{f' {LOST}' if value.median < 1 else ''}"
