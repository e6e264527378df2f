"""Transformers' `hrm_text` on torch: the same weights, from our export, as its users train and generate."""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.speed import timing, work
from benchmarks.speed.sizes import BATCH, BETAS, CLIP, LEARNING_RATE, SEQ_LEN, WEIGHT_DECAY
from hrm_codegen.data import TokenFile
from hrm_codegen.machine import cores

IGNORED = -100  # of cross_entropy


class _Model:
    """The model of a folder."""

    def _load(self, folder: str) -> None:
        torch.set_num_threads(cores())
        torch.manual_seed(0)
        self.net = transformers.HrmTextForCausalLM.from_pretrained(folder, dtype=torch.float32)
        # No end token: every sequence is as long as ours.
        self.net.generation_config = transformers.GenerationConfig(pad_token_id=0)
        self.vocab_size = self.net.config.vocab_size

    def _logits(self) -> list[Any]:
        tokens, prefix = work.probe(self.vocab_size)
        with torch.inference_mode():
            return self.net(input_ids=_ids(tokens), token_type_ids=_ids(prefix), use_cache=False).logits.tolist()

    def _generate(self, prompts: Any, new_tokens: int, **options: Any) -> None:
        ids = _ids(prompts)
        ones = torch.ones_like(ids)  # all of it is a prompt, and none of it padding
        settings = transformers.GenerationConfig(
            max_new_tokens=new_tokens, min_new_tokens=new_tokens, pad_token_id=0, use_cache=True, **options
        )
        with torch.inference_mode():
            out = self.net.generate(ids, attention_mask=ones, token_type_ids=ones, generation_config=settings)
        assert out.shape[1] == ids.shape[1] + new_tokens, out.shape


class _Learner(_Model):
    """A model with optimizer and train step."""

    def _start_training(self, *, mixed: bool = False) -> None:
        self.net.train()
        self._mixed = mixed
        self._optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY
        )

    def _step(self, inputs: dict[str, torch.Tensor], targets: torch.Tensor) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._mixed):
            logits = self.net(**inputs, use_cache=False).logits
        logits = logits.float()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.item()


class Trainer(_Learner):
    """AdamW with clipping on random full rows: eager, with the forward pass compiled, or under bfloat16 autocast."""

    def prepare(self, folder: str, compiled: bool = False, mixed: bool = False) -> dict[str, Any]:
        """Makes the model and its compiled step; returns facts about them."""
        self._load(folder)
        logits = self._logits()
        self._created = timing.resident_bytes()
        self._start_training(mixed=mixed)
        if compiled:
            self.net.forward = torch.compile(self.net.forward)
        self._batch = self._random_batch()
        start = time.perf_counter()
        self._step(*self._batch)
        return {
            "logits": logits,
            "L_bp_cycles": self.net.config.L_bp_cycles,
            "threads": torch.get_num_threads(),
            "compile_seconds": time.perf_counter() - start if compiled else None,
        }

    def measure(self, seconds: float) -> dict[str, Any]:
        """Repeats the step."""
        self._step(*self._batch)  # as in `ours`
        timing.reset_peak()
        found = timing.repeat(functools.partial(self._step, *self._batch), seconds, times=timing.STEPS)
        return {
            "units": BATCH * SEQ_LEN,
            "seconds": found,
            "peak_bytes": timing.peak_bytes(),
            "step_bytes": timing.peak_above(self._created),
        }

    def step_once(self, folder: str) -> None:
        """Loads and makes one step: what a new process does (section `start`)."""
        self._load(folder)
        self._start_training()
        self._step(*self._random_batch())

    def _random_batch(self) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        rows = work.random_rows(self.vocab_size, BATCH, SEQ_LEN)
        inputs = {"input_ids": _ids(rows.tokens), "token_type_ids": _ids(rows.prefix)}
        return inputs, _ids(np.where(rows.counts, rows.targets, IGNORED))


