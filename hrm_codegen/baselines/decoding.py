"""Decoding with Transformers' own `generate`, so that a draw depends on its seed and number alone.

Why: `generate(do_sample=True)` draws a batch from one stream of random numbers, and an answer would change with its
batch mates. Here the search is greedy, over logits that Gumbel noise was added to, row by row (the largest sum is an
exact draw); temperature, top-k and top-p are Transformers' own. What remains of the batch is float rounding: rows of
different lengths are padded, and a near-tie may then fall the other way. Beam search is Transformers' too.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from hrm_codegen.baselines.protocols import PromptProtocol, Question
from hrm_codegen.config.schema import SampleConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One answer to draw.

    Attributes:
      question: What is asked.
      seed: Of the prompt.
      sample: Number of the answer among those to this prompt.
      limit: Most tokens of the answer.
    """

    question: Question
    seed: int
    sample: int
    limit: int


def decode_rows(model: Any, protocol: PromptProtocol, rows: Sequence[Row], sampling: SampleConfig) -> list[str]:
    """Returns the answer of each row of one batch.

    Args:
      model: A causal model of Transformers.
      protocol: Its ends, its padding, its tokenizer.
      rows: Decoded together.
      sampling: Temperature, top_k and top_p; the limit is each row's own.
    """
    import torch

    width = max(len(row.question.tokens) for row in rows)
    with torch.inference_mode():
        output = model.generate(
            **_inputs(model, protocol, rows, width),
            generation_config=_settings(protocol, max(row.limit for row in rows)),
            logits_processor=_processors(rows, sampling),
            stopping_criteria=[_Stop(protocol, rows, width)],
        )
    written = output[:, width:].tolist()
    return [_answer(protocol, row, tokens) for row, tokens in zip(rows, written, strict=True)]


def decode_beams(model: Any, protocol: PromptProtocol, question: Question, *, limit: int, num_beams: int) -> str:
    """Returns the likeliest answer that so many beams find; of equal length or not, by mean log-probability."""
    import torch

    row = Row(question=question, seed=0, sample=0, limit=limit)
    width = len(question.tokens)
    with torch.inference_mode():
        output = model.generate(
            **_inputs(model, protocol, [row], width),
            generation_config=_settings(protocol, limit, num_beams=num_beams),
        )
    return _answer(protocol, row, output[0, width:].tolist())


def draw_seed(seed: int, sample: int) -> int:
    """Returns the seed of one draw: of the prompt's seed and the number of the answer only."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}".encode()).digest()[:7], "big")


class GumbelNoise:
    """A logits processor that adds noise, so that the largest logit is a draw; each row has its own stream."""

    def __init__(self, seeds: Sequence[int]) -> None:
        import torch

        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Returns noisy logits; drawn on the CPU, so that devices agree."""
        import torch

        waits = torch.empty(scores.shape, dtype=torch.float32)
        for row, generator in zip(waits, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - waits.clamp_min(torch.finfo(torch.float32).tiny).log().to(scores.device)


class _Stop:
    """A stopping criterion: a row is done at its own limit, or when its question says that the text is complete."""

    def __init__(self, protocol: PromptProtocol, rows: Sequence[Row], width: int) -> None:
        self._protocol, self._rows, self._width = protocol, rows, width
        self._done = [False] * len(rows)

    def __call__(self, input_ids: Any, scores: Any, **unused: Any) -> Any:
        import torch

        written = input_ids[:, self._width :].tolist()
        for number, (row, tokens) in enumerate(zip(self._rows, written, strict=True)):
            if not self._done[number]:
                text = self._protocol.decode(tokens, row.question.tokens[-1])
                ended = tokens[-1] in self._protocol.end_ids or row.question.end(text) is not None
                self._done[number] = ended or len(tokens) >= row.limit
        return torch.tensor(self._done, dtype=torch.bool, device=input_ids.device)


def _inputs(model: Any, protocol: PromptProtocol, rows: Sequence[Row], width: int) -> dict[str, Any]:
    """Returns prompts of one width, filled up on the left."""
    import torch

    ids, mask = [], []
    for row in rows:
        fill = width - len(row.question.tokens)
        ids.append([protocol.pad_id] * fill + row.question.tokens)
        mask.append([0] * fill + [1] * len(row.question.tokens))
    inputs = {
        "input_ids": torch.tensor(ids, device=model.device),
        "attention_mask": torch.tensor(mask, device=model.device),
    }
    return inputs | ({"token_type_ids": inputs["attention_mask"].clone()} if protocol.marks_prompt else {})


def _settings(protocol: PromptProtocol, limit: int, *, num_beams: int = 1) -> Any:
    """Returns settings of a search without chance; nothing is left to the model's own, which would differ by model."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=limit,
        do_sample=False,
        num_beams=num_beams,
        eos_token_id=list(protocol.end_ids) or None,
        pad_token_id=protocol.pad_id,
    )


def _processors(rows: Sequence[Row], sampling: SampleConfig) -> list[Any]:
    if sampling.temperature == 0:
        return []
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    processors = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    return [*processors, GumbelNoise([draw_seed(row.seed, row.sample) for row in rows])]


def _answer(protocol: PromptProtocol, row: Row, tokens: Sequence[int]) -> str:
    tokens = tokens[: row.limit]
    end = next((place for place, token in enumerate(tokens) if token in protocol.end_ids), len(tokens))
    return row.question.answer(protocol.decode(tokens[:end], row.question.tokens[-1]))
