"""Asking a model for programs: prompts, seeds, and the two ways a model can be asked.

A model is anything with `generate(prompts, num_samples=, seeds=, ...) -> list[list[str]]`, or else with
`generate_code(prompt, ...) -> str`, which is called once a sample. Options that its signature does not take are left
out, so that a fake of three lines works. Seeds come from the task's name: the order of problems, their number and the
batch size never change a completion.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import PromptError, UsageError

_LOG = logging.getLogger("hrm_codegen.evaluator")
_SEED_RANGE = 1 << 31


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking:
    """How a model is asked.

    Attributes:
      num_samples: Programs a problem.
      batch_size: Sequences decoded together.
      prompt_tests: Asserts that a prompt shows.
      seed: Of the whole evaluation.
      sampling: temperature, max_tokens, top_p; None leaves the model's own default.
    """

    num_samples: int
    batch_size: int
    prompt_tests: int
    seed: int
    sampling: dict[str, float | int | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model wrote for one problem.

    Attributes:
      problem: The problem.
      texts: By sample number.
      refused: Why the model takes no such prompt; then `texts` is empty.
    """

    problem: Problem
    texts: dict[int, str]
    refused: str = ""


def ask(model: Any, wanted: Sequence[tuple[Problem, Sequence[int]]], asking: Asking) -> Iterator[Answers]:
    """Yields the answers to each problem, generating chunk after chunk.

    A model with `generate` is asked the shortest prompts first: prompts of about one length decode together without
    padding, and need few compiled shapes.

    Args:
      model: See the module's docstring.
      wanted: Problems and the numbers of the samples that are needed. A model with `generate` draws all samples of
        such a problem, since they share a stream of random numbers.
      asking: How to ask.

    Raises:
      UsageError: For a model with neither method, or one that returns another number of answers.
    """
    if callable(getattr(model, "generate", None)):
        yield from _ask_in_batches(model.generate, wanted, asking, getattr(model, "parallelism", 1))
    elif callable(getattr(model, "generate_code", None)):
        yield from _ask_one_by_one(model.generate_code, wanted, asking)
    else:
        raise UsageError(f"a {type(model).__name__} has neither generate() nor generate_code(): it is no model")


def problem_seed(seed: int, task_id: str) -> int:
    """Returns the seed of a problem: of its name and the evaluation's seed only."""
    return (seed * 1_000_003 + zlib.crc32(task_id.encode("utf-8", "surrogatepass"))) % _SEED_RANGE


def _prompt(problem: Problem, asking: Asking) -> str:
    from hrm_codegen.data import render_prompt

    return render_prompt(problem, num_tests=asking.prompt_tests)


def _ask_in_batches(
    generate: Callable[..., Any], wanted: Sequence[tuple[Problem, Sequence[int]]], asking: Asking, parallelism: int
) -> Iterator[Answers]:
    size = max(1, parallelism * asking.batch_size // asking.num_samples)
    ordered = sorted(wanted, key=lambda item: len(_prompt(item[0], asking)))
    for start in range(0, len(ordered), size):
        chunk = ordered[start : start + size]
        try:
            answers = _generate(generate, [problem for problem, _ in chunk], asking)
        except PromptError:
            # One prompt that does not fit must not take its neighbours along.
            for problem, indexes in chunk:
                try:
                    texts = _generate(generate, [problem], asking)[0]
                except PromptError as error:
                    yield _refused(problem, error)
                else:
                    yield Answers(problem=problem, texts={index: texts[index] for index in indexes})
            continue
        for (problem, indexes), texts in zip(chunk, answers, strict=True):
            yield Answers(problem=problem, texts={index: texts[index] for index in indexes})


def _generate(generate: Callable[..., Any], problems: Sequence[Problem], asking: Asking) -> list[list[str]]:
    options = {
        "num_samples": asking.num_samples,
        "seeds": [problem_seed(asking.seed, problem.task_id) for problem in problems],
        "batch_size": asking.batch_size,
    }
    answers = generate([_prompt(problem, asking) for problem in problems], **options, **_accepted(generate, asking))
    if len(answers) != len(problems) or any(len(texts) != asking.num_samples for texts in answers):
        raise UsageError(f"the model's generate() did not return {asking.num_samples} samples for each prompt")
    return answers


def _ask_one_by_one(
    generate_code: Callable[..., Any], wanted: Sequence[tuple[Problem, Sequence[int]]], asking: Asking
) -> Iterator[Answers]:
    for problem, indexes in wanted:
        prompt, base = _prompt(problem, asking), problem_seed(asking.seed, problem.task_id)
        try:
            texts = {
                index: generate_code(prompt, **_accepted(generate_code, asking, seed=(base + index) % _SEED_RANGE))
                for index in indexes
            }
        except PromptError as error:
            yield _refused(problem, error)
        else:
            yield Answers(problem=problem, texts=texts)


def _refused(problem: Problem, error: PromptError) -> Answers:
    _LOG.warning("the model takes no prompt of task %s: %s; counted as failed", problem.task_id, error)
    return Answers(problem=problem, texts={}, refused=str(error))


def _accepted(function: Callable[..., Any], asking: Asking, **more: int) -> dict[str, Any]:
    """Returns the options that were asked for and that the function takes."""
    options = {name: value for name, value in (asking.sampling | more).items() if value is not None}
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return options
    return {name: value for name, value in options.items() if name in parameters}
