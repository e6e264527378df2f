"""Which tasks of a test set a training set gives away: shared programs, and shared runs of eight words.

Programs are compared by their syntax trees at three levels (see `Level`), and description, program and tests each by
the share of its 8-grams that one training task has. A share, not any 8-gram at all: "write a function to find the sum
of" is eight words, and no leak. Finds copies and near copies; a task that was put in other words and solved another
way is not found. Pure: problems in, findings out.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from hrm_codegen.data.problem import Problem
from hrm_codegen.data.syntax import dump, normalise

GRAM = 8
MIN_OVERLAP = 0.5
# Below this many characters, the structure of a program is that of too many others: `def f(a): return a + 1`.
_MIN_STRUCTURE = 900
# And below this many 8-grams, those of a program say as little.
_MIN_CODE_GRAMS = 16
_TOKEN = re.compile(r"\w+|[^\w\s]")

Form = Callable[[str], str | None]
Parts = Callable[[Problem], Sequence[str]]


class Level(StrEnum):
    """Why a task is flagged, the strongest reason first."""

    SAME_CODE = "same code"  # but for layout and comments
    RENAMED_CODE = "same code, renamed"  # but for names, annotations and docstrings too
    SAME_STRUCTURE = "same code, other constants"  # but for those and the values of constants, if it is not tiny
    SAME_TEXT = "8-grams of the text"
    SAME_TESTS = "8-grams of the tests"
    SIMILAR_CODE = "8-grams of the code"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A test task that a training task gives away.

    Attributes:
      task_id: The test task.
      train_id: The training task, the first one of equally bad ones.
      level: The strongest reason.
      share: How many of the 8-grams are shared, from 0 to 1; 1 for equal programs.
    """

    task_id: str
    train_id: str
    level: Level
    share: float


def find_contamination(
    train: Sequence[Problem], test: Sequence[Problem], *, min_overlap: float | int = MIN_OVERLAP
) -> list[Finding]:
    """Returns one finding for each test task that is given away, in the order of `test`.

    Args:
      train: What a model learns from.
      test: What it is scored on.
      min_overlap: Share of the 8-grams of a description, of tests or of a program that is not tiny which is too much;
        with 0 any shared 8-gram is.
    """
    found: dict[int, Finding] = {}
    for level, form in _FORMS.items():
        for index, train_id in _equal(train, test, form).items():
            found.setdefault(index, Finding(task_id=test[index].task_id, train_id=train_id, level=level, share=1.0))
    for level, (parts, min_grams) in _PARTS.items():
        for index, (train_id, share) in _shared_grams(train, test, parts, min_grams).items():
            if share >= min_overlap:
                finding = Finding(task_id=test[index].task_id, train_id=train_id, level=level, share=share)
                found.setdefault(index, finding)
    return [found[index] for index in sorted(found)]


def _structure(code: str) -> str | None:
    form = normalise(code, constants=False)
    return form if len(form) >= _MIN_STRUCTURE and form != code.strip() else None


def _equal(train: Iterable[Problem], test: Sequence[Problem], form: Form) -> dict[int, str]:
    """Returns which test tasks have a program whose form is that of a training task's, and of which."""
    wanted: dict[str, list[int]] = {}
    for index, problem in enumerate(test):
        key = form(problem.code) if problem.code.strip() else None
        if key is not None:
            wanted.setdefault(key, []).append(index)
    found: dict[int, str] = {}
    for problem in train if wanted else ():
        for index in wanted.get(form(problem.code) or "", ()):
            found.setdefault(index, problem.task_id)
    return found


def _shared_grams(
    train: Iterable[Problem], test: Sequence[Problem], parts: Parts, min_grams: int
) -> dict[int, tuple[str, float]]:
    """Returns for each test task with enough 8-grams the training task that has most of them, and the share."""
    tasks_of: dict[tuple[str, ...], list[int]] = {}
    sizes = []
    for index, problem in enumerate(test):
        grams = set(_grams(parts(problem)))
        sizes.append(len(grams))
        for gram in grams if len(grams) >= min_grams else ():
            tasks_of.setdefault(gram, []).append(index)
    best: dict[int, tuple[str, float]] = {}
    for problem in train:
        shared = tasks_of.keys() & set(_grams(parts(problem)))
        counts = collections.Counter(index for gram in shared for index in tasks_of[gram])
        for index, count in counts.items():
            share = count / sizes[index]
            if share > best.get(index, ("", 0.0))[1]:
                best[index] = (problem.task_id, share)
    return best


def _grams(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yields the 8-grams of each text, whose words are in lower case; a shorter text is one gram."""
    for text in texts:
        tokens = _TOKEN.findall(text.casefold())
        if tokens:
            yield from zip(*(tokens[start:] for start in range(min(GRAM, len(tokens)))), strict=False)


_FORMS: dict[Level, Form] = {
    Level.SAME_CODE: dump,
    Level.RENAMED_CODE: normalise,
    Level.SAME_STRUCTURE: _structure,
}
_PARTS: dict[Level, tuple[Parts, int]] = {
    Level.SAME_TEXT: (lambda problem: [problem.text], 1),
    Level.SAME_TESTS: (lambda problem: problem.test_list, 1),
    Level.SIMILAR_CODE: (lambda problem: [problem.code], _MIN_CODE_GRAMS),
}
