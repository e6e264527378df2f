"""Samples made by anyone: JSON Lines of `task_id` and `completion` or `solution` (HumanEval's and EvalPlus' formats).

Reads and checks; each way a file can be wrong is one clear error with its place. Programs are not looked at here.
"""

from __future__ import annotations

import collections
import dataclasses
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError
from hrm_codegen.evaluator.assemble import Kind

_LISTED = 5
_GZIP = b"\x1f\x8b"


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
    """Reads samples of any order and number; the second row of a task is its second sample, equal to the first or not.

    Args:
      source: A file of JSON lines or with one JSON array, gzipped or not, or rows. A `task_id` may be the problem's
        (case does not matter), or its last part if that is unambiguous: 11 and "11" for `mbpp/11`. A row that has
        both texts is its `solution`.
      problems: The data set.

    Raises:
      DatasetError: For a missing or empty file, a broken line, a row without text, an unknown task.
    """
    rows = _placed_rows(source)
    names = _TaskNames(problems)
    counts: collections.Counter[str] = collections.Counter()
    unknown: list[str] = []
    samples: list[Sample] = []
    for place, row in rows:
        given, text, kind = _fields(row, place)
        task_id = names.find(given)
        if task_id is None:
            unknown.append(given)
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
    if not samples:
        raise DatasetError(f"no samples in {source if isinstance(source, str | Path) else 'the given rows'}")
    return samples


def samples_sha256(samples: Iterable[Sample]) -> str:
    """Returns the identity of a set of samples, for resuming."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(json.dumps(dataclasses.astuple(sample)).encode())
    return digest.hexdigest()


class _TaskNames:
    """Finds a task by any accepted spelling: its id, its id in another case, its last part; no spelling of two."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self._exact = {problem.task_id for problem in problems}
        self._folded = _unambiguous((task_id.casefold(), task_id) for task_id in self._exact)
        self._last = _unambiguous((task_id.rsplit("/", 1)[-1].casefold(), task_id) for task_id in self._exact)

    def find(self, given: str) -> str | None:
        """Returns the id of a task, None if there is none or no single one."""
        if given in self._exact:
            return given
        return self._folded.get(given.casefold()) or self._last.get(given.casefold())


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    groups = collections.defaultdict(list)
    for spelling, task_id in pairs:
        groups[spelling].append(task_id)
    return {spelling: task_ids[0] for spelling, task_ids in groups.items() if len(task_ids) == 1}


def _placed_rows(source: str | Path | Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    if not isinstance(source, str | Path):
        for number, row in enumerate(source, 1):
            yield f"samples row {number}", row
        return
    try:
        with Path(source).open("rb") as raw:
            packed = raw.read(2) == _GZIP
        with gzip.open(source) if packed else Path(source).open("rb") as file:
            yield from _file_rows(file, source)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot read the samples {source}: {error}") from error


def _file_rows(lines: Iterable[bytes], source: str | Path) -> Iterator[tuple[str, Any]]:
    is_first = True
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        if not line.removeprefix(b"\xef\xbb\xbf").strip():
            continue
        if is_first and line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            rows = _parsed(b"".join([line, *(rest for _, rest in numbered)]), f"{source}: not a JSON array")
            for position, row in enumerate(rows, 1):
                yield f"{source}: row {position}", row
            return
        is_first = False
        yield f"{source}:{number}", _parsed(line, f"{source}:{number}: not a line of JSON")


def _parsed(data: bytes, complaint: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), strict=False)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{complaint}: {error}") from error


def _fields(row: Any, place: str) -> tuple[str, str, Kind]:
    if not isinstance(row, Mapping):
        raise DatasetError(f"{place}: a sample is an object with task_id and completion or solution")
    given = row.get("task_id")
    if isinstance(given, bool) or not isinstance(given, str | int):
        wrong = f"a task_id of type {type(given).__name__}, expected text or an integer" if given else 'no "task_id"'
        raise DatasetError(f"{place}: {wrong}")
    kinds: tuple[Kind, ...] = ("solution", "completion")
    for kind in kinds:
        text = row.get(kind)
        if isinstance(text, str):
            return str(given), text, kind
    raise DatasetError(f'{place}: neither "completion" nor "solution" is a text')
