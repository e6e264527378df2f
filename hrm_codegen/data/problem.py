"""`Problem`: one programming task, in the fields of MBPP.

Every reader makes these and everything downstream (prompts, token files, the evaluator) takes them, so that a new
data set is one reader. Not a training example: `prompts.py` turns a problem into tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """A task, its reference solution and its tests.

    Attributes:
      task_id: Unique in its data set, for example `mbpp/11`.
      text: What to write, in natural language (HumanEval: the code stub with its docstring).
      code: The reference solution, a complete program; empty where none is known.
      test_list: Statements, each of which raises if the solution is wrong.
      test_setup_code: Run after the solution and before the tests.
      challenge_test_list: Harder tests, run only when asked for.
      entry_point: The function under test, if known.
      prompt_code: Code that a *completion* continues (HumanEval's stub); empty where an answer is a whole program.
      timeout_factor: Multiplies a program's CPU seconds (HumanEval+ and MBPP+ have hundreds of inputs).
      source: The data set's name.
      split: `train`, `validation`, `test` or `prompt`.
      level: Depth of composition for `basics`; None elsewhere.
    """

    task_id: str
    text: str
    code: str = ""
    test_list: tuple[str, ...] = ()
    test_setup_code: str = ""
    challenge_test_list: tuple[str, ...] = ()
    entry_point: str | None = None
    prompt_code: str = ""
    timeout_factor: float = 1.0
    source: str = ""
    split: str = ""
    level: int | None = None


_ALWAYS = ("task_id", "text", "code", "test_list", "test_setup_code", "challenge_test_list")


def to_dict(problem: Problem) -> dict[str, Any]:
    """Returns the row that `load_problems` reads back as an equal problem.

    MBPP's own fields are always there, so that other people's tools read the file; ours only where they say something.
    """
    row = {}
    for field in dataclasses.fields(problem):
        value = getattr(problem, field.name)
        if field.name in _ALWAYS or value != field.default:
            row[field.name] = list(value) if isinstance(value, tuple) else value
    return row
