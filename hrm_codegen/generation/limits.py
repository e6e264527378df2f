"""What may be asked of the decoder, checked before anything is compiled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from hrm_codegen.config.schema import SampleConfig
from hrm_codegen.errors import ContextError, UsageError


def resolve_sampling(default: SampleConfig, given: Mapping[str, float | int | None], **counts: int) -> SampleConfig:
    """Returns the default with what was given in place of it.

    Args:
      default: Limit and strategy.
      given: Fields of it; None stands for the default.
      **counts: Other numbers that must be at least 1, by name.

    Raises:
      UsageError: With every impossible value.
    """
    types = {field.name: type(getattr(default, field.name)) for field in dataclasses.fields(default)}
    changes = {name: types[name](value) for name, value in given.items() if value is not None}
    sampling = dataclasses.replace(default, **changes)
    counts = {**counts, "max_tokens": sampling.max_tokens}
    problems = [f"{name} must be at least 1, not {value}" for name, value in counts.items() if value < 1]
    if not 0 <= sampling.temperature < math.inf:
        problems.append(f"temperature must be 0 or more, not {sampling.temperature}")
    if not 0 < sampling.top_p <= 1:
        problems.append(f"top_p must be in (0, 1], not {sampling.top_p}")
    if sampling.top_k < 0:
        problems.append(f"top_k must be 0 or more, not {sampling.top_k}")
    if problems:
        raise UsageError("; ".join(problems))
    return sampling


def resolve_seeds(seeds: Sequence[int] | None, *, first: int, count: int) -> Sequence[int]:
    """Returns one seed a prompt: those given, or `first`, `first + 1` and so on.

    Raises:
      UsageError: Another number of them.
    """
    if seeds is None:
        return range(first, first + count)
    if len(seeds) != count:
        raise UsageError(f"{count} prompts need as many seeds, not {len(seeds)}")
    return seeds


def answer_limits(prompts: Sequence[Sequence[int]], max_tokens: int, *, max_seq_len: int, strict: bool) -> list[int]:
    """Returns how long the answer to each prompt may be.

    Args:
      prompts: Token ids.
      max_tokens: What is wanted.
      max_seq_len: What prompt and answer have together.
      strict: Whether an answer must have room for all of `max_tokens`, or else for one token.

    Raises:
      ContextError: A prompt leaves too little room.
    """
    limits = []
    for index, tokens in enumerate(prompts):
        room = max_seq_len - len(tokens)
        if room < (max_tokens if strict else 1):
            raise ContextError(
                f"prompt {index} has {len(tokens)} tokens and its answer up to {max_tokens}: together more than "
                f"model.max_seq_len = {max_seq_len}"
            )
        limits.append(min(room, max_tokens))
    return limits
