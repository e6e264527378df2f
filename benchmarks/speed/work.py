"""The work that all contenders get: random rows and prompts from one seed, as plain numpy. Imports no framework."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_PROMPT_SHARE = 0.25  # as in `hrm_codegen.benchmarking`
_PROBE_LEN, _PROBE_PROMPT = 12, 4


class Rows(NamedTuple):
    """One document a row, all arrays [rows, length].

    Attributes:
      tokens: Inputs.
      targets: The token after each input.
      prefix: True for the prompt.
      counts: True where the target counts in the loss: on the answer.
    """

    tokens: np.ndarray
    targets: np.ndarray
    prefix: np.ndarray
    counts: np.ndarray


def random_rows(vocab_size: int, rows: int, length: int) -> Rows:
    """Returns full rows whose first quarter is the prompt."""
    tokens = np.random.default_rng(0).integers(0, vocab_size, (rows, length + 1), dtype=np.int32)
    prefix = np.broadcast_to(np.arange(length) < _PROMPT_SHARE * length, (rows, length))
    return Rows(tokens[:, :-1], tokens[:, 1:], prefix, ~prefix)


def probe(vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns one short row and its prompt mask, [1, T]: its logits show whether two programs have the same model."""
    tokens = np.random.default_rng(1).integers(1, vocab_size, (1, _PROBE_LEN), dtype=np.int32)
    return tokens, np.arange(_PROBE_LEN)[None] < _PROBE_PROMPT


def prompts(vocab_size: int, count: int, length: int) -> list[list[int]]:
    """Returns prompts of one length."""
    return np.random.default_rng(2).integers(1, vocab_size, (count, length)).tolist()


def varied_prompts(vocab_size: int, count: int, shortest: int = 40, longest: int = 120) -> list[list[int]]:
    """Returns prompts whose lengths are spread evenly, in a random order."""
    rng = np.random.default_rng(3)
    lengths = rng.permutation(np.linspace(shortest, longest, count).astype(int))
    return [rng.integers(1, vocab_size, length).tolist() for length in lengths]
