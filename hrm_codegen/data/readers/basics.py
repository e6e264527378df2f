"""The embedded default data set as a reader: nothing is downloaded or read, everything is generated."""

from __future__ import annotations

import dataclasses

from hrm_codegen.data.basics import generate
from hrm_codegen.data.basics.suite import EVAL_SIZE, TRAIN_SIZE
from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import DatasetError


@dataclasses.dataclass(frozen=True, kw_only=True)
class BasicsReader:
    """Reader of `basics`; the attributes are `registry.Reader`'s."""

    name: str = "basics"
    description: str = "generated Python tasks in MBPP's format, split by composition; any size, no download (built in)"
    splits: tuple[str, ...] = ("train", "validation", "test")

    def load(
        self, *, source: str | None = None, train_size: int = TRAIN_SIZE, eval_size: int = EVAL_SIZE, seed: int = 0
    ) -> dict[str, list[Problem]]:
        """Returns the problems of each split; by default those of `basics-v1`.

        Args:
          source: Must be None, as there is no file.
          train_size: Problems in the training split; validation and test do not depend on it.
          eval_size: Problems each in validation and test.
          seed: Another seed is another suite, with other held-out compositions.

        Raises:
          DatasetError: A source is given.
          UsageError: A size is negative or no whole number.
        """
        if source is not None:
            raise DatasetError(
                f'basics is generated and reads no file, got the source "{source}"; leave the source out, or convert '
                "your own problems by `hrm-codegen data convert SRC DST`"
            )
        return generate(train_size=train_size, eval_size=eval_size, seed=seed)


READER = BasicsReader()
