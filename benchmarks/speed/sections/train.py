"""`train`: the same train step, 8 rows of 256 tokens, by this project and by Transformers."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed.records import Record, seconds, speeds, summary
from benchmarks.speed.settings import Settings
from benchmarks.speed.shop import Shop
from benchmarks.speed.sizes import BATCH, GRADED_PASSES, SEQ_LEN
from benchmarks.speed.tables import NOTHING, compared, spread
from benchmarks.speed.team import Contender, Team, agreement
from benchmarks.speed.us import OURS_ARE, devices, us

_OURS, _THEIRS = "benchmarks.speed.engines.ours:Trainer", "benchmarks.speed.engines.hf:Trainer"
_HF = ("torch", "transformers")
_MB = 2**20


def run(settings: Settings, shop: Shop) -> list[Record]:
    records = []
    for size in settings.sizes_of("1m", "3m", "8m"):
        with Team("train", size, settings.taking_part(_contenders(size, shop))) as team:
            records += team.alternate(settings.rounds, {}, seconds=settings.seconds)
    return records


def show(records: Sequence[Record], peak_flops: float | None) -> str:
    note = (
        f"{BATCH} rows of {SEQ_LEN} tokens, the first quarter a prompt, AdamW with clipping, K = {GRADED_PASSES}; "
        "float32 but for `bf16` (`train.matmul_dtype`, torch's autocast). "
        f"{agreement(records)}All start with GLIBC_TUNABLES=glibc.malloc.hugetlb=1. {OURS_ARE} "
        "Memory: the most while steps run; `step` is without what the process had when the model was made. "
        "The peak is the best float32 product of section machine.\n\n"
    )
    columns = {
        "tokens/s": lambda record: spread(summary(speeds(record))),
        "ms a step": lambda record: spread(summary(1e3 * value for value in seconds(record))),
        "process, MB": lambda record: _megabytes(record, "peak_bytes"),
        "step, MB": lambda record: _megabytes(record, "step_bytes"),
        "of the float32 peak": lambda record: _share(record, peak_flops),
    }
    return note + compared(records, (), columns)


def _contenders(size: str, shop: Shop) -> list[Contender]:
    ours = [
        us("ours", _OURS, lambda: {"size": size}),
        us("ours-bf16", _OURS, lambda: {"size": size, "matmuls": "bfloat16"}),
    ]
    if devices() > 1:
        ours.append(us("ours-1dev", _OURS, lambda: {"size": size}, most=1))
    return [
        *ours,
        Contender(
            name="hf-eager",
            engine=_THEIRS,
            needs=_HF,
            options=lambda: {"folder": shop.model(size)},
        ),
        Contender(
            name="hf-compiled",
            engine=_THEIRS,
            needs=_HF,
            options=lambda: {"folder": shop.model(size), "compiled": True},
        ),
        Contender(
            name="hf-bf16",
            engine=_THEIRS,
            needs=_HF,
            options=lambda: {"folder": shop.model(size), "mixed": True},
        ),
    ]


def _megabytes(record: Record, name: str) -> str:
    return spread(summary(found[name] / _MB for found in record.rounds if found[name] is not None))


def _share(record: Record, peak_flops: float | None) -> str:
    flops, speed = record.facts.get("step_flops"), summary(seconds(record))
    if flops is None or speed is None or not peak_flops:
        return NOTHING
    return f"{flops / speed.median / peak_flops:.0%}"
