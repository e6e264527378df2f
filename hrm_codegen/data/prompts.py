"""The prompt protocol: `[boq] conditions, description, shown asserts [eoq] code [eoa]`.

One function each for text, prompt tokens, training example and answer, so that training, generation and evaluation
cannot disagree. Not a chat template: there is one turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsInt

from hrm_codegen.data.problem import Problem
from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.errors import PromptError

MAX_PROMPT_CHARS = 2047


def check_prompt(text: str) -> str:
    """Returns a user's prompt as it is, if it may be used.

    For prompts that people type; rows of a data set may be longer.

    Raises:
      PromptError: Empty, blank, or longer than `MAX_PROMPT_CHARS` characters.
    """
    if not text.strip() or len(text) > MAX_PROMPT_CHARS:
        raise PromptError("prompt must be non-empty and <2048 chars")
    return text


def render_prompt(problem: Problem, *, num_tests: int) -> str:
    """Returns the description, then the first `num_tests` asserts, a line each.

    In MBPP the function's name appears only in the tests: with `num_tests=0` it cannot be known. A problem with
    `prompt_code` (HumanEval) names its function there and shows examples in its docstring, so none of its tests,
    which are one long program, is shown.
    """
    tests = () if problem.prompt_code else problem.test_list[:num_tests]
    lines = [problem.text.strip("\n").rstrip(), *(test.strip() for test in tests)]
    return "\n".join(line for line in lines if line)


def encode_prompt(tokenizer: Tokenizer, text: str, *, condition: str = "") -> list[int]:
    """Returns `[boq] + conditions + text + [eoq]`; `condition` is that of `Tokenizer.condition_ids`."""
    return [tokenizer.boq_id, *tokenizer.condition_ids(condition), *tokenizer.encode(text), tokenizer.eoq_id]


def encode_example(
    tokenizer: Tokenizer, problem: Problem, *, num_tests: int, condition: str = ""
) -> tuple[list[int], int]:
    """Returns prompt and answer as one sequence, and the prompt's length (up to and including eoq).

    The last prompt token predicts the first token of the code (HRM-Text, section 2, task-completion objective).
    """
    prompt = encode_prompt(tokenizer, render_prompt(problem, num_tests=num_tests), condition=condition)
    return [*prompt, *tokenizer.encode(problem.code), tokenizer.eoa_id], len(prompt)


def decode_answer(tokenizer: Tokenizer, tokens: Iterable[SupportsInt]) -> str:
    """Returns the code of generated tokens: everything before the first eoa, without special tokens."""
    answer = []
    for token in tokens:
        if int(token) == tokenizer.eoa_id:
            break
        answer.append(int(token))
    return tokenizer.decode(answer)
