"""Samples made by anyone: JSON Lines of `task_id` and `completion` or `solution` (HumanEval's and EvalPlus' formats).

Reads and checks; each way a file can be wrong is one clear error with its line. Programs are not looked at here.
"""

from __future__ import annotations

import collections
import dataclasses
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError
from hrm_codegen.evaluator.assemble import Kind

_LISTED = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One program for one problem.

    Attributes:
      task_id: The problem's.
      index: 0, 1, ... among the samples of the problem, in the order of the file.
      text: Raw.
      kind: What the text is.
    """

    task_id: str
    index: int
    text: str
    kind: Kind


def read_samples(source: str | Path | Iterable[Mapping[str, Any]], problems: Sequence[Problem]) -> list[Sample]:
    """Reads samples of any order and number; the second row of a task is its second sample.

    Args:
      source: A `.jsonl` or `.jsonl.gz` file, or rows. A `task_id` may be the problem's (case does not matter), or its
        last part if that is unambiguous: 11 and "11" for `mbpp/11`.
      problems: The data set.

    Raises:
      DatasetError: For a missing file, a broken line, a row without text, an unknown task.
    """
    rows = _read_lines(Path(source)) if isinstance(source, str | Path) else enumerate(source, 1)
    names = _task_names(problems)
    counts: collections.Counter[str] = collections.Counter()
    unknown: list[str] = []
    samples: list[Sample] = []
    for number, row in rows:
        place = f"samples row {number}" if not isinstance(source, str | Path) else f"{source}:{number}"
        given, text, kind = _fields(row, place)
        task_id = names.get(str(given).casefold())
        if task_id is None:
            unknown.append(str(given))
            continue
        samples.append(Sample(task_id=task_id, index=counts[task_id], text=text, kind=kind))
        counts[task_id] += 1
    if unknown:
        shown = ", ".join(repr(name) for name in unknown[:_LISTED])
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise DatasetError(
            f"{len(unknown)} samples are of tasks that the data set does not have: {shown}{more}; "
            f"its first task is {problems[0].task_id!r}: do samples and --data belong together?"
        )
    return samples


def samples_sha256(samples: Iterable[Sample]) -> str:
    """Returns the identity of a set of samples, for resuming."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(json.dumps(dataclasses.astuple(sample)).encode())
    return digest.hexdigest()


def _task_names(problems: Sequence[Problem]) -> dict[str, str]:
    """Maps every accepted spelling to a task id; a last part that two tasks share is none."""
    last_parts = collections.Counter(problem.task_id.rsplit("/", 1)[-1].casefold() for problem in problems)
    names = {}
    for problem in problems:
        last = problem.task_id.rsplit("/", 1)[-1].casefold()
        if last_parts[last] == 1:
            names[last] = problem.task_id
    return names | {problem.task_id.casefold(): problem.task_id for problem in problems}


def _read_lines(path: Path) -> Iterable[tuple[int, Any]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield number, json.loads(line.decode("utf-8-sig"), strict=False)
                except (ValueError, RecursionError) as error:
                    raise DatasetError(f"{path}:{number}: not a line of JSON: {error}") from error
    except (OSError, EOFError) as error:
        raise DatasetError(f"cannot read the samples {path}: {error}") from error


def _fields(row: Any, place: str) -> tuple[str | int, str, Kind]:
    if not isinstance(row, Mapping):
        raise DatasetError(f"{place}: a sample is an object with task_id and completion or solution")
    given = row.get("task_id")
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise DatasetError(f'{place}: no "task_id"')
    kinds: tuple[Kind, ...] = ("solution", "completion")
    for kind in kinds:
        text = row.get(kind)
        if isinstance(text, str):
            return given, text, kind
    raise DatasetError(f'{place}: neither "completion" nor "solution" is a text')
