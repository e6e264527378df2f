"""The outcome of decoding one sequence."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer in tokens.

    Attributes:
      tokens: The answer without its end token.
      log_prob: Natural log-probability of the answer, end token included, under the model itself (temperature 1).
      finished: Whether the end token came before the limit.
    """

    tokens: tuple[int, ...]
    log_prob: float
    finished: bool

    @classmethod
    def from_row(cls, row: np.ndarray, log_prob: float, *, eoa_id: int, limit: int) -> Completion:
        """Cuts a row of generated tokens at its end token, or at `limit` tokens."""
        ends = np.flatnonzero(row[:limit] == eoa_id)
        length = int(ends[0]) if ends.size else limit
        tokens = tuple(int(token) for token in row[:length])
        return cls(tokens=tokens, log_prob=float(log_prob), finished=bool(ends.size))
