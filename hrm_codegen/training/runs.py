"""Where a run lives on disk, and which run `resume` means.

    <run_dir>/config.yaml      the resolved configuration
    <run_dir>/metrics.jsonl    one object a line
    <run_dir>/state/<step>/    full-state checkpoints (Orbax)
    <run_dir>/best.pt          the best weights so far, with config and tokenizer

`run_dir` is `train.out_dir`, or `checkpoints/<run_name>`; in the second case `best.pt` is also copied to
`checkpoints/best.pt`, where other commands look for the last run's result.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path
from typing import Literal

from hrm_codegen.config import Config
from hrm_codegen.config.files import atomic_write
from hrm_codegen.errors import CheckpointError

ROOT = Path("checkpoints")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunPaths:
    """The files of one run.

    Attributes:
      run_dir: Its folder.
      published: Where else `best.pt` goes; None: nowhere.
    """

    run_dir: Path
    published: Path | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.run_dir.resolve().name

    @property
    def state(self) -> Path:
        """Folder of the full-state checkpoints."""
        return self.run_dir / "state"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.run_dir / "config.yaml"

    @property
    def metrics(self) -> Path:
        """The metrics."""
        return self.run_dir / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """The best weights."""
        return self.run_dir / "best.pt"

    def last_step(self) -> int | None:
        """Returns the number of the newest checkpoint, without opening it."""
        if not self.state.is_dir():
            return None
        return max((int(path.name) for path in self.state.iterdir() if path.name.isdecimal()), default=None)

    def publish(self) -> None:
        """Copies `best.pt` to `published`, whole or not at all."""
        if self.published is not None:
            with open(self.best, "rb") as source, atomic_write(self.published, "wb") as target:
                shutil.copyfileobj(source, target)


def new_run(config: Config) -> RunPaths:
    """Returns the place for a fresh run.

    Raises:
      CheckpointError: It holds a run already.
    """
    paths = _named(config) or _numbered(config, max(_numbers(config), default=0) + 1)
    step = paths.last_step()
    if step is not None:
        raise CheckpointError(
            f'"{paths.run_dir}" holds a run at step {step}: --resume continues it, or choose another --out'
        )
    return paths


def find_run(config: Config, resume: Literal[True] | str | os.PathLike[str]) -> RunPaths:
    """Returns the run to continue.

    Args:
      config: Of the run, if `resume` is True: its `out_dir` or `run_name`, else the newest run of its name.
      resume: True, or the run's folder (or a file in it, or one of its checkpoints).

    Raises:
      CheckpointError: There is no such run, or it has no checkpoint.
    """
    named = _named(config)
    if not isinstance(resume, bool):
        path = Path(resume).absolute()
        candidates = [_at(folder, config) for folder in (path, *path.parents)[:3]]  # <run>/state/<step> is the deepest
        looked = str(resume)
    elif named is not None:
        candidates, looked = [named], str(named.run_dir)
    else:
        candidates = [_numbered(config, number) for number in reversed(_numbers(config))]
        looked = str(ROOT / f"{config.name}-*")
    for paths in candidates:
        if paths.last_step() is not None:
            return paths
    raise CheckpointError(
        f'nothing to resume: no checkpoint in "{looked}"; train without --resume, or give --resume the run\'s folder'
    )


def _named(config: Config) -> RunPaths | None:
    if config.train.out_dir is not None:
        return RunPaths(run_dir=Path(config.train.out_dir))
    if config.train.run_name is not None:
        return _at(ROOT / config.train.run_name, config)
    return None


def _numbered(config: Config, number: int) -> RunPaths:
    return _at(ROOT / f"{config.name}-{number}", config)


def _at(run_dir: Path, config: Config) -> RunPaths:
    is_default = config.train.out_dir is None and run_dir.absolute().parent == ROOT.absolute()
    return RunPaths(run_dir=run_dir, published=ROOT / "best.pt" if is_default else None)


def _numbers(config: Config) -> list[int]:
    """Returns the numbers of the existing runs of this name, ascending."""
    pattern = re.compile(re.escape(config.name) + r"-(\d+)")
    matches = (pattern.fullmatch(path.name) for path in ROOT.iterdir()) if ROOT.is_dir() else ()
    return sorted(int(match[1]) for match in matches if match)
