"""`rows`: an epoch of real documents, packed by this project, padded as Transformers' users do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.speed.records import Record, seconds, speeds, summary
from benchmarks.speed.settings import Settings
from benchmarks.speed.shop import Shop
from benchmarks.speed.tables import NOTHING, compared, spread
from benchmarks.speed.team import Contender, Team, agreement
from benchmarks.speed.us import OURS_ARE, us


def run(settings: Settings, shop: Shop) -> list[Record]:
    records = []
    for size in settings.sizes_of("1m"):
        with Team("rows", size, settings.taking_part(_contenders(size, settings, shop))) as team:
            found = team.alternate(settings.rounds, {})
        records += [_described(record, shop.source, settings.documents) for record in _checked(found)]
    return records


def show(records: Sequence[Record], peak_flops: float | None) -> str:
    del peak_flops
    facts = next((record.facts for record in records if "source" in record.facts), {})
    note = (
        f"One epoch of {facts.get('documents')} documents of {facts.get('source')}, reading and "
        "batching included; every answer token is a target once. Ours are packed into rows of 256, theirs padded to "
        "the longest of 8. Fuller rows mean fewer optimizer steps, so that the two are not the same training. "
        f"{OURS_ARE} {agreement(records)}\n\n"
    )
    columns = {
        "answer tokens/s": lambda record: spread(summary(speeds(record))),
        "seconds": lambda record: spread(summary(seconds(record))),
        "steps": lambda record: str(record.facts.get("steps", NOTHING)),
        "filled": lambda record: f"{record.facts['filled']:.0%}" if "filled" in record.facts else NOTHING,
    }
    return note + compared(records, (), columns)


def _checked(records: Sequence[Record]) -> list[Record]:
    """Refuses to compare contenders that do not count the same targets."""
    counts = {record.facts["answers"] for record in records if "answers" in record.facts}
    if len(counts) <= 1:
        return list(records)
    problem = f"failed: contenders count different targets, {sorted(counts)}"
    return [dataclasses.replace(record, problem=record.problem or problem, rounds=()) for record in records]


def _described(record: Record, source: str, documents: int) -> Record:
    return dataclasses.replace(record, facts={**record.facts, "source": source, "documents": documents})


def _contenders(size: str, settings: Settings, shop: Shop) -> list[Contender]:
    return [
        us(
            "ours",
            "benchmarks.speed.engines.ours:RowsTrainer",
            lambda: {"size": size, "documents": shop.documents(settings.documents)},
        ),
        Contender(
            name="hf-eager",
            engine="benchmarks.speed.engines.hf:RowsTrainer",
            needs=("torch", "transformers"),
            options=lambda: {"folder": shop.model(size), "documents": shop.documents(settings.documents)},
        ),
    ]
