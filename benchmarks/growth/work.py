"""What is measured: lists of jobs in which one size grows and all others stay. Imports neither jax nor matplotlib."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from benchmarks.growth.formulas import num_passes, parameters
from benchmarks.speed.sizes import SIZES, config_of
from hrm_codegen.config import ModelConfig

AXES = ("seq", "batch", "params", "cycles", "samples", "memory")
BASE = "1m"
TOKENS = 2048  # a train step, where the sequence grows
LENGTHS, BATCHES, SAMPLES = (64, 128, 256, 512, 1024), (1, 2, 4, 8, 16, 32), (1, 2, 4, 8, 16, 32, 64)
CYCLES = ((1, 1), (1, 2), (2, 1), (1, 4), (2, 2), (2, 3), (2, 4), (3, 3), (4, 2), (4, 4))
TOGETHER = 16  # `hrm_codegen.generation.sample.CPU_BATCH`
GRADED = tuple(range(2, 9))  # K at H2 L3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """A train step on full rows.

    Attributes:
      size: Of `benchmarks.speed.sizes`.
      rows: B.
      seq_len: T.
      h_cycles: H.
      l_cycles: L.
      bp_passes: K; None: the last of the default schedule, about half of the passes.
    """

    size: str = BASE
    rows: int = 8
    seq_len: int = 256
    h_cycles: int = 2
    l_cycles: int = 3
    bp_passes: int | None = None

    @property
    def tokens(self) -> int:
        """Read by a step."""
        return self.rows * self.seq_len


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decode:
    """Answers of one length to prompts of one length, both multiples of what the decoder pads to.

    Attributes:
      size: Of `benchmarks.speed.sizes`.
      prompts: Decoded together.
      samples: Answers to each.
      prompt_len: Tokens of each.
      new_tokens: Of each answer.
      h_cycles: H.
      l_cycles: L.
    """

    size: str = BASE
    prompts: int = 8
    samples: int = 1
    prompt_len: int = 64
    new_tokens: int = 64
    h_cycles: int = 2
    l_cycles: int = 3

    @property
    def sequences(self) -> int:
        """Rows of the cache."""
        return self.prompts * self.samples

    @property
    def length(self) -> int:
        """Of a prompt and its answer."""
        return self.prompt_len + self.new_tokens

    @property
    def positions(self) -> int:
        """Of the cache: samples of a prompt share it."""
        return self.prompts * self.prompt_len + self.sequences * self.new_tokens

    @property
    def tokens(self) -> int:
        """Written by all of it."""
        return self.sequences * self.new_tokens


Job = Train | Decode


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One job of a series; `x` is what grows, `label` how it is called."""

    x: float
    label: str
    job: Job


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """Jobs that become one table and one line.

    Attributes:
      axis: Of `AXES`.
      kind: What is measured: the time of train steps, that of decoding, or the memory of decoding.
      title: Of the table.
      grows: Names `x`.
      points: From small to large.
    """

    axis: str
    kind: Literal["train", "decode", "memory"]
    title: str
    grows: str
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """Distinguishes it from all others."""
        return f"{self.axis} {self.kind} {self.grows}"


def model_of(job: Job) -> ModelConfig:
    """Returns the job's model."""
    length = job.seq_len if isinstance(job, Train) else job.length
    model = config_of(job.size).model
    return dataclasses.replace(
        model, h_cycles=job.h_cycles, l_cycles=job.l_cycles, max_seq_len=max(model.max_seq_len, length)
    )


def all_series() -> tuple[Series, ...]:
    """Returns everything, axis by axis."""
    decoded = _decoded()
    memory = [dataclasses.replace(each, axis="memory", kind="memory", points=_at_once(each.points)) for each in decoded]
    return tuple(sorted([*_trained(), *decoded, *memory], key=lambda each: AXES.index(each.axis)))


def chosen(axes: Sequence[str], most: int | None = None) -> tuple[Series, ...]:
    """Returns the series of some axes, each cut to its first `most` points."""
    return tuple(dataclasses.replace(each, points=each.points[:most]) for each in all_series() if each.axis in axes)


def _trained() -> list[Series]:
    def series(axis: str, title: str, grows: str, points: Sequence[Point]) -> Series:
        return Series(axis=axis, kind="train", title=f"Train step, {title}", grows=grows, points=tuple(points))

    return [
        series("seq", f"{TOKENS} tokens", "T", [_at(t, Train(rows=TOKENS // t, seq_len=t)) for t in LENGTHS]),
        series("batch", "rows of 256", "B", [_at(b, Train(rows=b)) for b in BATCHES]),
        series("params", "2 x 256 tokens", "parameters", _sized([Train(size=name, rows=2) for name in SIZES])),
        series("cycles", "8 x 256 tokens, default K", "passes", [_cycled(Train, *each) for each in CYCLES]),
        series("cycles", "8 x 256 tokens, H2 L3", "K", [_at(k, Train(bp_passes=k)) for k in GRADED]),
    ]  # fmt: skip


def _decoded() -> list[Series]:
    def series(axis: str, title: str, grows: str, points: Sequence[Point]) -> Series:
        return Series(axis=axis, kind="decode", title=f"Decoding, {title}", grows=grows, points=tuple(points))

    halves = [_at(t, Decode(prompt_len=t // 2, new_tokens=t // 2)) for t in LENGTHS]
    drawn = [_at(n, Decode(prompts=1, samples=n)) for n in SAMPLES]
    return [
        series("seq", "8 sequences, half prompt and half new", "T", halves),
        series("batch", "64 + 64 tokens", "sequences", [_at(b, Decode(prompts=b)) for b in BATCHES]),
        series("params", "2 x (64 + 64) tokens", "parameters", _sized([Decode(size=s, prompts=2) for s in SIZES])),
        series("cycles", "8 x (64 + 64) tokens", "passes", [_cycled(Decode, *each) for each in CYCLES]),
        series("samples", "1 prompt, 64 + 64 tokens", "samples", drawn),
    ]  # fmt: skip


def _at_once(points: Sequence[Point]) -> tuple[Point, ...]:
    """Returns those whose sequences are decoded together: of more, the program decodes one group after the other."""
    return tuple(each for each in points if isinstance(each.job, Decode) and each.job.sequences <= TOGETHER)


def _at(x: int, job: Job) -> Point:
    return Point(x=x, label=str(x), job=job)


def _sized(jobs: Sequence[Job]) -> list[Point]:
    counts = sorted((parameters(model_of(job)), job.size, job) for job in jobs)
    return [Point(x=count, label=f"{size}: {count / 1e6:.1f} M", job=job) for count, size, job in counts]


def _cycled(kind: Any, h_cycles: int, l_cycles: int) -> Point:
    passes = num_passes(h_cycles, l_cycles)
    job = kind(h_cycles=h_cycles, l_cycles=l_cycles)
    return Point(x=passes, label=f"{passes}: H{h_cycles} L{l_cycles}", job=job)
