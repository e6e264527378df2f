"""Rows for the train step: documents are shuffled, cut, packed (`packing.py`) and batched with Grain's Dataset API.

The iterator of a loader has `get_state` and `set_state`, goes into a checkpoint, and continues bitwise. Tokens stay on
disk until their document is drawn. Not a device feed: `parallel.put_batch` places what comes out.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Sequence

import grain
import numpy as np
from jaxtyping import Int, UInt

from hrm_codegen.data.packing import PackedRows, Packing, Row
from hrm_codegen.data.token_file import TokenFile
from hrm_codegen.errors import DatasetError
from hrm_codegen.typing import Batch

_log = logging.getLogger("hrm_codegen.data")

# Documents whose lengths are looked at together.
_CHUNK = 1 << 20
_MIN_ANSWER = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Documents:
    """Random access to one example a document: the source at the start of the pipeline.

    Attributes:
      token_file: Where the tokens are.
      seq_len: T; a document gives at most T inputs and T targets, its end is cut.
      loss_on_prompt: Let the targets inside of the prompt count, too.
      kept: Indices of the documents that have an answer left after the cut; None: all.
    """

    token_file: TokenFile
    seq_len: int
    loss_on_prompt: bool
    kept: Int[np.ndarray, "K"] | None

    def __len__(self) -> int:
        return len(self.token_file) if self.kept is None else len(self.kept)

    def __getitem__(self, index: int) -> Row:
        document = int(index if self.kept is None else self.kept[index])
        tokens, prompt_len = self.token_file[document]
        return _example(_checked(tokens, self.token_file), prompt_len, self.seq_len, self.loss_on_prompt)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """Random access to a raw stream in windows of T + 1 tokens, T apart: every token but the first is a target once.

    Attributes:
      token_file: The stream.
      seq_len: T.
    """

    token_file: TokenFile
    seq_len: int

    def __len__(self) -> int:
        return max(0, -(-(self.token_file.num_tokens - 1) // self.seq_len))

    def __getitem__(self, index: int) -> Row:
        start = int(index) * self.seq_len
        return _example(self.token_file.read(start, start + self.seq_len + 1), 0, self.seq_len, True)


def make_loader(
    token_file: TokenFile,
    *,
    seq_len: int,
    batch_size: int,
    seed: int,
    packing: bool = True,
    loss_on_prompt: bool = False,
    shuffle: bool = True,
    repeat: bool = True,
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """Returns an iterable of `Batch`es of numpy arrays [batch_size, seq_len].

    Args:
      token_file: The documents. One that is longer than `seq_len + 1` is cut at its end; one that then has fewer than
        two answer tokens is left out, with one warning that counts them.
      seq_len: T.
      batch_size: B, of this process.
      seed: Of the order, which differs in every epoch.
      packing: Put several documents into one row; else one each.
      loss_on_prompt: Let the prompt's tokens count as targets.
      shuffle: Change the order.
      repeat: Go on for ever; else deliver every document once, the last batch filled up with empty rows.
      shard: (index, count): take every count-th document of the order. Without `repeat`, shards may differ in the
        number of their batches.

    Raises:
      DatasetError: No document (of this shard) is left.
    """
    source: Documents | Windows
    if token_file.is_stream:
        source, pad_id = Windows(token_file=token_file, seq_len=seq_len), 0
    else:
        assert token_file.tokenizer is not None
        kept = _kept(token_file, seq_len, loss_on_prompt)
        source = Documents(token_file=token_file, seq_len=seq_len, loss_on_prompt=loss_on_prompt, kept=kept)
        pad_id = token_file.tokenizer.pad_id
    index, count = shard
    if len(source) <= index:
        raise DatasetError(
            f"{token_file.path}: {len(source)} documents have an answer within seq_len {seq_len}, "
            f"too few for {count} shard{'s' * (count > 1)}"
        )
    documents = grain.MapDataset.source(source).seed(seed)
    if shuffle:
        documents = documents.shuffle()
    documents = documents[index::count]
    if repeat:
        documents = documents.repeat()
    fill = {"tokens": pad_id, "targets": pad_id, "prefix_mask": False, "loss_mask": False}
    rows = PackedRows(documents, Packing(length=seq_len, together=packing, seed=seed if shuffle else None, fill=fill))
    return rows.batch(
        batch_size,
        drop_remainder=repeat,
        batch_fn=functools.partial(_stack, batch_size=batch_size, pad_id=pad_id),
    )


def _example(tokens: UInt[np.ndarray, "length"], prompt_len: int, seq_len: int, loss_on_prompt: bool) -> Row:
    tokens = tokens[: seq_len + 1].astype(np.int32)
    position = np.arange(len(tokens) - 1)
    return {
        "tokens": tokens[:-1],
        "targets": tokens[1:],
        "prefix_mask": position < prompt_len,
        # The last prompt token predicts the first answer token.
        "loss_mask": np.ones_like(position, bool) if loss_on_prompt else position >= prompt_len - 1,
    }


def _checked(tokens: UInt[np.ndarray, "length"], token_file: TokenFile) -> UInt[np.ndarray, "length"]:
    assert token_file.tokenizer is not None
    if tokens.max() >= token_file.tokenizer.vocab_size:
        raise DatasetError(
            f"{token_file.path} is corrupt: token {tokens.max()} with a vocabulary of {token_file.tokenizer.vocab_size}"
        )
    return tokens


def _kept(token_file: TokenFile, seq_len: int, loss_on_prompt: bool) -> Int[np.ndarray, "K"] | None:
    """Returns the documents with at least two answer tokens after the cut; None: all of them."""
    chunks, total = [], len(token_file)
    for start in range(0, total, _CHUNK):
        end = min(start + _CHUNK, total)
        lengths = np.minimum(np.diff(token_file.offsets[start : end + 1]), seq_len + 1)
        prompts = 0 if loss_on_prompt else token_file.prompt_lens[start:end]
        chunks.append(start + np.flatnonzero(lengths - prompts >= _MIN_ANSWER))
        token_file.release()
    kept = np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
    if len(kept) == total:
        return None
    _log.warning(
        "%s: %d of %d documents left out: fewer than %d answer tokens within seq_len %d",
        token_file.path,
        total - len(kept),
        total,
        _MIN_ANSWER,
        seq_len,
    )
    return kept


def _stack(rows: Sequence[Row], *, batch_size: int, pad_id: int) -> Batch:
    def field(name: str, fill: int | bool) -> np.ndarray:
        stacked = np.stack([row[name] for row in rows])
        return np.pad(stacked, ((0, batch_size - len(rows)), (0, 0)), constant_values=fill)

    return Batch(
        tokens=field("tokens", pad_id),
        targets=field("targets", pad_id),
        positions=field("positions", 0),
        segment_ids=field("segment_ids", 0),
        prefix_mask=field("prefix_mask", False),
        loss_mask=field("loss_mask", False),
    )
