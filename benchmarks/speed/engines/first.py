"""A process of section `start`: `first (ours|hf) (train|generate) MODEL` does one thing and prints when it was done.

The time is `time.perf_counter()`, the system's monotonic clock, which the parent reads as well.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from benchmarks.speed import work
from benchmarks.speed.sizes import BATCH, GRADED_PASSES, SEQ_LEN, config_of

_PROMPT_LEN = 64


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    who, goal, model = sys.argv[1:]
    _GOALS[who, goal](model)
    print(time.perf_counter(), file=answers, flush=True)


def _train_ours(size: str) -> None:
    import jax

    from hrm_codegen.loading import start_jax

    start_jax("cpu", split_cpu=True)
    from benchmarks.speed.engines.batches import batch_of
    from hrm_codegen.model import init
    from hrm_codegen.parallel import make_mesh, put_batch, put_tree, shardings
    from hrm_codegen.training.setup import make_step

    config = config_of(size)
    graphdef, params = init(config.model, jax.random.key(0))
    mesh = make_mesh(config.mesh, microbatch=BATCH)
    params = put_tree(params, shardings(params, mesh))
    prepared = make_step(config, graphdef, params, mesh)
    batch = put_batch(batch_of(work.random_rows(config.model.vocab_size, BATCH, SEQ_LEN)), mesh)
    jax.block_until_ready(prepared.train_step(prepared.create(params), batch, bp_passes=GRADED_PASSES))


def _generate_ours(size: str) -> None:
    import jax

    from hrm_codegen.loading import enable_compile_cache

    enable_compile_cache()
    from hrm_codegen.config import SampleConfig
    from hrm_codegen.generation import generate
    from hrm_codegen.model import init

    config = config_of(size)
    graphdef, params = init(config.model, jax.random.key(0))
    generate(
        graphdef,
        params,
        work.prompts(config.model.vocab_size, 1, _PROMPT_LEN),
        num_samples=1,
        seeds=[0],
        sampling=SampleConfig(max_tokens=1, temperature=0.0, top_p=1.0),
        eoa_id=-1,
        pad_id=0,
        batch_size=1,
    )


def _train_hf(folder: str) -> None:
    from benchmarks.speed.engines.hf import Trainer

    Trainer().step_once(folder)


def _generate_hf(folder: str) -> None:
    from benchmarks.speed.engines.hf import Decoder

    Decoder().write(folder, _PROMPT_LEN, 1)


_GOALS: dict[tuple[str, str], Callable[[str], None]] = {
    ("ours", "train"): _train_ours,
    ("ours", "generate"): _generate_ours,
    ("hf", "train"): _train_hf,
    ("hf", "generate"): _generate_hf,
}

if __name__ == "__main__":
    main()
