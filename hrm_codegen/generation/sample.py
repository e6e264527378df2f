"""Sampling with a KV cache: one compiled loop a shape, no Python between tokens.

All samples of a prompt share its prefill. Random keys are folded from the prompt's own seed, the sample's number and
the step, and a prompt's padded shape is its own, so its result does not depend on the rest of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hrm_codegen.config.schema import SampleConfig
from hrm_codegen.generation.bucket import bucket_length, by_bucket, pad_rows
from hrm_codegen.generation.completion import Completion
from hrm_codegen.generation.strategy import draw
from hrm_codegen.model import merge
from hrm_codegen.model.cache import Cache, take


class _State(NamedTuple):
    step: jax.Array
    logits: jax.Array  # [R, V] for the next token
    cache: Cache
    tokens: jax.Array  # [R, limit] generated so far
    log_prob: jax.Array  # [R]
    done: jax.Array  # [R]


def generate(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    prompts: Sequence[Sequence[int]],
    *,
    num_samples: int,
    seeds: Sequence[int],
    sampling: SampleConfig,
    eoa_id: int,
    pad_id: int,
    batch_size: int,
) -> list[list[Completion]]:
    """Draws answers.

    Args:
      graphdef: The model's static graph.
      params: Its parameters.
      prompts: Token ids of each prompt, at least one.
      num_samples: Answers a prompt.
      seeds: One a prompt.
      sampling: Limit and strategy; its own seed is not used.
      eoa_id: Ends an answer.
      pad_id: Pads prompts.
      batch_size: Sequences decoded together, at most.

    Returns:
      `num_samples` completions for each prompt, in the order of the prompts.
    """
    assert len(seeds) == len(prompts)
    results: list[list[Completion]] = [[] for _ in prompts]
    for length, indices in by_bucket(prompts).items():
        # Powers of two below the full batch: a short group wastes little, and few shapes are compiled.
        rows = min(max(1, batch_size // num_samples), 1 << (len(indices) - 1).bit_length())
        for chunk, first, count in _chunks(indices, rows, num_samples, batch_size):
            tokens, lengths = pad_rows([prompts[i] for i in chunk], rows=rows, length=length, pad_id=pad_id)
            padded_seeds = [seeds[i] for i in chunk] + [0] * (rows - len(chunk))
            state = _decode(
                graphdef,
                params,
                jnp.asarray(tokens),
                jnp.asarray(lengths),
                jnp.stack([jax.random.key(seed) for seed in padded_seeds]),
                jnp.asarray(np.arange(rows) < len(chunk)),
                jnp.asarray(first),
                jnp.asarray(sampling.max_tokens),
                jnp.asarray(max(sampling.temperature, 1e-6), jnp.float32),
                jnp.asarray(sampling.top_p, jnp.float32),
                num_samples=count,
                capacity=bucket_length(sampling.max_tokens),
                eoa_id=eoa_id,
                greedy=sampling.temperature == 0,
                top_k=sampling.top_k,
                nucleus=sampling.top_p < 1,
            )
            drawn, log_probs = np.asarray(state[0]), np.asarray(state[1])
            for row, index in enumerate(chunk):
                for sample in range(row * count, (row + 1) * count):
                    results[index].append(
                        Completion.from_row(
                            drawn[sample], float(log_probs[sample]), eoa_id=eoa_id, limit=sampling.max_tokens
                        )
                    )
    return results


def _chunks(indices: list[int], rows: int, num_samples: int, batch_size: int) -> Iterator[tuple[list[int], int, int]]:
    """Yields (prompts, number of their first sample, samples of each) with at most `batch_size` sequences."""
    for start in range(0, len(indices), rows):
        for first in range(0, num_samples, batch_size):
            yield indices[start : start + rows], first, min(batch_size, num_samples - first)


@functools.partial(
    jax.jit, static_argnames=("graphdef", "num_samples", "capacity", "eoa_id", "greedy", "top_k", "nucleus")
)
def _decode(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    prompts: jax.Array,
    prompt_lens: jax.Array,
    keys: jax.Array,
    active: jax.Array,
    first_sample: jax.Array,
    limit: jax.Array,
    temperature: jax.Array,
    top_p: jax.Array,
    *,
    num_samples: int,
    capacity: int,
    eoa_id: int,
    **strategy: Any,
) -> tuple[jax.Array, jax.Array]:
    """Prefills P prompts, then decodes R = P * num_samples rows; returns tokens [R, capacity] and log_probs [R]."""
    model = merge(graphdef, params)
    prompt_slots = prompts.shape[1]
    logits, cache = model.prefill(prompts, prompt_lens, cache_len=prompt_slots + capacity)

    owner = jnp.repeat(jnp.arange(prompts.shape[0]), num_samples)
    sample = first_sample + jnp.tile(jnp.arange(num_samples), prompts.shape[0])
    row_keys = jax.vmap(jax.random.fold_in)(keys[owner], sample)
    row_lens = prompt_lens[owner]
    slots = jnp.arange(prompt_slots + capacity)[None, :]
    in_prompt = slots < row_lens[:, None]

    def unfinished(state: _State) -> jax.Array:
        return (state.step < limit) & ~jnp.all(state.done)

    def advance(state: _State) -> _State:
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(row_keys, state.step)
        token = draw(state.logits, step_keys, temperature=temperature, top_p=top_p, **strategy)
        token = jnp.where(state.done, eoa_id, token)
        gain = jnp.take_along_axis(jax.nn.log_softmax(state.logits), token[:, None], axis=-1)[:, 0]
        slot = prompt_slots + state.step
        key_mask = in_prompt | ((slots >= prompt_slots) & (slots <= slot))
        logits, cache = model.decode_step(token, row_lens + state.step, state.cache, slot=slot, key_mask=key_mask)
        return _State(
            step=state.step + 1,
            logits=logits,
            cache=cache,
            tokens=state.tokens.at[:, state.step].set(token),
            log_prob=state.log_prob + jnp.where(state.done, 0.0, gain),
            done=state.done | (token == eoa_id),
        )

    rows = owner.shape[0]
    start = _State(
        step=jnp.asarray(0),
        logits=jnp.take(logits, owner, axis=0),
        cache=take(cache, owner),
        tokens=jnp.full((rows, capacity), eoa_id, jnp.int32),
        log_prob=jnp.zeros(rows, jnp.float32),
        done=~active[owner],
    )
    end = jax.lax.while_loop(unfinished, advance, start)
    return end.tokens, end.log_prob
