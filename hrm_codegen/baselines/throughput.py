"""Throughput of a baseline on this machine, in the figures of `hrm_codegen.benchmarking`.

Why: tables that compare models compare their speed too. Decoding only, with Transformers' own cache: prompts are
random tokens and no token ends an answer, so that every model does the same work. Not a profiler.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from hrm_codegen.errors import UsageError

if TYPE_CHECKING:
    from hrm_codegen.baselines.model import BaselineModel

PROMPT_SHARE = 0.25  # as in `hrm_codegen.benchmarking`


def benchmark_generation(model: BaselineModel, seq_len: int = 256, batch_size: int = 8) -> dict[str, float]:
    """Times decoding with the cache, prefill included, after one token that isn't timed.

    Args:
      model: What to measure.
      seq_len: Tokens a row; decoding writes three quarters of it after a prompt of one quarter.
      batch_size: Sequences decoded together.

    Returns:
      gen_tokens_per_sec over all sequences, gen_ms_per_token of one sequence. Nothing is compiled.

    Raises:
      UsageError: Rows that are too short, or longer than the model's context.
    """
    import torch
    from transformers import GenerationConfig

    if seq_len < 4 or batch_size < 1:
        raise UsageError(f"benchmark needs seq_len >= 4 and batch_size >= 1: {seq_len}, {batch_size}")
    if model.context is not None and seq_len > model.context:
        raise UsageError(f"seq_len {seq_len} is more than the model's context of {model.context}")
    prompt_len = max(1, int(PROMPT_SHARE * seq_len))
    max_tokens = seq_len - prompt_len
    vocab_size = model.model.get_input_embeddings().num_embeddings
    prompts = np.random.default_rng(0).integers(0, vocab_size, (batch_size, prompt_len))
    ids = torch.tensor(prompts, device=model.model.device)

    def decode(count: int) -> float:
        settings = GenerationConfig(max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
        start = time.perf_counter()
        with torch.inference_mode():
            output = model.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        output[0, -1].item()  # waits for the device
        return time.perf_counter() - start

    decode(1)
    seconds = decode(max_tokens)
    return {
        "gen_tokens_per_sec": batch_size * max_tokens / seconds,
        "gen_ms_per_token": 1e3 * seconds / max_tokens,
    }
