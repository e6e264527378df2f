"""Decoding one sequence by drafts from its own text (prompt look-up), with the answer that one token at a time gives.

Why: a step for one token reads every weight for a single row, and with tiles (`model/tiles.py`) a step for four rows
costs hardly more. Programs repeat names and phrases: what followed the last two tokens where they occurred before is a
good guess at what follows now. The draft is read in one pass with the full recurrence; each position's token is drawn
from its own logits with its own key, and the draft counts as far as it agrees, so that sampling is exact too, and
nothing is approximated (compare Leviathan et al., arXiv 2211.17192: here the draft model is a look-up).

Not for several sequences: they fill the rows themselves, and would agree to different lengths.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from hrm_codegen.config.schema import SampleConfig
from hrm_codegen.generation.bucket import bucket_length, pad_rows
from hrm_codegen.generation.completion import Completion
from hrm_codegen.generation.strategy import draw
from hrm_codegen.model import merge
from hrm_codegen.model.cache import Cache
from hrm_codegen.model.matrices import on_cpu

BLOCK = 4  # tokens read together: the last one drawn, and the draft
LEAST_BYTES = 24 * 2**20  # of weights: smaller ones stay in the processor's cache, and a pass costs what its ops cost


class _State(NamedTuple):
    written: jax.Array  # tokens drawn so far; the last of them has not been read yet
    text: jax.Array  # prompt and answer, one after the other
    cache: Cache
    log_prob: jax.Array
    done: jax.Array
    blocks: jax.Array  # passes so far


def drafts_pay(params: nnx.State) -> bool:
    """Says whether drafts are worth their rows: on CPUs, for weights that are streamed from memory for every token."""
    leaves = jax.tree.leaves(params)
    return on_cpu(leaves[0].sharding) and sum(leaf.nbytes for leaf in leaves) >= LEAST_BYTES


def complete_by_lookup(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    laid_out: nnx.State,
    prompt: Sequence[int],
    *,
    seed: int,
    sampling: SampleConfig,
    eoa_id: int,
    pad_id: int,
) -> Completion:
    """Draws one answer; the arguments are those of `sample.generate`, on one device."""
    tokens, lengths = pad_rows([prompt], rows=1, length=bucket_length(len(prompt)), pad_id=pad_id)
    row, log_prob, _ = decode_by_lookup(
        graphdef,
        params,
        laid_out,
        jnp.asarray(tokens),
        jnp.asarray(lengths[0]),
        jax.random.key(seed),
        jnp.asarray(sampling.max_tokens),
        jnp.asarray(max(sampling.temperature, 1e-6), jnp.float32),
        jnp.asarray(sampling.top_p, jnp.float32),
        capacity=bucket_length(sampling.max_tokens),
        eoa_id=eoa_id,
        greedy=sampling.temperature == 0,
        top_k=sampling.top_k,
        nucleus=sampling.top_p < 1,
    )
    return Completion.from_row(np.asarray(row), float(log_prob), eoa_id=eoa_id, limit=sampling.max_tokens)


@functools.partial(jax.jit, static_argnames=("graphdef", "capacity", "eoa_id", "greedy", "top_k", "nucleus"))
def decode_by_lookup(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    laid_out: nnx.State,
    prompt: Int[Array, "1 P"],
    prompt_len: Int[Array, ""],
    key: jax.Array,
    limit: Int[Array, ""],
    temperature: jax.Array,
    top_p: jax.Array,
    *,
    capacity: int,
    eoa_id: int,
    **strategy: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws the answer that `sample.decode` draws with the same key: that of the prompt, for its sample 0.

    Returns:
      Tokens [capacity], of which those after an end token or the limit mean nothing; the log-probability of the answer;
      and the number of passes after the prompt's.
    """
    writer = merge(graphdef, laid_out)
    prompt_slots = prompt.shape[1]
    slots = prompt_slots + capacity + BLOCK
    logits, cache = merge(graphdef, params).prefill(prompt, prompt_len[None], cache_len=slots)
    row_key = jax.random.fold_in(key, 0)
    slot_ids, offsets = jnp.arange(slots)[None, :], jnp.arange(BLOCK)

    def drawn(logits: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns a token for each row of logits, tokens number `first` and so on, and their log-probabilities."""
        numbers = first + jnp.arange(logits.shape[0])
        keys = jax.vmap(jax.random.fold_in, (None, 0))(row_key, numbers)
        token = draw(logits, keys, temperature=temperature, top_p=top_p, **strategy)
        return token, jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], axis=-1)[:, 0]

    def advance(state: _State) -> _State:
        last = prompt_len + state.written - 1  # where the last token stands in the text
        block = jnp.concatenate([state.text[last][None], guess(state.text, last, length=BLOCK - 1)])
        slot = prompt_slots + state.written - 1
        seen = (slot_ids < prompt_len) | ((slot_ids >= prompt_slots) & (slot_ids <= slot + offsets[:, None]))
        logits, cache = writer.decode_block(
            block[None], (last + offsets)[None], state.cache, slot=slot, key_mask=seen[None]
        )
        token, gain = drawn(logits[0], state.written)
        # Token t counts if the draft before it was what was drawn, no end came before it, and there is room.
        agrees = jnp.concatenate([jnp.ones(1, bool), (block[1:] == token[:-1]) & (token[:-1] != eoa_id)])
        counts = (jnp.cumprod(agrees) == 1) & (state.written + offsets < limit)
        return _State(
            written=state.written + jnp.sum(counts),
            text=jax.lax.dynamic_update_slice_in_dim(state.text, token, last + 1, axis=0),
            cache=cache,
            log_prob=state.log_prob + jnp.sum(jnp.where(counts, gain, 0.0)),
            done=jnp.any(counts & (token == eoa_id)),
            blocks=state.blocks + 1,
        )

    token, gain = drawn(logits, jnp.asarray(0))
    text = jnp.concatenate([prompt[0], jnp.full(capacity + BLOCK, eoa_id, jnp.int32)])
    start = _State(
        written=jnp.asarray(1),
        text=jax.lax.dynamic_update_slice_in_dim(text, token, prompt_len, axis=0),
        cache=cache,
        log_prob=gain[0],
        done=token[0] == eoa_id,
        blocks=jnp.asarray(0),
    )
    end = jax.lax.while_loop(lambda state: (state.written < limit) & ~state.done, advance, start)
    return jax.lax.dynamic_slice_in_dim(end.text, prompt_len, capacity), end.log_prob, end.blocks


def guess(text: Int[Array, "L"], last: Int[Array, ""], *, length: int) -> Int[Array, "draft"]:
    """Returns what followed the last two tokens where they stood before (or the last one, or else anything).

    Args:
      text: All tokens; those after `last` mean nothing.
      last: Position of the last one.
      length: Of the draft; where the earlier text is too short, it is taken to repeat.
    """
    positions = jnp.arange(text.shape[0])
    one = (text == text[last]) & (positions < last)
    two = one & (jnp.roll(text, 1) == text[last - 1]) & (positions > 0)
    by_one, by_two = (jnp.max(jnp.where(found, positions, -1)) for found in (one, two))
    start = jnp.where(by_two >= 0, by_two, by_one) + 1
    return text[start + jnp.arange(length) % (last + 1 - start)]
