"""Throughput of a model on this machine: the real train step and the real decoder, compile time apart.

Not a profiler and not a score: rows are random tokens, full to the last position, and decoding never stops early, so
that two models or two machines do the same work.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hrm_codegen.baselines import BaselineModel
from hrm_codegen.baselines import benchmark_generation as benchmark_baseline
from hrm_codegen.errors import UsageError
from hrm_codegen.typing import Batch

if TYPE_CHECKING:
    from hrm_codegen.codegen import HRMCodeGen
    from hrm_codegen.config import ModelConfig

PROMPT_SHARE = 0.25
_LOGGER = logging.getLogger("hrm_codegen.benchmarking")


def benchmark(
    model: HRMCodeGen | BaselineModel, seq_len: int = 256, batch_size: int = 8, steps: int = 10
) -> dict[str, float]:
    """Measures training and decoding.

    Args:
      model: Its configuration decides optimizer, masks and dtype; its weights are not changed. A baseline is not
        trained here, so that only its decoding is measured.
      seq_len: Tokens a row; decoding writes three quarters of it after a prompt of one quarter.
      batch_size: Rows a step, and sequences decoded together.
      steps: Train steps that are timed, after one that isn't.

    Returns:
      `benchmark_training` and `benchmark_generation` in one dict.
    """
    if isinstance(model, BaselineModel):
        _LOGGER.warning("%s is not trained here: only its decoding is measured", model.config.name)
        return benchmark_baseline(model, seq_len, batch_size)
    return benchmark_training(model, seq_len, batch_size, steps) | benchmark_generation(model, seq_len, batch_size)


def benchmark_training(
    model: HRMCodeGen | BaselineModel, seq_len: int = 256, batch_size: int = 8, steps: int = 10
) -> dict[str, float]:
    """Times the train step at its most expensive, with the last truncation of the gradient's warm-up.

    Returns:
      tokens_per_sec, ms_per_step, compile_sec (0.x with a warm cache) and peak_mem_mb: the device's own peak, or on
      CPUs, which do not count, what the compiled step says that it needs, for all devices together.
    """
    from hrm_codegen.model import bp_schedule
    from hrm_codegen.parallel import make_mesh, put_batch, put_tree, shardings
    from hrm_codegen.training.setup import make_step

    if isinstance(model, BaselineModel):
        raise UsageError(f"{model.config.name} is not trained here: measure gen, its decoding")
    if min(seq_len, batch_size, steps) < 1 or seq_len < 4:
        raise UsageError(f"benchmark needs seq_len >= 4, batch_size >= 1, steps >= 1: {seq_len}, {batch_size}, {steps}")
    config = model.config
    if batch_size % config.train.grad_accum:
        raise UsageError(f"batch_size {batch_size} is not a multiple of train.grad_accum {config.train.grad_accum}")
    devices = sorted(jax.tree.leaves(model.params)[0].devices(), key=lambda device: device.id)
    mesh = make_mesh(config.mesh, devices=devices, microbatch=batch_size // config.train.grad_accum)
    params = put_tree(model.params, shardings(model.params, mesh))
    prepared = make_step(config, model.graphdef, params, mesh)
    step, state = prepared.train_step, prepared.create(params)
    batch = put_batch(_random_batch(config.model, batch_size, seq_len), mesh)
    passes = bp_schedule(config.model, config.train)[-1][1]

    start = time.perf_counter()
    compiled = step.lower(state, batch, bp_passes=passes).compile()  # type: ignore[attr-defined]
    compile_sec = time.perf_counter() - start

    state, metrics = jax.block_until_ready(compiled(state, batch))
    start = time.perf_counter()
    for _ in range(steps):
        state, metrics = compiled(state, batch)
    jax.block_until_ready((state, metrics))
    seconds = (time.perf_counter() - start) / steps
    return {
        "tokens_per_sec": batch_size * seq_len / seconds,
        "ms_per_step": 1e3 * seconds,
        "compile_sec": compile_sec,
        "peak_mem_mb": peak_bytes(compiled) * (mesh.size if model.device == "cpu" else 1) / 2**20,
    }


def benchmark_generation(
    model: HRMCodeGen | BaselineModel, seq_len: int = 256, batch_size: int = 8
) -> dict[str, float]:
    """Times decoding with the cache, prefill included.

    Returns:
      gen_tokens_per_sec over all sequences, gen_ms_per_token of one sequence, gen_compile_sec (not of a baseline).
    """
    if isinstance(model, BaselineModel):
        return benchmark_baseline(model, seq_len, batch_size)
    from hrm_codegen.config import SampleConfig

    prompt_len = max(1, int(PROMPT_SHARE * seq_len))
    max_tokens = seq_len - prompt_len
    rng = np.random.default_rng(0)
    prompts = rng.integers(0, model.config.model.vocab_size, (batch_size, prompt_len)).tolist()

    def decode() -> float:
        start = time.perf_counter()
        model.draw(
            prompts,
            num_samples=1,
            seeds=list(range(batch_size)),
            sampling=SampleConfig(max_tokens=max_tokens),
            batch_size=-(-batch_size // model.parallelism),
            eoa_id=-1,  # every sequence runs to the end
        )
        return time.perf_counter() - start

    first, seconds = decode(), decode()
    return {
        "gen_tokens_per_sec": batch_size * max_tokens / seconds,
        "gen_ms_per_token": 1e3 * seconds / max_tokens,
        "gen_compile_sec": max(first - seconds, 0.0),
    }


def _random_batch(config: ModelConfig, batch_size: int, seq_len: int) -> Batch:
    """One document a row, its first quarter the prompt."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, config.vocab_size, (batch_size, seq_len + 1), dtype=np.int32)
    positions = np.broadcast_to(np.arange(seq_len, dtype=np.int32), (batch_size, seq_len))
    prefix = positions < PROMPT_SHARE * seq_len
    return Batch(
        tokens=tokens[:, :-1],
        targets=tokens[:, 1:],
        positions=positions,
        segment_ids=np.ones_like(positions),
        prefix_mask=prefix,
        loss_mask=~prefix,
    )


def peak_bytes(compiled: Any) -> float:
    """Returns the device's own peak, or what a compiled step says that it needs of each device."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return float(stats["peak_bytes_in_use"])
    need = compiled.memory_analysis()
    return float(need.argument_size_in_bytes + need.output_size_in_bytes + need.temp_size_in_bytes) - float(
        need.alias_size_in_bytes
    )
