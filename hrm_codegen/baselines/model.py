"""`BaselineModel`: a causal language model of Transformers that is asked for programs like one of ours.

Why: evaluation, generation and measuring take anything with `HRMCodeGen`'s `generate`; this gives them GPT-2, Llama
and their like, from a folder, a GGUF file or the Hub. How such a model is asked is in `protocols.py`, how it draws in
`decoding.py`. Not trainable here, and not converted: torch runs it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

from hrm_codegen.baselines.decoding import Row, decode_beams, decode_rows
from hrm_codegen.baselines.loading import Loaded, find_torch_device, load
from hrm_codegen.baselines.names import check_baseline
from hrm_codegen.baselines.protocols import Question
from hrm_codegen.config.schema import DataConfig, EvalConfig, SampleConfig
from hrm_codegen.data import check_prompt
from hrm_codegen.errors import ContextError, PromptError
from hrm_codegen.generation.limits import resolve_sampling, resolve_seeds

Number = float | int
MAX_TOKENS = 512  # a program of MBPP has up to 400 tokens of GPT-2; half the context if that is less
_LOGGER = logging.getLogger("hrm_codegen.baselines")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """The sections of `Config` that apply to a model which is not trained here.

    Attributes:
      name: For reports: the model, and how it is asked.
      eval: Defaults of an evaluation.
      sample: Defaults of drawing.
      data: For `prompt_tests`: the same question as for a model of ours.
    """

    name: str
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    sample: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)


class BaselineModel:
    """Writes Python from descriptions, as `HRMCodeGen` does. Safe to share between threads: they take turns.

    Attributes:
      config: Settings that the front doors look up.
      model: The model of Transformers.
      protocol: How it is asked (`protocols.py`).
      context: Tokens of prompt and answer together; None: no limit is known.
      metadata: `path`, `protocol`, and a repository's `revision`.
    """

    def __init__(self, loaded: Loaded, *, name: str, metadata: dict[str, Any] | None = None) -> None:
        """Most users want `from_pretrained`."""
        self.model = loaded.model
        self.protocol = loaded.protocol
        self.context = loaded.context
        self.metadata = {**(metadata or {}), "protocol": loaded.protocol.name}
        name = f"{name} ({loaded.protocol.name})"
        if loaded.config is None:
            max_tokens = min(MAX_TOKENS, (loaded.context or 2 * MAX_TOKENS) // 2)
            self.config = BaselineConfig(name=name, sample=SampleConfig(max_tokens=max_tokens))
        else:  # a model of ours, with the settings that it was exported with
            ours = loaded.config
            self.config = BaselineConfig(name=name, eval=ours.eval, sample=ours.sample, data=ours.data)
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        device: str = "auto",
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> BaselineModel:
        """Loads a model and its tokenizer.

        Args:
          name: A folder, a GGUF file, or a repository's id (`names.find_source`), with or without `hf:`.
          device: `auto`, `cpu`, `cuda` (or `gpu`, `rocm`) or `mps`.
          revision: Branch, tag or commit of a repository.
          token: For private repositories; None: as `huggingface_hub` finds it.

        Raises:
          MissingExtraError: The extra [hf] is not installed.
          ModelNotFoundError: Nothing there, or no way to reach it.
          CheckpointError: It cannot be read, or is not a causal language model.
          DeviceError: No such device.
        """
        source = check_baseline(name)
        if revision is not None:
            source = dataclasses.replace(source, revision=revision)
        loaded = load(source, device=find_torch_device(device), token=token)
        metadata = {"path": source.path} | ({"revision": loaded.revision} if loaded.revision else {})
        model = cls(loaded, name=source.title, metadata=metadata)
        _LOGGER.info("loaded %r, asked by %s, sha256 %.12s", model, model.protocol.name, model.sha256)
        return model

    def generate_code(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: Number = 0.7,
        top_p: Number = 0.95,
        top_k: int = 0,
        seed: int | None = None,
    ) -> str:
        """Writes one program; arguments and errors are those of `HRMCodeGen.generate_code`."""
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

        Arguments are those of `HRMCodeGen.generate`. A seed and a sample's number alone decide a draw (`decoding.py`
        says what rounding may do); at temperature 0 all samples of a prompt are one.

        Raises:
          PromptError: A blank prompt; as `ContextError` one that leaves too little room for its answer.
          UsageError: An impossible argument.
        """
        given = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k}
        sampling = resolve_sampling(self.config.sample, given, num_samples=num_samples, batch_size=batch_size)
        seeds = resolve_seeds(seeds, first=sampling.seed, count=len(prompts))
        questions, limits = self._ask(prompts, max_tokens)
        draws = 1 if sampling.temperature == 0 else num_samples
        wanted = [
            (index, Row(question=questions[index], seed=int(seeds[index]), sample=sample, limit=limits[index]))
            for index in sorted(range(len(prompts)), key=lambda index: len(questions[index].tokens))
            for sample in range(draws)
        ]
        results: list[list[str]] = [[] for _ in prompts]
        for start in range(0, len(wanted), batch_size):
            chunk = wanted[start : start + batch_size]
            with self._lock:
                answers = decode_rows(self.model, self.protocol, [row for _, row in chunk], sampling)
            for (index, _), answer in zip(chunk, answers, strict=True):
                results[index].append(answer)
        return [answers * (num_samples // draws) for answers in results]

    def beam_search(self, prompt: str, max_tokens: int | None = None, num_beams: int = 4) -> str:
        """Returns the likeliest program that `num_beams` beams find (1: greedy); the rest is as in `generate_code`."""
        resolve_sampling(self.config.sample, {"max_tokens": max_tokens}, num_beams=num_beams)
        (question,), (limit,) = self._ask([check_prompt(prompt)], max_tokens)
        with self._lock:
            return decode_beams(self.model, self.protocol, question, limit=limit, num_beams=num_beams)

    @property
    def num_params(self) -> int:
        """Parameters, tied ones once."""
        return sum(int(parameter.numel()) for parameter in self.model.parameters())

    @property
    def device(self) -> str:
        """`cpu`, `gpu` or `mps`."""
        kind = str(self.model.device.type)
        return "gpu" if kind == "cuda" else kind

    @property
    def sha256(self) -> str:
        """Hash of the weights as they are used: names, types, shapes and values; computed anew each time."""
        import torch

        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"BaselineModel({self.config.name!r}, num_params={self.num_params}, device={self.device!r})"

    def _ask(self, prompts: Sequence[str], max_tokens: int | None) -> tuple[list[Question], list[int]]:
        """Returns each prompt as the model sees it, and how long its answer may be."""
        if not all(prompt.strip() for prompt in prompts):
            raise PromptError("prompt must be non-empty and <2048 chars")
        questions = [self.protocol.ask(prompt) for prompt in prompts]
        wanted = self.config.sample.max_tokens if max_tokens is None else max_tokens
        needed = 1 if max_tokens is None else wanted
        limits = []
        for index, question in enumerate(questions):
            room = wanted if self.context is None else self.context - len(question.tokens)
            if room < needed:
                raise ContextError(
                    f"prompt {index} has {len(question.tokens)} tokens and its answer up to {wanted}: together more "
                    f"than the model's context of {self.context}"
                )
            limits.append(min(room, wanted))
        return questions, limits