class RowsTrainer(_Learner):
    """One epoch of real documents, one a row, shuffled, padded to the longest row of each batch."""

    def prepare(self, folder: str, documents: str) -> dict[str, Any]:
        """Makes the model and counts what an epoch holds."""
        self._load(folder)
        logits = self._logits()
        self._start_training()
        self._documents = TokenFile(documents)
        batches = self._epoch()
        self._answers = int(sum((targets != IGNORED).sum() for _, targets in batches))
        filled = float(np.mean([inputs["attention_mask"].double().mean() for inputs, _ in batches]))
        return {"logits": logits, "answers": self._answers, "steps": len(batches), "filled": filled}

    def measure(self) -> dict[str, Any]:
        """Runs one epoch."""

        def epoch() -> None:
            for inputs, targets in self._epoch():
                self._step(inputs, targets)

        return {"units": self._answers, "seconds": timing.repeat(epoch, 0.0)}

    def _epoch(self) -> list[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        """Returns inputs and targets of each batch; documents are cut and left out as our loader does."""
        cut = ((tokens[: SEQ_LEN + 1].astype(np.int64), prompt) for tokens, prompt in self._all())
        kept = [(tokens, prompt) for tokens, prompt in cut if len(tokens) - prompt >= 2]
        order = np.random.default_rng(0).permutation(len(kept))
        chunks = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        return [_padded([kept[index] for index in chunk]) for chunk in chunks]

    def _all(self) -> Any:
        return (self._documents[index] for index in range(len(self._documents)))


class _Writer(_Model):
    """A model that is only asked."""

    def prepare(self, folder: str) -> dict[str, Any]:
        """Makes the model."""
        self._load(folder)
        self.net.eval()
        return {"logits": self._logits(), "threads": torch.get_num_threads()}


class Decoder(_Writer):
    """Greedy decoding with the key-value cache."""

    def write(self, folder: str, prompt_len: int, new_tokens: int) -> None:
        """Loads and writes once: what a new process does (section `start`)."""
        self._load(folder)
        self.net.eval()
        self._greedy(work.prompts(self.vocab_size, 1, prompt_len), new_tokens)

    def measure(self, batch: int, prompt_len: int, new_tokens: int, seconds: float) -> dict[str, Any]:
        """Repeats writing only the first token, and then all."""
        prompts = work.prompts(self.vocab_size, batch, prompt_len)
        return {
            "units": batch * new_tokens,
            "first": timing.repeat(lambda: self._greedy(prompts, 1), seconds),
            "seconds": timing.repeat(lambda: self._greedy(prompts, new_tokens), seconds),
        }

    def _greedy(self, prompts: list[list[int]], new_tokens: int) -> None:
        self._generate(prompts, new_tokens, do_sample=False)


class Sampler(_Writer):
    """Several answers for each prompt, problem by problem."""

    def measure(self, problems: int, samples: int, new_tokens: int) -> dict[str, Any]:
        """Draws all answers once."""
        prompts = work.varied_prompts(self.vocab_size, problems)
        drawn = {"do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "num_return_sequences": samples}

        def sample() -> None:
            for prompt in prompts:
                self._generate([prompt], new_tokens, **drawn)

        return {"units": problems * samples, "seconds": timing.repeat(sample, 0.0)}


def _ids(array: Any) -> torch.Tensor:
    return torch.tensor(np.array(array), dtype=torch.long)


def _padded(documents: list[tuple[np.ndarray, int]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Returns right-padded inputs, and targets that count on the answers only."""
    shape = len(documents), max(len(tokens) for tokens, _ in documents) - 1
    ids, real, prefix = (np.zeros(shape, np.int64) for _ in range(3))
    targets = np.full(shape, IGNORED, np.int64)
    for row, (tokens, prompt) in enumerate(documents):
        length = len(tokens) - 1
        ids[row, :length], real[row, :length], prefix[row, :prompt] = tokens[:-1], 1, 1
        targets[row, prompt - 1 : length] = tokens[prompt:]
    inputs = {"input_ids": _ids(ids), "attention_mask": _ids(real), "token_type_ids": _ids(prefix)}
    return inputs, _ids(targets)
