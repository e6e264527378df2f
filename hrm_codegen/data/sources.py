"""Problems by whatever a user calls them: a file, a data set's name, or `NAME/SPLIT`.

For commands that look at problems. Those that tokenize a data set go by its reader (`preparation.py`).
"""

from __future__ import annotations

from pathlib import Path

from hrm_codegen.data.problem import Problem
from hrm_codegen.data.problems import load_problems
from hrm_codegen.data.registry import available, get_reader
from hrm_codegen.errors import DatasetError


def find_problems(source: str, *, split: str | None = None) -> list[Problem]:
    """Loads the problems of a source.

    Args:
      source: A file, `NAME` or `NAME/SPLIT`.
      split: The split of a plain `NAME`; None: all of them.

    Raises:
      DatasetError: It is neither a file nor a data set, or the data set has no such split.
    """
    if Path(source).exists():
        return load_problems(source)
    name, _, chosen = source.partition("/")
    names = [info.name for info in available()]
    if name not in names:
        raise DatasetError(f"no file {source}, and no data set of that name (there are: {', '.join(names)})")
    wanted = chosen or split
    by_split = get_reader(name).load()
    if wanted is None:
        return [problem for problems in by_split.values() for problem in problems]
    if wanted not in by_split:
        raise DatasetError(f"{name} has no split {wanted} (there are: {', '.join(by_split)})")
    return by_split[wanted]
