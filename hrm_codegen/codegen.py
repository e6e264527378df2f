"""`HRMCodeGen`: a model, its tokenizer and its configuration, as one object that writes code.

Why: users think in prompts and programs; every other package works on token ids, parameters or files. Everything
here is a thin step between those. Not for training: `training.Trainer` takes one of these and gives one back.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from hrm_codegen import config as configs
from hrm_codegen.config import Config, SampleConfig
from hrm_codegen.data import Tokenizer, check_prompt, decode_answer, encode_prompt
from hrm_codegen.errors import PromptError, UsageError
from hrm_codegen.generation import Completion, beam_search, generate
from hrm_codegen.generation.limits import answer_limits, resolve_sampling, resolve_seeds
from hrm_codegen.model import init, merge
from hrm_codegen.parallel.devices import find_device
from hrm_codegen.pretrained import Pretrained

Number = float | int  # `temperature=0` is what people write, and a run-time checker does not take it for a float


class HRMCodeGen(Pretrained):
    """Writes Python from descriptions. Safe to share between threads: they take turns on the device.

    Its parts, loading, saving and exporting are `Pretrained`'s.
    """

    @classmethod
    def from_config(
        cls,
        config: Config | Mapping[str, Any] | str | os.PathLike[str],
        tokenizer: Tokenizer | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> HRMCodeGen:
        """Makes a model with fresh weights.

        Args:
          config: A Config, a mapping or ConfigDict, a path, or the name of a bundled configuration.
          tokenizer: None: the one that `config.data.tokenizer` names.
          seed: Of the weights.
          device: As in `from_pretrained`.

        Raises:
          ConfigError: The configuration is wrong, or the tokenizer has more tokens than the model.
          DeviceError: No such device.
        """
        find_device(device)  # before anything slow
        if isinstance(config, str | os.PathLike):
            config = configs.load(config)
        elif not isinstance(config, Config):
            config = configs.from_dict(config)
        tokenizer = tokenizer or Tokenizer.load(config.data.tokenizer)
        _, params = init(config.model, jax.random.key(seed))
        return cls(config=config, tokenizer=tokenizer, params=params, device=device)

    def generate_code(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: Number = 0.7,
        top_p: Number = 0.95,
        top_k: int = 0,
        seed: int | None = None,
    ) -> str:
        """Writes one program.

        Args:
          prompt: What to write: a description, and best an assert that shows the function's name.
          max_tokens: Longest answer. None: that of `config.sample` (128 unless configured), or less if the prompt
            leaves less room.
          temperature: 0 is greedy.
          top_p: Keep the smallest set of tokens with at least this probability.
          top_k: Keep the k likeliest tokens; 0: all.
          seed: Of the draws; equal seeds give equal programs. None: that of `config.sample`.

        Raises:
          PromptError: An empty prompt, or one of 2048 characters or more.
          UsageError: An impossible argument, or a prompt that leaves no room for `max_tokens`.
        """
        drawing: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        seeds = None if seed is None else [seed]
        return self.generate([check_prompt(prompt)], seeds=seeds, max_tokens=max_tokens, **drawing)[0][0]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        num_samples: int = 1,
        seeds: Sequence[int] | None = None,
        batch_size: int = 64,
        max_tokens: int | None = None,
        temperature: Number | None = None,
        top_p: Number | None = None,
        top_k: int | None = None,
    ) -> list[list[str]]:
        """Writes `num_samples` programs for each prompt; the answer to a prompt does not depend on the others.

        Args:
          prompts: Not blank, otherwise of any length that the model takes.
          num_samples: Programs a prompt.
          seeds: One a prompt; None: `config.sample.seed`, that plus one, and so on.
          batch_size: Sequences decoded together, on each device; a CPU takes no more than 16.
          max_tokens: As in `generate_code`, and so are the next three; None: those of `config.sample`.
          temperature: See there.
          top_p: See there.
          top_k: See there.

        Returns:
          Programs in the order of the prompts. Errors are those of `generate_code`, but for the prompt's length.
        """
        given = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k}
        sampling = resolve_sampling(self.config.sample, given, num_samples=num_samples, batch_size=batch_size)
        seeds = resolve_seeds(seeds, first=sampling.seed, count=len(prompts))
        encoded, limits = self._encode(prompts, max_tokens)
        results: list[list[str]] = [[] for _ in prompts]
        for limit in sorted(set(limits)):
            chosen = [index for index, own in enumerate(limits) if own == limit]
            completions = self.draw(
                [encoded[index] for index in chosen],
                num_samples=num_samples,
                seeds=[seeds[index] for index in chosen],
                sampling=dataclasses.replace(sampling, max_tokens=limit),
                batch_size=batch_size,
            )
            for index, drawn in zip(chosen, completions, strict=True):
                results[index] = [decode_answer(self.tokenizer, completion.tokens) for completion in drawn]
        return results

    def draw(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        num_samples: int,
        seeds: Sequence[int],
        sampling: SampleConfig,
        batch_size: int,
        eoa_id: int | None = None,
    ) -> list[list[Completion]]:
        """Draws answers as token ids, with their log-probabilities, for prompts as token ids.

        Args:
          prompts: Not checked; with `sampling.max_tokens` they must fit into `model.max_seq_len`.
          num_samples: Answers a prompt.
          seeds: One a prompt.
          sampling: Limit and strategy; its own seed is not used.
          batch_size: Sequences decoded together, on each device.
          eoa_id: The token that ends an answer; None: the tokenizer's. -1: none does.
        """
        with self._lock:
            return generate(
                self.graphdef,
                self.params,
                prompts,
                num_samples=num_samples,
                seeds=seeds,
                sampling=sampling,
                eoa_id=self.tokenizer.eoa_id if eoa_id is None else eoa_id,
                pad_id=self.tokenizer.pad_id,
                batch_size=batch_size,
                mesh=self._mesh,
                laid_out=self._laid_out(num_samples * len(prompts)),
            )

    def beam_search(self, prompt: str, max_tokens: int | None = None, num_beams: int = 4) -> str:
        """Returns the likeliest program that `num_beams` beams find (1: greedy); the rest is as in `generate_code`."""
        resolve_sampling(self.config.sample, {"max_tokens": max_tokens}, num_beams=num_beams)
        (tokens,), (limit,) = self._encode([check_prompt(prompt)], max_tokens)
        with self._lock:
            found = beam_search(
                self.graphdef,
                self.params,
                tokens,
                num_beams=num_beams,
                max_tokens=limit,
                eoa_id=self.tokenizer.eoa_id,
                pad_id=self.tokenizer.pad_id,
                laid_out=self._laid_out(num_beams),
            )
        return decode_answer(self.tokenizer, found[0].tokens)

    def logits(self, tokens: ArrayLike, prefix_len: ArrayLike | None = None) -> Float[Array, "B T V"]:
        """Runs the plain forward, for anyone who wants to look inside.

        Args:
          tokens: [B, T] token ids.
          prefix_len: [B] lengths of the prompts, whose tokens see each other in both directions (not under
            `mask: causal`); None: no prompt.

        Raises:
          UsageError: Not a matrix of token ids, or not one length a row.
        """
        ids = np.asarray(tokens)
        vocab_size = self.config.model.vocab_size
        if ids.ndim != 2 or ids.dtype.kind not in "iu" or not ids.size or ids.min() < 0 or ids.max() >= vocab_size:
            raise UsageError(f"tokens must be a non-empty [B, T] array of ids in [0, {vocab_size})")
        lengths = np.asarray(np.zeros(len(ids), int) if prefix_len is None else prefix_len)
        if lengths.shape != ids.shape[:1]:
            raise UsageError(f"prefix_len must have shape [{len(ids)}], one length a row, not {list(lengths.shape)}")
        with self._lock:
            return _logits(self.graphdef, self.params, ids.astype(np.int32), lengths.astype(np.int32))

    def _encode(self, prompts: Sequence[str], max_tokens: int | None) -> tuple[list[list[int]], list[int]]:
        """Returns each prompt's tokens and how long its answer may be."""
        if not all(prompt.strip() for prompt in prompts):
            raise PromptError("prompt must be non-empty and <2048 chars")
        condition = self.config.data.condition
        encoded = [encode_prompt(self.tokenizer, prompt, condition=condition) for prompt in prompts]
        strict = max_tokens is not None
        wanted = self.config.sample.max_tokens if max_tokens is None else max_tokens
        return encoded, answer_limits(encoded, wanted, max_seq_len=self.config.model.max_seq_len, strict=strict)


@functools.partial(jax.jit, static_argnames="graphdef")
def _logits(graphdef: nnx.GraphDef, params: nnx.State, tokens: jax.Array, prefix_len: jax.Array) -> jax.Array:
    prefix_mask = jnp.arange(tokens.shape[1])[None, :] < prefix_len[:, None]
    return merge(graphdef, params)(tokens, prefix_mask=prefix_mask)
