"""MBPP, "Mostly Basic Python Problems" (Austin et al. 2021, arXiv 2108.07732), from its official file.

Takes the full `mbpp.jsonl`, parts of it, and the hand-verified `sanitized-mbpp.json`. The split is by task id, as in
the paper's appendix.
"""

from __future__ import annotations

import dataclasses
import re

from hrm_codegen.data.download import RemoteFile, fetch
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.problems import load_problems
from hrm_codegen.errors import DatasetError

REMOTE = RemoteFile(
    dataset="mbpp",
    filename="mbpp.jsonl",
    url="https://raw.githubusercontent.com/google-research/google-research/master/mbpp/mbpp.jsonl",
    sha256="ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
    url_variable="HRM_CODEGEN_MBPP_URL",
)

_SPLITS = {"train": range(601, 975), "validation": range(511, 601), "test": range(11, 511), "prompt": range(1, 11)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MbppReader:
    """Reader of MBPP; the attributes are `registry.Reader`'s."""

    name: str = "mbpp"
    description: str = "974 entry-level Python tasks with three asserts each (Google Research, CC BY 4.0)"
    splits: tuple[str, ...] = tuple(_SPLITS)

    def load(self, *, source: str | None = None) -> dict[str, list[Problem]]:
        """Returns the problems of each split, in the order of the file.

        Args:
          source: A local copy; None: the official file, downloaded once.

        Raises:
          DatasetError: No network, or a row that is none of MBPP's.
        """
        path = fetch(REMOTE) if source is None else source
        by_split: dict[str, list[Problem]] = {split: [] for split in self.splits}
        for row, problem in enumerate(load_problems(path), start=1):
            number = re.fullmatch(r"(?:mbpp/)?(\d+)", problem.task_id, re.IGNORECASE)
            split = next((name for name, ids in _SPLITS.items() if number and int(number[1]) in ids), None)
            if number is None or split is None:
                raise DatasetError(
                    f'row {row} has the task_id "{problem.task_id}", MBPP has 1 to 974 ({path}); '
                    "other problems are converted by `hrm-codegen data convert SRC DST`"
                )
            by_split[split].append(
                dataclasses.replace(problem, task_id=f"mbpp/{int(number[1])}", source="mbpp", split=split)
            )
        return by_split


READER = MbppReader()
