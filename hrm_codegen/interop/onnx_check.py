"""Whether exported ONNX graphs compute what the JAX model computes, as onnxruntime runs them.

Why: an exporter can be wrong for exactly the shapes that its example did not have. So the trial has a batch of ragged
rows and each row alone, lengths down to one token, padding on either side, an empty past, and decoding token by token.
Not a benchmark, and it says nothing about quality: tokens are random.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.model import abstract, merge

_LONGEST_PROMPT, _ANSWER = 44, 4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Random prompts with answers, and what JAX makes of them.

    Attributes:
      tokens: A prompt and its answer in each row, padded on the right with random tokens.
      prompt_lens: Length of each prompt.
      answer_len: Length of every answer.
      logits: Of the JAX model, for every token.
    """

    tokens: Int[np.ndarray, "B T"]
    prompt_lens: Int[np.ndarray, "B"]
    answer_len: int
    logits: Float[np.ndarray, "B T V"]


def draw_sample(config: ModelConfig, params: nnx.State, *, rows: int = 5, seed: int = 0) -> Sample:
    """Draws prompts of different lengths and runs the JAX model on them once, in float32."""
    answer_len = max(1, min(_ANSWER, config.max_seq_len - 1))
    longest = max(1, min(_LONGEST_PROMPT, config.max_seq_len - answer_len))
    prompt_lens = np.linspace(1, longest, rows).astype(np.int64)
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, config.vocab_size, (rows, longest + answer_len))
    graphdef, _ = abstract(dataclasses.replace(config, dtype="float32"))

    @jax.jit
    def logits(params: nnx.State, tokens: jax.Array, prefix_mask: jax.Array) -> jax.Array:
        return merge(graphdef, params)(tokens, prefix_mask=prefix_mask)

    prefix_mask = np.arange(tokens.shape[1])[None, :] < prompt_lens[:, None]
    with jax.default_matmul_precision("highest"):  # accelerators round the inputs of products otherwise
        expected = logits(params, jnp.asarray(tokens, jnp.int32), jnp.asarray(prefix_mask))
    return Sample(tokens=tokens, prompt_lens=prompt_lens, answer_len=answer_len, logits=np.asarray(expected))


def plain_difference(path: Path, sample: Sample) -> float:
    """Returns the largest difference of the plain graph: the batch padded on the right, then each row alone."""
    session = _session(path)
    columns = np.arange(sample.tokens.shape[1])[None, :]
    lengths = sample.prompt_lens[:, None] + sample.answer_len
    real, prompt = columns < lengths, columns < sample.prompt_lens[:, None]
    feeds = {"input_ids": sample.tokens, "attention_mask": real.astype(np.int64), "token_type_ids": prompt.astype(int)}
    (logits,) = session.run(["logits"], feeds)
    differences = [np.abs(logits - sample.logits)[real].max()]
    for row, (length,) in enumerate(lengths):
        alone = {name: array[row : row + 1, :length] for name, array in feeds.items()}
        (logits,) = session.run(["logits"], alone)
        differences.append(np.abs(logits[0] - sample.logits[row, :length]).max())
    return float(np.max(differences))


def cached_difference(path: Path, sample: Sample, config: ModelConfig) -> float:
    """Returns the largest difference of the graph with past.

    The batch is padded on the left and decoded token by token; each row alone gets its answer in one piece.
    """
    session = _session(path)
    everyone = range(len(sample.tokens))
    differences = [_decode(session, sample, everyone, config, chunk=1)]
    differences += [_decode(session, sample, [row], config, chunk=sample.answer_len) for row in everyone]
    return float(np.max(differences))


def _decode(session: Any, sample: Sample, rows: Sequence[int], config: ModelConfig, *, chunk: int) -> float:
    """Reads prompts, then answers `chunk` tokens at a time."""
    lens = sample.prompt_lens[list(rows)]
    index = np.arange(lens.max())[None, :] - (lens.max() - lens)[:, None]  # of each column in its row; < 0: padding
    tokens, expected = sample.tokens[list(rows)], sample.logits[list(rows)]
    mask = (index >= 0).astype(np.int64)
    empty = np.zeros((len(rows), config.num_heads, 0, config.resolved_head_dim), np.float32)
    names = [value.name for value in session.get_inputs() if value.name.startswith("past_key_values.")]
    past = dict.fromkeys(names, empty)
    types, differences = mask, []
    for step in range(0, sample.answer_len + 1, chunk):
        positions = np.maximum(index, 0)
        feeds = {
            "input_ids": np.take_along_axis(tokens, positions, axis=1),
            "attention_mask": mask,
            "token_type_ids": types,
            "position_ids": positions,
        }
        logits, *present = session.run(None, feeds | past)
        wanted = np.take_along_axis(expected, positions[:, :, None], axis=1)
        differences.append(np.abs(logits - wanted)[index >= 0].max())
        past = dict(zip(names, present, strict=True))
        index = lens[:, None] + step + np.arange(chunk)[None, :]
        mask = np.concatenate([mask, np.ones_like(index)], axis=1)
        types = np.zeros_like(index)
    return float(np.max(differences))


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
