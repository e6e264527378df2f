"""`decode`: greedy text of one length, by this project, Transformers, ONNX Runtime and llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed.records import Record, seconds, speeds, summary
from benchmarks.speed.settings import Settings
from benchmarks.speed.shop import Shop
from benchmarks.speed.sizes import SIZES
from benchmarks.speed.tables import compared, spread
from benchmarks.speed.team import Contender, Team, agreement
from benchmarks.speed.us import OURS_ARE, us

_ENGINES = "benchmarks.speed.engines."
_EXPORT = ("torch", "onnx", "onnxscript", "onnxruntime")


def run(settings: Settings, shop: Shop) -> list[Record]:
    records = []
    lengths = {"prompt_len": settings.prompt_len, "new_tokens": settings.new_tokens}
    for size in settings.sizes_of("dev", "1m", "3m", "8m", "27m"):
        alone = settings.taking_part(_alone(settings, size, shop))
        both = settings.taking_part(_both(size, shop))
        batches = [batch for batch in settings.batches if batch > 1]
        if 1 in settings.batches:
            with Team("decode", size, both + alone) as team:
                records += team.alternate(settings.rounds, {"batch": 1, **lengths}, seconds=settings.seconds)
        if batches:
            with Team("decode", size, both) as team:
                for batch in batches:
                    work = {"batch": batch, **lengths}
                    records += team.alternate(settings.rounds, work, seconds=settings.seconds)
    return records


def show(records: Sequence[Record], peak_flops: float | None) -> str:
    del peak_flops
    lengths = sorted({f"{record.work['prompt_len']} + {record.work['new_tokens']}" for record in records})
    note = (
        f"Greedy, prompt + new tokens: {', '.join(lengths)}, float32 but for `int8`; no token ends an answer. "
        f"{agreement(records)}Tokens a second are those of all sequences, the prompt's time included; the first token "
        f"is the prompt and one token. {OURS_ARE}\n\n"
    )
    columns = {
        "tokens/s": lambda record: spread(summary(speeds(record))),
        "first token, ms": lambda record: spread(summary(1e3 * value for value in seconds(record, "first"))),
    }
    return note + compared(records, ("batch",), columns)


def _both(size: str, shop: Shop) -> list[Contender]:
    """Who takes any batch."""
    return [
        us("ours", f"{_ENGINES}ours:Decoder", lambda: {"size": size}),
        Contender(
            name="hf",
            engine=f"{_ENGINES}hf:Decoder",
            needs=("torch", "transformers"),
            options=lambda: {"folder": shop.model(size)},
        ),
    ]


def _alone(settings: Settings, size: str, shop: Shop) -> list[Contender]:
    """Who takes one sequence only."""
    found = [
        us("ours-int8", f"{_ENGINES}ours:Decoder", lambda: {"size": size, "weights": "int8"}),
        Contender(
            name="onnxruntime",
            engine=f"{_ENGINES}ort:Decoder",
            needs=_EXPORT,
            options=lambda: {"graph": shop.onnx(size), "vocab_size": SIZES[size]["vocab_size"]},
        ),
    ]
    if settings.llama_bench is not None and size in settings.gguf:
        options = {"bench": settings.llama_bench, "gguf": settings.gguf[size]}
        found.append(Contender(name="llama.cpp", engine=f"{_ENGINES}llama:Decoder", options=lambda: options))
    return found
