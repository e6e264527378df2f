"""Shapes: prompts are padded to a few lengths, so that a handful of compilations serve every prompt.

A prompt's bucket depends on the prompt alone, never on its batch mates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEP = 32


def bucket_length(length: int) -> int:
    """Returns the padded length: multiples of 32 up to 256, then of 128."""
    step = STEP if length <= 8 * STEP else 4 * STEP
    return -(-length // step) * step


def by_bucket(prompts: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Returns the indices of the prompts of each padded length."""
    buckets: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        buckets.setdefault(bucket_length(len(prompt)), []).append(index)
    return buckets


def pad_rows(prompts: Sequence[Sequence[int]], *, rows: int, length: int, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens [rows, length], right-padded, and prompt lengths [rows]; surplus rows hold one pad token."""
    tokens = np.full((rows, length), pad_id, np.int32)
    lengths = np.ones(rows, np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
        lengths[row] = len(prompt)
    return tokens, lengths
