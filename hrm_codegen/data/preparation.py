"""From a named data set, or a raw file, to the files that training and evaluation read.

For each split `<split>.bin` (tokens) and `<split>_raw.json` (problems). A second identical call writes nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import inspect
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.config.files import atomic_write
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.problems import dump_problems, load_problems
from hrm_codegen.data.prompts import encode_example
from hrm_codegen.data.registry import Reader, get_reader
from hrm_codegen.data.token_file import read_header
from hrm_codegen.data.token_writer import write_token_file
from hrm_codegen.data.tokenizer import Tokenizer
from hrm_codegen.errors import DatasetError, UsageError
from hrm_codegen.version import __version__

_log = logging.getLogger("hrm_codegen.data")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitReport:
    """What one split became.

    Attributes:
      split: Its name; empty for a converted file.
      path: The token file.
      problems: Problems in it.
      tokens: Tokens in it.
      skipped: Problems left out of the token file, because they have no reference solution.
      up_to_date: True if the files were there already, made of the same data in the same way.
    """

    split: str
    path: Path
    problems: int
    tokens: int
    skipped: int
    up_to_date: bool


def prepare(
    name: str,
    *,
    out: str | os.PathLike[str] | None = None,
    splits: Sequence[str] | None = None,
    source: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | Tokenizer = "default",
    prompt_tests: int = 1,
    condition: str = "",
    **reader_options: Any,
) -> list[SplitReport]:
    """Reads a data set and writes `<out>/<split>.bin` and `<out>/<split>_raw.json`.

    Args:
      name: A data set of `available()`.
      out: The folder; None: `data/<name>`.
      splits: Which splits; None: all that the source has.
      source: A local copy of the data set.
      tokenizer: `default`, `byte`, the path of a tokenizer.json, or a tokenizer.
      prompt_tests: How many asserts a prompt shows.
      condition: HRM-Text's condition tokens that a prompt begins with, such as `direct`.
      **reader_options: Passed to the data set's reader.

    Raises:
      UsageError: An unknown data set, split or option.
      DatasetError: The data cannot be had or read; or a split has not one reference solution.
    """
    reader = get_reader(name)
    for split in splits or ():
        _check_split(reader, split)
    arguments = {"source": None if source is None else os.fspath(source), **reader_options}
    try:
        inspect.signature(reader.load).bind(**arguments)
    except TypeError as error:
        raise UsageError(f'data set "{name}": {error}') from error
    by_split = reader.load(**arguments)
    wanted = (
        [split for split in reader.splits if by_split.get(split)] if splits is None else list(dict.fromkeys(splits))
    )
    if not wanted:
        raise DatasetError(f'data set "{name}" has no problems in {source or "any split"}')
    for split in wanted:
        if not by_split.get(split):
            raise DatasetError(f'no problem of split "{split}" in {source or name}')
    loaded = _tokenizer(tokenizer)
    folder = Path("data", name) if out is None else Path(out)
    return [
        _write_split(
            load_problems(by_split[split]),
            folder / f"{split}.bin",
            folder / f"{split}_raw.json",
            tokenizer=loaded,
            labels=_labels(name, split, prompt_tests, condition),
        )
        for split in wanted
    ]


def prepare_mbpp(out: str | os.PathLike[str] = "data/mbpp", **options: Any) -> list[SplitReport]:
    """Prepares MBPP, downloading it if needed; the options are `prepare`'s (`splits`, `source`, ...)."""
    return prepare("mbpp", out=out, **options)


def prepare_humaneval(out: str | os.PathLike[str] = "data/humaneval", **options: Any) -> list[SplitReport]:
    """Prepares HumanEval, which has only a `test` split; the options are `prepare`'s."""
    return prepare("humaneval", out=out, **options)


def prepare_basics(out: str | os.PathLike[str] = "data/basics", **options: Any) -> list[SplitReport]:
    """Prepares the generated suite; the options are `prepare`'s and the generator's."""
    return prepare("basics", out=out, **options)


