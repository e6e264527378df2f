"""Sampling with a KV cache: one compiled loop a shape, no Python between tokens.

All samples of a prompt share its prefill, and read its keys and values together. Random keys are folded from the
prompt's own seed, the sample's number and the step, and a prompt's padded shape is its own, so its result does not
depend on the rest of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hrm_codegen.config.schema import SampleConfig
from hrm_codegen.generation.bucket import bucket_length, by_bucket, pad_rows
from hrm_codegen.generation.completion import Completion
from hrm_codegen.generation.lookup import complete_by_lookup, drafts_pay
from hrm_codegen.generation.strategy import draw
from hrm_codegen.model import merge
from hrm_codegen.model.cache import Cache, Prompt, empty
from hrm_codegen.model.matrices import first_copy, on_cpu
from hrm_codegen.model.slabs import is_for_one
from hrm_codegen.model.tiles import lay_out

# Sequences on one CPU device: more share the reading of weights no better, and their keys and values leave the cache.
CPU_BATCH = 16


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
    mesh: Mesh | None = None,
    laid_out: nnx.State | None = None,
) -> list[list[Completion]]:
    """Draws answers.

    Args:
      graphdef: The model's static graph.
      params: Its parameters; with a mesh, on each of its devices.
      prompts: Token ids of each prompt, at least one.
      num_samples: Answers a prompt.
      seeds: One a prompt.
      sampling: Limit and strategy; its own seed is not used.
      eoa_id: Ends an answer.
      pad_id: Pads prompts.
      batch_size: Sequences decoded together on a device, at most; a CPU takes no more than `CPU_BATCH`.
      mesh: Devices of this process that share the work, row by row; None: one device.
      laid_out: The parameters for decode steps, `lay_out(params)`, or for one sequence of
        rounded ones `lay_out_for_one(params)`; None: laid out for this call, if they are used.

    Returns:
      `num_samples` completions for each prompt, in the order of the prompts.
    """
    assert len(seeds) == len(prompts)
    alone = num_samples * len(prompts) == 1
    if laid_out is None and (not alone or drafts_pay(params)):
        laid_out = lay_out(params)
    if laid_out is params:
        laid_out = None
    if alone:
        mesh, params = None, first_copy(params)
        laid_out = None if laid_out is None else first_copy(laid_out)
        if laid_out is not None and drafts_pay(params) and not is_for_one(laid_out):
            completion = complete_by_lookup(
                graphdef, params, laid_out, prompts[0],
                seed=seeds[0], sampling=sampling, eoa_id=eoa_id, pad_id=pad_id,
            )  # fmt: skip
            return [[completion]]
    if on_cpu(jax.tree.leaves(params)[0].sharding):
        batch_size = min(batch_size, CPU_BATCH)
    results: list[dict[int, Completion]] = [{} for _ in prompts]
    for length, indices in by_bucket(prompts).items():
        for chunk, rows, count in chunks(indices, num_samples, batch_size, 1 if mesh is None else mesh.size):
            tokens, lengths = pad_rows([prompts[i] for i, _ in chunk], rows=rows, length=length, pad_id=pad_id)
            idle = [(0, 0)] * (rows - len(chunk))
            by_row = Rows(
                prompts=jnp.asarray(tokens),
                prompt_lens=jnp.asarray(lengths),
                keys=jnp.stack([jax.random.key(seeds[i]) for i, _ in chunk] + [jax.random.key(0) for _ in idle]),
                active=jnp.asarray(np.arange(rows) < len(chunk)),
                first_sample=jnp.asarray([first for _, first in [*chunk, *idle]], jnp.int32),
            )
            tokens_drawn, log_probs = decode(
                graphdef,
                params,
                laid_out,
                by_row if mesh is None else jax.device_put(by_row, NamedSharding(mesh, _by_row(mesh))),
                jnp.asarray(sampling.max_tokens),
                jnp.asarray(max(sampling.temperature, 1e-6), jnp.float32),
                jnp.asarray(sampling.top_p, jnp.float32),
                num_samples=count,
                capacity=bucket_length(sampling.max_tokens),
                eoa_id=eoa_id,
                mesh=mesh,
                greedy=sampling.temperature == 0,
                top_k=sampling.top_k,
                nucleus=sampling.top_p < 1,
            )
            drawn, scores = np.asarray(tokens_drawn), np.asarray(log_probs)
            for row, (index, first) in enumerate(chunk):
                for sample in range(count):
                    at = row * count + sample
                    results[index][first + sample] = Completion.from_row(
                        drawn[at], float(scores[at]), eoa_id=eoa_id, limit=sampling.max_tokens
                    )
    return [[by_sample[sample] for sample in range(num_samples)] for by_sample in results]


def chunks(
    indices: list[int], num_samples: int, batch_size: int, num_devices: int
) -> Iterator[tuple[list[tuple[int, int]], int, int]]:
    """Yields what is decoded together: (prompt, number of its first sample) pairs, rows with padding, samples of each.

    A device has at most `batch_size` sequences. Fewer prompts than devices share their samples out. A prompt's samples
    are divided evenly: fewer shapes are compiled.
    """
    share = -(-num_samples // max(1, num_devices // len(indices)))
    count = -(-share // -(-share // batch_size))
    whole = num_samples - num_samples % count
    for first, size in [(range(0, whole, count), count), (range(whole, num_samples, count), num_samples - whole)]:
        pieces = [(index, start) for index in indices for start in first]
        if not pieces:
            continue
        # Powers of two below the full batch: a short group wastes little, and few shapes are compiled.
        share = -(-len(pieces) // num_devices)
        rows = num_devices * min(max(1, batch_size // size), 1 << (share - 1).bit_length())
        for start in range(0, len(pieces), rows):
            yield pieces[start : start + rows], rows, size


class Rows(NamedTuple):
    """P prompts, and what is their own.

    Attributes:
      prompts: Token ids, right-padded, [P, T].
      prompt_lens: Their true lengths.
      keys: A random key each.
      active: False for rows that only fill up.
      first_sample: The number of the first sample that is drawn.
    """

    prompts: Any
    prompt_lens: Any
    keys: Any
    active: Any
    first_sample: Any


@functools.partial(
    jax.jit, static_argnames=("graphdef", "num_samples", "capacity", "eoa_id", "mesh", "greedy", "top_k", "nucleus")
)
def decode(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    laid_out: nnx.State | None,
    rows: Rows,
    limit: jax.Array,
    temperature: jax.Array,
    top_p: jax.Array,
    *,
    mesh: Mesh | None = None,
    **static: Any,
) -> tuple[jax.Array, jax.Array]:
    """Prefills P prompts, then decodes R = P * num_samples rows; returns tokens [R, capacity] and log_probs [R].

    `laid_out` None: the decode steps use `params`, too.

    Each device of the mesh runs a loop of its own over its rows, and ends it when they are done: nothing is sent.
    """
    local: Callable[..., tuple[jax.Array, jax.Array]] = functools.partial(_decode_rows, graphdef, **static)
    if mesh is None:
        return local(params, laid_out, rows, limit, temperature, top_p)
    ours, all_ = _by_row(mesh), PartitionSpec()
    split = jax.shard_map(
        local, mesh=mesh, in_specs=(all_, all_, ours, all_, all_, all_), out_specs=(ours, ours), check_vma=False
    )
    return split(params, laid_out, rows, limit, temperature, top_p)


def _by_row(mesh: Mesh) -> PartitionSpec:
    return PartitionSpec(mesh.axis_names)


def _decode_rows(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    laid_out: nnx.State | None,
    rows: Rows,
    limit: jax.Array,
    temperature: jax.Array,
    top_p: jax.Array,
    *,
    num_samples: int,
    capacity: int,
    eoa_id: int,
    **strategy: Any,
) -> tuple[jax.Array, jax.Array]:
    prompts, prompt_lens, keys, active, first_sample = rows
    reader = merge(graphdef, params)
    one_row = prompts.shape[0] * num_samples == 1  # of this device
    writer = reader if laid_out is None or one_row != is_for_one(laid_out) else merge(graphdef, laid_out)
    prompt_slots = prompts.shape[1]
    shared = num_samples > 1  # for one sample, two attentions cost more than one
    cache_len = prompt_slots if shared else prompt_slots + capacity
    logits, cache = reader.prefill(prompts, prompt_lens, cache_len=cache_len)
    in_prompt = jnp.arange(cache_len)[None, :] < prompt_lens[:, None]
    prompt = Prompt(cache, in_prompt) if shared else None
    first_slot = 0 if shared else prompt_slots

    num_rows = prompts.shape[0] * num_samples
    owner = jnp.repeat(jnp.arange(prompts.shape[0]), num_samples)
    sample = first_sample[owner] + jnp.tile(jnp.arange(num_samples), prompts.shape[0])
    row_keys = jax.vmap(jax.random.fold_in)(keys[owner], sample)
    row_lens = prompt_lens[owner]
    slots = jnp.arange(first_slot + capacity)[None, :]

    def unfinished(state: _State) -> jax.Array:
        return (state.step < limit) & ~jnp.all(state.done)

    def advance(state: _State) -> _State:
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(row_keys, state.step)
        token = draw(state.logits, step_keys, temperature=temperature, top_p=top_p, **strategy)
        token = jnp.where(state.done, eoa_id, token)
        gain = jnp.take_along_axis(jax.nn.log_softmax(state.logits), token[:, None], axis=-1)[:, 0]
        slot = first_slot + state.step
        own = jnp.broadcast_to((slots >= first_slot) & (slots <= slot), (num_rows, slots.shape[1]))
        logits, cache = writer.decode_step(
            token,
            row_lens + state.step,
            state.cache,
            slot=slot,
            key_mask=own if shared else own | in_prompt,
            prompt=prompt,
        )
        return _State(
            step=state.step + 1,
            logits=logits,
            cache=cache,
            tokens=state.tokens.at[:, state.step].set(token),
            log_prob=state.log_prob + jnp.where(state.done, 0.0, gain),
            done=state.done | (token == eoa_id),
        )

    start = _State(
        step=jnp.asarray(0),
        logits=jnp.take(logits, owner, axis=0),
        cache=empty(cache, factor=num_samples, length=capacity) if shared else cache,
        tokens=jnp.full((num_rows, capacity), eoa_id, jnp.int32),
        log_prob=jnp.zeros(num_rows, jnp.float32),
        done=~active[owner],
    )
    end = jax.lax.while_loop(unfinished, advance, start)
    return end.tokens, end.log_prob
