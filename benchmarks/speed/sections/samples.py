"""`samples`: many answers for each of many prompts, as an evaluation of pass@k draws them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed.records import Record, seconds, speeds, summary
from benchmarks.speed.settings import Settings
from benchmarks.speed.shop import Shop
from benchmarks.speed.tables import compared, spread
from benchmarks.speed.team import Contender, Team, agreement
from benchmarks.speed.us import OURS_ARE, us


def run(settings: Settings, shop: Shop) -> list[Record]:
    work = {"problems": settings.problems, "samples": settings.samples, "new_tokens": settings.answer_tokens}
    records = []
    for size in settings.sizes_of("1m"):
        with Team("samples", size, settings.taking_part(_contenders(size, shop))) as team:
            records += team.alternate(settings.rounds, work)
    return records


def show(records: Sequence[Record], peak_flops: float | None) -> str:
    del peak_flops
    work = next((record.work for record in records), {})
    note = (
        f"{work.get('samples')} answers of {work.get('new_tokens')} tokens at temperature 0.8 for each of "
        f"{work.get('problems')} prompts of 40 to 120 tokens, end to end; no token ends an answer. "
        f"{OURS_ARE} {agreement(records)}Transformers takes the prompts one by one.\n\n"
    )
    columns = {
        "seconds": lambda record: spread(summary(seconds(record))),
        "answers/s": lambda record: spread(summary(speeds(record))),
    }
    return note + compared(records, (), columns)


def _contenders(size: str, shop: Shop) -> list[Contender]:
    return [
        us("ours", "benchmarks.speed.engines.ours:Sampler", lambda: {"size": size}),
        Contender(
            name="hf",
            engine="benchmarks.speed.engines.hf:Sampler",
            needs=("torch", "transformers"),
            options=lambda: {"folder": shop.model(size)},
        ),
    ]
