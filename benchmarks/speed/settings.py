"""How much is measured: the defaults of a run, and those of `--quick`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from benchmarks.speed.team import Contender

SECTIONS = ("machine", "train", "decode", "samples", "rows", "start")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line, read.

    Attributes:
      only: Sections, in the order of `SECTIONS`.
      sizes: Models of every section that has a choice; None: few of each.
      rounds: Alternations.
      seconds: A measurement repeats its work for at least this long.
      batches: Of decoding.
      prompt_len: Of decoding.
      new_tokens: Written by each sequence of decoding.
      answer_tokens: Written by each sequence of samples.
      problems: Of samples.
      samples: Answers for each problem.
      documents: Of rows.
      without: Contenders that are left out.
      llama_bench: The program; None: no llama.cpp.
      gguf: The model file of a size, for llama.cpp.
    """

    only: tuple[str, ...] = SECTIONS
    sizes: tuple[str, ...] | None = None
    rounds: int = 5
    seconds: float = 2.0
    batches: tuple[int, ...] = (1, 8, 32)
    prompt_len: int = 64
    new_tokens: int = 128
    answer_tokens: int = 64
    problems: int = 90
    samples: int = 20
    documents: int = 748  # all of MBPP's training split, and as many of basics'
    without: tuple[str, ...] = ()
    llama_bench: str | None = None
    gguf: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def taking_part(self, contenders: Iterable[Contender]) -> list[Contender]:
        """Returns those that are not left out."""
        return [contender for contender in contenders if contender.name not in self.without]

    def sizes_of(self, *default: str) -> tuple[str, ...]:
        """Returns what was asked for, or a section's own choice."""
        return self.sizes or default


QUICK = Settings(
    sizes=("1m",),
    rounds=1,
    seconds=0.0,
    batches=(1,),
    prompt_len=16,
    new_tokens=8,
    answer_tokens=8,
    problems=2,
    samples=4,
    documents=16,
)
