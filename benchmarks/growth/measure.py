"""Measures a series: its points in turns, a worker process each; what is only compiled, in one process."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.growth.formulas import cache_bytes, default_graded, train_bytes
from benchmarks.growth.work import Decode, Job, Series, model_of
from benchmarks.speed.process import Worker, WorkerError
from benchmarks.speed.records import Record
from benchmarks.speed.team import PREPARE_TIMEOUT, Contender, Team, say

_ENGINES = {"train": "benchmarks.growth.engine:Trainer", "decode": "benchmarks.growth.engine:Decoder"}


def measure(series: Series, *, rounds: int, seconds: float) -> list[Record]:
    """Returns a record for each point, with `formula_bytes` among its facts."""
    found = _compiled(series) if series.kind == "memory" else _timed(series, rounds, seconds)
    return [
        dataclasses.replace(
            record,
            work={"x": point.x, **dataclasses.asdict(point.job)},
            facts={**record.facts, "formula_bytes": formula_bytes(point.job)},
        )
        for record, point in zip(found, series.points, strict=True)
    ]


def formula_bytes(job: Job) -> int:
    """Returns what a job should keep in memory: a decoder its cache, a train step everything."""
    model = model_of(job)
    if isinstance(job, Decode):
        return job.positions * cache_bytes(model)
    return train_bytes(model, job.tokens, job.bp_passes or default_graded(job.h_cycles, job.l_cycles))


def _timed(series: Series, rounds: int, seconds: float) -> list[Record]:
    def options(job: Job) -> Any:
        return lambda: dataclasses.asdict(job)

    contenders = [
        Contender(name=point.label, engine=_ENGINES[series.kind], options=options(point.job)) for point in series.points
    ]
    with Team(series.name, "", contenders) as team:
        return team.alternate(rounds, {}, seconds=seconds)


def _compiled(series: Series) -> list[Record]:
    worker = Worker(_ENGINES["decode"])
    try:
        found = []
        for point in series.points:
            say(f"{series.name} {point.label}")
            facts, problem = {}, None
            try:
                facts = worker.call("compile", PREPARE_TIMEOUT, **dataclasses.asdict(point.job))
            except WorkerError as error:
                problem = f"failed: {' '.join(str(error).split())[:120]}"
            found.append(
                Record(section=series.name, size="", contender=point.label, work={}, problem=problem, facts=facts)
            )
        return found
    finally:
        worker.close()
