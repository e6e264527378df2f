"""What the worker processes of `benchmarks.speed` run here: the train step, the decoder, and its compilation alone."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks.growth.formulas import default_graded
from benchmarks.growth.work import Decode, Train, model_of
from benchmarks.speed import timing, work
from benchmarks.speed.engines.batches import batch_of
from benchmarks.speed.sizes import config_of
from hrm_codegen.benchmarking import peak_bytes
from hrm_codegen.config import SampleConfig
from hrm_codegen.generation import generate, sample
from hrm_codegen.model import init
from hrm_codegen.model.tiles import lay_out
from hrm_codegen.planning.flops import matmul_flops
from hrm_codegen.training import create_state, make_optimizer, make_train_step

NEVER = -1  # no token ends an answer


class Trainer:
    """Repeats one train step."""

    def prepare(self, **options: Any) -> dict[str, Any]:
        """Compiles it; returns its FLOPs and what the compiler says of its memory."""
        self._job = job = Train(**options)
        config = config_of(job.size)
        graphdef, params = init(model_of(job), jax.random.key(0))
        tx, schedule = make_optimizer(config.optim, config.train.num_steps, params)
        self._state: Any = create_state(params, tx, ema=False)
        step: Any = make_train_step(graphdef, tx, schedule, config)
        self._batch = batch_of(work.random_rows(config.model.vocab_size, job.rows, job.seq_len))
        graded = {"bp_passes": job.bp_passes or default_graded(job.h_cycles, job.l_cycles)}
        self._compiled = step.lower(self._state, self._batch, **graded).compile()
        return {
            "parameters": _size(params),
            "flops": matmul_flops(step, self._state, self._batch, **graded),
            "bytes": peak_bytes(self._compiled),
        }

    def measure(self, seconds: float) -> dict[str, Any]:
        """Repeats it."""

        def step() -> None:
            self._state, _ = jax.block_until_ready(self._compiled(self._state, self._batch))

        return {"units": self._job.tokens, "seconds": timing.repeat(step, seconds)}


class Decoder:
    """Decodes the same prompts again and again, with temperature, on one device."""

    def prepare(self, **options: Any) -> dict[str, Any]:
        """Makes the model and counts the FLOPs of all tokens; nothing is compiled yet."""
        self._load(Decode(**options))
        with _recorded() as calls:
            self._generate(self._params)  # products of weights in tiles would not be seen as such
        flops = sum(
            matmul_flops(sample.decode, *args, while_trips=self._job.new_tokens, **static) for args, static in calls
        )
        return {"parameters": _size(self._params), "flops": flops}

    def measure(self, seconds: float) -> dict[str, Any]:
        """Repeats it."""
        found = timing.repeat(lambda: self._generate(self._laid_out), seconds)
        return {"units": self._job.tokens, "seconds": found}

    def compile(self, **options: Any) -> dict[str, Any]:
        """Returns what the compiler says of the memory of what would run, and runs nothing."""
        self._load(Decode(**options))
        with _recorded() as calls:
            self._generate(self._laid_out)
        [(args, static)] = calls
        compiled: Any = sample.decode.lower(*args, **static).compile()
        return {
            "parameters": _size(self._params),
            "bytes": peak_bytes(compiled),
            "temporaries": float(compiled.memory_analysis().temp_size_in_bytes),
        }

    def _load(self, job: Decode) -> None:
        self._job = job
        self._graphdef, self._params = init(model_of(job), jax.random.key(0))
        self._laid_out = lay_out(self._params)

    def _generate(self, laid_out: Any) -> None:
        job = self._job
        generate(
            self._graphdef,
            self._params,
            work.prompts(model_of(job).vocab_size, job.prompts, job.prompt_len),
            num_samples=job.samples,
            seeds=list(range(job.prompts)),
            sampling=SampleConfig(max_tokens=job.new_tokens, temperature=0.8, top_p=1.0),
            eoa_id=NEVER,
            pad_id=0,
            batch_size=job.sequences,
            laid_out=laid_out,
        )


@contextlib.contextmanager
def _recorded() -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Yields the arguments of compiled decoding loops that are asked for meanwhile; their results are zeros."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    decode = sample.decode

    def record(*args: Any, **static: Any) -> Any:
        calls.append((args, static))
        shapes = decode.eval_shape(*args, **static)
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

    with mock.patch.object(sample, "decode", record):
        yield calls


def _size(params: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
