"""HRM-CodeGen: the real train step and the real decoder, with the weights of key 0."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from benchmarks.speed import timing, work
from benchmarks.speed.engines.batches import batch_of
from benchmarks.speed.engines.model import make_model
from benchmarks.speed.sizes import BATCH, GRADED_PASSES, SEQ_LEN, config_of
from hrm_codegen.benchmarking import peak_bytes
from hrm_codegen.config import EvalConfig, MeshConfig, SampleConfig
from hrm_codegen.config.schema import MatmulDtype
from hrm_codegen.data import TokenFile, make_loader
from hrm_codegen.machine import return_free_memory
from hrm_codegen.parallel import make_mesh, put_batch, put_tree, shardings
from hrm_codegen.planning.flops import matmul_flops
from hrm_codegen.training.setup import make_step

NEVER = -1  # no token ends an answer, so that all contenders write as many


class _Model:
    """A model with its configuration."""

    def _load(self, size: str) -> None:
        self.config = config_of(size)
        self.model = make_model(size)

    def _logits(self) -> list[Any]:
        tokens, prefix = work.probe(self.config.model.vocab_size)
        return np.asarray(self.model.logits(tokens, prefix.sum(axis=1))).tolist()


class _Learner(_Model):
    """A model with state and train step."""

    def _make_step(self, devices: int, matmuls: MatmulDtype = "float32") -> None:
        """Makes state and step on a mesh of devices that share the rows."""
        config = dataclasses.replace(self.config, train=dataclasses.replace(self.config.train, matmul_dtype=matmuls))
        self._mesh = make_mesh(MeshConfig(data=devices, fsdp=1, tensor=1), microbatch=BATCH)
        params = put_tree(self.model.params, shardings(self.model.params, self._mesh))
        prepared = make_step(config, self.model.graphdef, params, self._mesh)
        self._state: Any = prepared.create(params)
        self._step: Any = prepared.train_step


class Trainer(_Learner):
    """The train step on random full rows, on one device or on several virtual ones that share the rows."""

    def prepare(self, size: str, devices: int, matmuls: MatmulDtype = "float32") -> dict[str, Any]:
        """Makes the model and its compiled step; returns facts about them."""
        self._load(size)
        logits = self._logits()
        self._created = timing.resident_bytes()
        self._make_step(devices, matmuls)
        rows = work.random_rows(self.config.model.vocab_size, BATCH, SEQ_LEN)
        self._batch = put_batch(batch_of(rows), self._mesh)
        start = time.perf_counter()
        lowered = self._step.lower(self._state, self._batch, bp_passes=GRADED_PASSES)
        compiled = lowered.compile()
        self._compiled = compiled
        return_free_memory()  # as the training loop does after compiling
        return {
            "logits": logits,
            "parameters": self.model.num_params,
            "compile_seconds": time.perf_counter() - start,
            "step_flops": matmul_flops(self._step, self._state, self._batch, bp_passes=GRADED_PASSES),
            # The compiler speaks of one device.
            "compiled_bytes": devices * peak_bytes(compiled),
        }

    def measure(self, seconds: float) -> dict[str, Any]:
        """Repeats the step."""

        def step() -> None:
            self._state, _ = jax.block_until_ready(self._compiled(self._state, self._batch))

        step()  # after idling, while others had the memory, the first step is slower
        timing.reset_peak()
        found = timing.repeat(step, seconds, times=timing.STEPS)
        return {
            "units": BATCH * SEQ_LEN,
            "seconds": found,
            "peak_bytes": timing.peak_bytes(),
            "step_bytes": timing.peak_above(self._created),
        }


class RowsTrainer(_Learner):
    """One epoch of real documents, packed by the project's own loader."""

    def prepare(self, size: str, documents: str, devices: int) -> dict[str, Any]:
        """Makes the model and counts what an epoch holds."""
        self._load(size)
        logits = self._logits()
        self._make_step(devices)
        self._documents = TokenFile(documents)
        counts = [(batch.loss_mask.sum(), (batch.segment_ids > 0).mean()) for batch in self._epoch()]
        self._answers = int(sum(answers for answers, _ in counts))
        filled = float(np.mean([share for _, share in counts]))
        return {"logits": logits, "answers": self._answers, "steps": len(counts), "filled": filled}

    def measure(self) -> dict[str, Any]:
        """Runs one epoch."""

        def epoch() -> None:
            for batch in self._epoch():
                batch = put_batch(batch, self._mesh)
                self._state, _ = self._step(self._state, batch, bp_passes=GRADED_PASSES)
            jax.block_until_ready(self._state)

        return {"units": self._answers, "seconds": timing.repeat(epoch, 0.0)}

    def _epoch(self) -> Any:
        return make_loader(self._documents, seq_len=SEQ_LEN, batch_size=BATCH, seed=0, repeat=False)


class _Writer(_Model):
    """A model that is only asked."""

    def prepare(self, size: str, devices: int, weights: str = "float32") -> dict[str, Any]:
        """Makes the model; the logits are those before its weights are rounded."""
        self._load(size)
        logits = self._logits()
        self.model.spread(devices)
        if weights == "int8":
            self.model.quantize()
        return {"logits": logits}

    def _draw(self, prompts: list[list[int]], num_samples: int, batch_size: int, sampling: SampleConfig) -> None:
        self.model.draw(
            prompts,
            num_samples=num_samples,
            seeds=range(len(prompts)),
            sampling=sampling,
            batch_size=batch_size,
            eoa_id=NEVER,
        )


class Decoder(_Writer):
    """Greedy decoding."""

    def measure(self, batch: int, prompt_len: int, new_tokens: int, seconds: float) -> dict[str, Any]:
        """Repeats writing only the first token, and then all."""
        prompts = work.prompts(self.config.model.vocab_size, batch, prompt_len)
        return {
            "units": batch * new_tokens,
            "first": timing.repeat(lambda: self._greedy(prompts, 1), seconds),
            "seconds": timing.repeat(lambda: self._greedy(prompts, new_tokens), seconds),
        }

    def _greedy(self, prompts: list[list[int]], new_tokens: int) -> None:
        sampling = SampleConfig(max_tokens=new_tokens, temperature=0.0, top_p=1.0)
        self._draw(prompts, 1, -(-len(prompts) // self.model.parallelism), sampling)


class Sampler(_Writer):
    """Several answers for each of many prompts, in one call."""

    def measure(self, problems: int, samples: int, new_tokens: int) -> dict[str, Any]:
        """Draws all answers once."""
        prompts = work.varied_prompts(self.config.model.vocab_size, problems)
        sampling = SampleConfig(max_tokens=new_tokens, temperature=0.8, top_p=1.0)
        size = EvalConfig().batch_size
        found = timing.repeat(lambda: self._draw(prompts, samples, size, sampling), 0.0)
        return {"units": problems * samples, "seconds": found}
