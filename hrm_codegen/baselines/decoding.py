"""Decoding with Transformers' own `generate`, so that a draw depends on its seed and number alone.

Why: `generate(do_sample=True)` draws a batch from one stream of random numbers, and an answer would change with its
batch mates. Here the search is greedy, over logits that Gumbel noise was added to, row by row (the largest sum is an
exact draw); temperature, top-k and top-p are Transformers' own. What remains of the batch is float rounding: rows of
different lengths are padded, and a near-tie may then fall the other way. Beam search is Transformers' too.

`generate` computes finished rows to the end. Most programs are short and some never end, so a batch of which half is
finished stops, and the rest goes on as a smaller one.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from hrm_codegen.baselines.protocols import PromptProtocol, Question
from hrm_codegen.config.schema import SampleConfig

_MIN_HALVED = 8  # rows of a batch; in smaller ones a finished row costs less than reading the others again


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

    answers = [_Answer(row=row, generator=_generator(row)) for row in rows]
    while running := [answer for answer in answers if not answer.done]:
        inputs = _inputs(model, protocol, running)
        with torch.inference_mode():
            model.generate(
                **inputs,
                generation_config=_settings(protocol, max(each.row.limit - len(each.tokens) for each in running)),
                logits_processor=_processors([answer.generator for answer in running], sampling),
                stopping_criteria=[_Recorder(protocol, running, may_halve=len(running) >= _MIN_HALVED)],
            )
    return [_finish(protocol, answer) for answer in answers]


def decode_beams(model: Any, protocol: PromptProtocol, question: Question, *, limit: int, num_beams: int) -> str:
    """Returns the likeliest answer that so many beams find; of equal length or not, by mean log-probability."""
    import torch

    row = Row(question=question, seed=0, sample=0, limit=limit)
    answer = _Answer(row=row, generator=_generator(row))
    with torch.inference_mode():
        output = model.generate(
            **_inputs(model, protocol, [answer]), generation_config=_settings(protocol, limit, num_beams=num_beams)
        )
    answer.tokens = output[0, len(question.tokens) :].tolist()
    return _finish(protocol, answer)


def draw_seed(seed: int, sample: int) -> int:
    """Returns the seed of one draw: of the prompt's seed and the number of the answer only."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}".encode()).digest()[:7], "big")


class GumbelNoise:
    """A logits processor that adds noise, so that the largest logit is a draw; each row has its own stream."""

    def __init__(self, generators: Sequence[Any]) -> None:
        self._generators = generators

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Returns noisy logits; drawn on the CPU, so that devices agree."""
        import torch

        waits = torch.empty(scores.shape, dtype=torch.float32)
        for row, generator in zip(waits, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - waits.clamp_min(torch.finfo(torch.float32).tiny).log().to(scores.device)


@dataclasses.dataclass(kw_only=True)
class _Answer:
    """A row's progress.

    Attributes:
      row: What is drawn.
      generator: Its stream of random numbers.
      tokens: Written so far.
      done: Whether nothing more is wanted.
    """

    row: Row
    generator: Any
    tokens: list[int] = dataclasses.field(default_factory=list)
    done: bool = False


class _Recorder:
    """A stopping criterion that writes the tokens down.

    A row is done at an end token, at its own limit, or when its question says that the text is complete; the batch
    when all rows are, or half of them.
    """

    def __init__(self, protocol: PromptProtocol, answers: Sequence[_Answer], *, may_halve: bool) -> None:
        self._protocol, self._answers, self._may_halve = protocol, answers, may_halve

    def __call__(self, input_ids: Any, scores: Any, **unused: Any) -> Any:
        import torch

        for answer, token in zip(self._answers, input_ids[:, -1].tolist(), strict=True):
            if not answer.done:
                answer.tokens.append(token)
                answer.done = self._is_done(answer)
        done = [answer.done for answer in self._answers]
        if self._may_halve and 2 * sum(done) >= len(done):
            done = [True] * len(done)
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)

    def _is_done(self, answer: _Answer) -> bool:
        if answer.tokens[-1] in self._protocol.end_ids or len(answer.tokens) >= answer.row.limit:
            return True
        question = answer.row.question
        return question.end(self._protocol.decode(answer.tokens, question.tokens[-1])) is not None


def _generator(row: Row) -> Any:
    import torch

    return torch.Generator().manual_seed(draw_seed(row.seed, row.sample))


def _inputs(model: Any, protocol: PromptProtocol, answers: Sequence[_Answer]) -> dict[str, Any]:
    """Returns prompts, with what is written already, of one width: filled up on the left."""
    import torch

    width = max(len(answer.row.question.tokens) + len(answer.tokens) for answer in answers)
    ids, mask, is_prompt = [], [], []
    for answer in answers:
        prompt, written = answer.row.question.tokens, answer.tokens
        fill = [0] * (width - len(prompt) - len(written))
        ids.append([protocol.pad_id for _ in fill] + prompt + written)
        mask.append(fill + [1] * len(prompt) + [1] * len(written))
        is_prompt.append(fill + [1] * len(prompt) + [0] * len(written))
    inputs = {"input_ids": ids, "attention_mask": mask}
    if protocol.marks_prompt:
        inputs["token_type_ids"] = is_prompt
    return {name: torch.tensor(rows, device=model.device) for name, rows in inputs.items()}


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


def _processors(generators: Sequence[Any], sampling: SampleConfig) -> list[Any]:
    if sampling.temperature == 0:
        return []
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    processors = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    return [*processors, GumbelNoise(generators)]


def _finish(protocol: PromptProtocol, answer: _Answer) -> str:
    tokens, question = answer.tokens, answer.row.question
    end = next((place for place, token in enumerate(tokens) if token in protocol.end_ids), len(tokens))
    return question.answer(protocol.decode(tokens[:end], question.tokens[-1]))
