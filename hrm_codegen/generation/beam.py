"""Beam search with a KV cache, compiled whole.

Scores are plain sums of log-probabilities, without a length penalty: an answer ends at its end token, and short wrong
answers are not what beams of code suffer from. An end token counts only among the `num_beams` best continuations, so
one beam is greedy decoding.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hrm_codegen.generation.bucket import bucket_length, pad_rows
from hrm_codegen.generation.completion import Completion
from hrm_codegen.model import merge
from hrm_codegen.model.cache import Cache, Prompt, empty, take
from hrm_codegen.model.matrices import first_copy
from hrm_codegen.model.tiles import lay_out


class _Beams(NamedTuple):
    step: jax.Array
    logits: jax.Array  # [K, V] for the next token of each living beam
    cache: Cache
    tokens: jax.Array  # [K, capacity]
    score: jax.Array  # [K] log-probability
    ended_tokens: jax.Array  # [K, capacity] best finished answers
    ended_score: jax.Array  # [K], -inf where empty


def beam_search(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    prompt: Sequence[int],
    *,
    num_beams: int,
    max_tokens: int,
    eoa_id: int,
    pad_id: int,
    laid_out: nnx.State | None = None,
) -> list[Completion]:
    """Returns up to `num_beams` answers, the likeliest first; at the limit unfinished ones compete too.

    `laid_out` is that of `generate`.
    """
    if num_beams == 1:
        laid_out = params
    elif laid_out is None:
        laid_out = lay_out(params)
    tokens, lengths = pad_rows([prompt], rows=1, length=bucket_length(len(prompt)), pad_id=pad_id)
    rows, scores = _search(
        graphdef,
        first_copy(params),
        first_copy(laid_out),
        jnp.asarray(tokens),
        jnp.asarray(lengths),
        jnp.asarray(max_tokens),
        num_beams=num_beams,
        capacity=bucket_length(max_tokens),
        eoa_id=eoa_id,
    )
    found = [
        Completion.from_row(row, float(score), eoa_id=eoa_id, limit=max_tokens)
        for row, score in zip(np.asarray(rows), np.asarray(scores), strict=True)
        if np.isfinite(score)
    ]
    return sorted(found, key=lambda completion: -completion.log_prob)[:num_beams]


@functools.partial(jax.jit, static_argnames=("graphdef", "num_beams", "capacity", "eoa_id"))
def _search(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    laid_out: nnx.State,
    prompt: jax.Array,
    prompt_len: jax.Array,
    limit: jax.Array,
    *,
    num_beams: int,
    capacity: int,
    eoa_id: int,
) -> tuple[jax.Array, jax.Array]:
    """Returns 2 K rows of tokens (ended, then living) and their scores, -inf where there is none."""
    writer = merge(graphdef, laid_out)
    logits, cache = merge(graphdef, params).prefill(prompt, prompt_len, cache_len=prompt.shape[1])
    shared = Prompt(cache, jnp.arange(prompt.shape[1])[None, :] < prompt_len[:, None])
    slots = jnp.arange(capacity)[None, :]
    vocab = logits.shape[-1]

    def unfinished(beams: _Beams) -> jax.Array:
        # Scores only fall: once the worst kept answer beats the best living beam, nothing can change.
        return (beams.step < limit) & (jnp.max(beams.score) > jnp.min(beams.ended_score))

    def advance(beams: _Beams) -> _Beams:
        scores = beams.score[:, None] + jax.nn.log_softmax(beams.logits)
        best, flat = jax.lax.top_k(scores.reshape(-1), 2 * num_beams)
        parent, token = flat // vocab, flat % vocab
        rows = beams.tokens[parent].at[:, beams.step].set(token)
        ends = token == eoa_id

        ended = jnp.where(ends & (jnp.arange(2 * num_beams) < num_beams), best, -jnp.inf)
        pool = jnp.concatenate([beams.ended_score, ended])
        ended_score, kept = jax.lax.top_k(pool, num_beams)
        ended_tokens = jnp.concatenate([beams.ended_tokens, rows])[kept]

        score, living = jax.lax.top_k(jnp.where(ends, -jnp.inf, best), num_beams)
        logits, cache = writer.decode_step(
            token[living],
            jnp.broadcast_to(prompt_len + beams.step, (num_beams,)),
            take(beams.cache, parent[living], num_rows=num_beams),
            slot=beams.step,
            key_mask=jnp.broadcast_to(slots <= beams.step, (num_beams, capacity)),
            prompt=shared,
        )
        return _Beams(beams.step + 1, logits, cache, rows[living], score, ended_tokens, ended_score)

    first = jnp.zeros(num_beams, jnp.int32)
    no_tokens = jnp.full((num_beams, capacity), eoa_id, jnp.int32)
    start = _Beams(
        step=jnp.asarray(0),
        logits=logits[first],
        cache=empty(cache, factor=num_beams, length=capacity),
        tokens=no_tokens,
        # All beams start alike: only the first may continue, or they would all find the same answer.
        score=jnp.where(jnp.arange(num_beams) == 0, 0.0, -jnp.inf),
        ended_tokens=no_tokens,
        ended_score=jnp.full(num_beams, -jnp.inf),
    )
    end = jax.lax.while_loop(unfinished, advance, start)
    return jnp.concatenate([end.ended_tokens, end.tokens]), jnp.concatenate([end.ended_score, end.score])