def convert_raw_to_bin(
    src: str | os.PathLike[str] | Iterable[Any],
    dst: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | Tokenizer = "default",
    prompt_tests: int = 1,
    condition: str = "",
) -> SplitReport:
    """Makes a token file of problems in MBPP's or HumanEval's fields, or of any rows like them.

    Args:
      src: JSON array, JSON lines, `.gz` of them, a `datasets.Dataset`, or rows.
      dst: The token file.
      tokenizer: As in `prepare`.
      prompt_tests: As in `prepare`.
      condition: As in `prepare`.

    Raises:
      DatasetError: A row that cannot be read, or has no "code".
    """
    path = Path(src) if isinstance(src, str | os.PathLike) else None
    if path is not None and path.resolve() == Path(dst).resolve():
        raise UsageError(f"source and destination are the same file: {dst}")
    problems = load_problems(src, require_code=True)
    label = problems[0].source if path is None else path.name
    labels = _labels(label, "", prompt_tests, condition)
    return _write_split(problems, Path(dst), None, tokenizer=_tokenizer(tokenizer), labels=labels)


def _write_split(
    problems: list[Problem], path: Path, raw_path: Path | None, *, tokenizer: Tokenizer, labels: dict[str, str]
) -> SplitReport:
    usable = [problem for problem in problems if problem.code.strip()]
    if not usable:
        raise DatasetError(
            f'no problem of {labels["source"]} {labels["split"]} has "code", needed for training (fine for eval)'
        )
    _warn_of_contamination(usable, path)
    raw = dump_problems(problems).encode()
    made_of = {
        **labels,
        "source_sha256": hashlib.sha256(raw).hexdigest(),
        "num_skipped": str(len(problems) - len(usable)),
    }
    tokens = _tokens_if_current(path, {**made_of, "tokenizer_sha256": tokenizer.sha256, "tool_version": __version__})
    up_to_date = tokens is not None
    if tokens is None:
        tokens = write_token_file(path, _examples(usable, tokenizer, labels), tokenizer=tokenizer, metadata=made_of)
    if raw_path is not None and not (raw_path.is_file() and raw_path.read_bytes() == raw):
        up_to_date = False
        with atomic_write(raw_path, "wb") as file:
            file.write(raw)
    return SplitReport(
        split=labels["split"],
        path=path,
        problems=len(usable),
        tokens=tokens,
        skipped=len(problems) - len(usable),
        up_to_date=up_to_date,
    )


def _labels(source: str, split: str, prompt_tests: int, condition: str) -> dict[str, str]:
    labels = {"source": source, "split": split, "prompt_tests": str(prompt_tests)}
    return labels | ({"condition": condition} if condition else {})


def _examples(problems: list[Problem], tokenizer: Tokenizer, labels: dict[str, str]) -> Iterator[tuple[list[int], int]]:
    num_tests, condition = int(labels["prompt_tests"]), labels.get("condition", "")
    for problem in problems:
        yield encode_example(tokenizer, problem, num_tests=num_tests, condition=condition)


def _tokens_if_current(path: Path, expected: dict[str, str]) -> int | None:
    """Returns the number of tokens in a file made of the expected things; None if it has to be written."""
    try:
        header = read_header(path)
    except DatasetError:
        return None  # missing or torn: it is about to be replaced
    metadata = {} if header is None else header[1].get("__metadata__", {})
    if any(metadata.get(key) != value for key, value in expected.items()):
        return None
    return int(metadata["num_tokens"])


def _check_split(reader: Reader, split: str) -> None:
    if split in reader.splits:
        return
    close = difflib.get_close_matches(split, reader.splits, n=1)
    hint = f' — did you mean "{close[0]}"?' if close else ""
    raise UsageError(f'"{reader.name}" has no split "{split}"{hint} (splits: {", ".join(reader.splits)})')


def _tokenizer(tokenizer: str | os.PathLike[str] | Tokenizer) -> Tokenizer:
    return tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.load(tokenizer)


def _warn_of_contamination(problems: list[Problem], path: Path) -> None:
    count = sum(problem.task_id.lower().startswith("humaneval/") for problem in problems)
    if count:
        _log.warning(
            "contamination: %s holds the solutions of %d HumanEval tasks; a model trained on them cannot be scored "
            "on HumanEval",
            path,
            count,
        )
