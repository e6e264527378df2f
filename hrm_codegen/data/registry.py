"""Data sets by name: the built-in ones, and those that other packages announce.

A plug-in is an entry point of the group `hrm_codegen.datasets` that names a `Reader` object. Listing reads package
metadata only; a reader is imported when it is asked for. Built-in names do not depend on metadata.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import logging
from importlib import metadata
from typing import Protocol, runtime_checkable

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError, UsageError

_log = logging.getLogger("hrm_codegen.data")

GROUP = "hrm_codegen.datasets"


@runtime_checkable
class Reader(Protocol):
    """What a data set has to offer."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def description(self) -> str:
        """One line."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all its splits."""
        ...

    def load(self, *, source: str | None = None) -> dict[str, list[Problem]]:
        """Returns problems by split; `source` is a local copy to read instead of the usual place."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a data set without importing its reader.

    Attributes:
      name: What users call it.
      description: One line.
      splits: Its splits; empty for a plug-in, whose reader would have to be imported.
      distribution: The package that brings it.
    """

    name: str
    description: str
    splits: tuple[str, ...] = ()
    distribution: str = "hrm-codegen"


_BUILT_IN = (
    DatasetInfo(
        name="basics",
        description="generated Python tasks in MBPP's format, split by composition; any size, no download (built in)",
        splits=("train", "validation", "test"),
    ),
    DatasetInfo(
        name="humaneval",
        description="164 functions to complete, for evaluation only (OpenAI, MIT)",
        splits=("test",),
    ),
    DatasetInfo(
        name="mbpp",
        description="974 entry-level Python tasks with three asserts each (Google Research, CC BY 4.0)",
        splits=("train", "validation", "test", "prompt"),
    ),
)


def available() -> list[DatasetInfo]:
    """Returns all data sets, by name; imports no reader."""
    plugins = [
        DatasetInfo(name=point.name, description=_summary(point), distribution=_distribution(point))
        for point in _plugins()
    ]
    return sorted([*_BUILT_IN, *plugins], key=lambda info: info.name)


def get_reader(name: str) -> Reader:
    """Returns the reader of a data set.

    Raises:
      UsageError: No such data set.
      DatasetError: A plug-in that cannot be imported, or is no reader; names its package.
    """
    if name in _built_in_names():
        reader: Reader = importlib.import_module(f"hrm_codegen.data.readers.{name}").READER
        return reader
    for point in _plugins():
        if point.name == name:
            return _load(point)
    names = [info.name for info in available()]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f' — did you mean "{close[0]}"?' if close else ""
    raise UsageError(f'unknown data set "{name}"{hint} (available: {", ".join(names)})')


def _built_in_names() -> set[str]:
    return {info.name for info in _BUILT_IN}


def _plugins() -> list[metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=GROUP):
        if point.value.startswith("hrm_codegen."):
            continue  # our own; a stale installation may even lack them
        if point.name in _built_in_names() or point.name in found:
            _log.warning('data set "%s" of %s is hidden by another of that name', point.name, _distribution(point))
            continue
        found[point.name] = point
    return list(found.values())


def _load(point: metadata.EntryPoint) -> Reader:
    try:
        reader = point.load()
    except Exception as error:  # somebody else's code may fail in any way
        raise DatasetError(
            f'data set "{point.name}" of {_distribution(point)} cannot be imported ({point.value}): '
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(reader, Reader) or isinstance(reader, type):
        raise DatasetError(
            f'data set "{point.name}" of {_distribution(point)} ({point.value}) is no reader: '
            "expected an object with name, description, splits and load(*, source)"
        )
    return reader


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"


def _summary(point: metadata.EntryPoint) -> str:
    if point.dist is None or "Summary" not in point.dist.metadata:
        return "(no description)"
    return point.dist.metadata["Summary"]
