"""Full-state checkpoints of a run: a thin layer over Orbax's v1 `Checkpointer`.

A checkpoint is a numbered folder with the train state and a JSON object: config, tokenizer hash, progress, and the
position of the data, which is that of all processes and so holds for any number of them. Orbax writes it aside and
commits it at the end, so a killed process leaves no half checkpoint; one that was damaged later is skipped with a
warning. Not the shipped model: that is `best.pt`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

from hrm_codegen.errors import CheckpointError

_log = logging.getLogger("hrm_codegen.training")


class Restored(NamedTuple):
    """What `CheckpointStore.restore` found.

    Attributes:
      step: The checkpoint's number.
      state: The train state, placed as the abstract state asked.
      info: The JSON object that was saved with it.
    """

    step: int
    state: Any
    info: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one run; a context manager, because saving goes on in the background.

    Args:
      directory: Made at the first save; relative paths are resolved (Orbax wants absolute ones).
      keep: How many of the latest checkpoints survive.
    """

    def __init__(self, directory: str | Path, *, keep: int):
        policy = ocp.training.preservation_policies.LatestN(keep)
        self.directory = Path(directory).resolve()
        self._orbax = ocp.training.Checkpointer(
            self.directory, preservation_policy=policy, cleanup_tmp_directories=True
        )
        self._saving: Any = None

    def __enter__(self) -> CheckpointStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def steps(self) -> list[int]:
        """Numbers of the committed checkpoints, ascending."""
        return sorted(checkpoint.step for checkpoint in self._orbax.checkpoints)

    @property
    def latest(self) -> int | None:
        """The highest of `steps`."""
        return max(self.steps, default=None)

    def save(self, step: int, state: Any, data: Any, info: Mapping[str, Any]) -> None:
        """Saves in the background; the arguments are captured before this returns.

        Args:
          step: The checkpoint's number; an existing one is replaced.
          state: Pytree of arrays.
          data: An iterator with `get_state`, JSON-able and the same in every process, and `set_state`.
          info: JSON-able, not empty.

        Raises:
          CheckpointError: This or the previous checkpoint could not be written.
        """
        with _as_checkpoint_error(f'could not write a checkpoint in "{self.directory}"'):
            self.wait()
            self._saving = self._orbax.save_checkpointables_async(
                step, {"state": state}, force=True, overwrite=True,
                custom_metadata={"info": dict(info), "data": data.get_state()},
            )  # fmt: skip

    def wait(self) -> None:
        """Returns when the last save is on disk."""
        if self._saving is not None:
            self._saving, saving = None, self._saving
            saving.result()

    def info(self, step: int) -> dict[str, Any]:
        """Returns the JSON object of a checkpoint, or raises ValueError where it was lost."""
        return dict(self._metadata(step)["info"])

    def _metadata(self, step: int) -> dict[str, Any]:
        metadata = self._orbax.checkpointables_metadata(step).custom_metadata
        if not metadata or not {"info", "data"} <= metadata.keys():
            raise ValueError("its metadata is missing, or of an earlier version")
        return dict(metadata)

    def restore(
        self, abstract_state: Any, data: Any, *, check: Callable[[dict[str, Any]], None] = lambda info: None
    ) -> Restored:
        """Loads the latest checkpoint that can be read.

        Args:
          abstract_state: Tree of `jax.ShapeDtypeStruct` with the shardings wanted now, of any mesh.
          data: A fresh iterator, put to the saved position in place.
          check: Called with the JSON object before the arrays are read; raises `CheckpointError` if they cannot fit.

        Raises:
          CheckpointError: There is none, or `check` said so.
        """
        for step in reversed(self.steps):
            try:
                metadata = self._metadata(step)
                check(metadata["info"])
                loaded = self._orbax.load_checkpointables(step, {"state": abstract_state})
                data.set_state(metadata["data"])
            except CheckpointError:
                raise
            except Exception as error:  # Orbax, TensorStore and JSON each have their own.
                _log.warning(
                    "checkpoint %d in %s cannot be read, trying an earlier one (%s)", step, self.directory, error
                )
                continue
            return Restored(step, loaded["state"], metadata["info"])
        raise CheckpointError(
            f'no readable checkpoint in "{self.directory}" (found: {self.steps or "none"}); '
            "start afresh without --resume and with another --out"
        )

    def close(self) -> None:
        """Waits for the last save and ends Orbax's threads."""
        with _as_checkpoint_error(f'could not write a checkpoint in "{self.directory}"'):
            self.wait()
            self._orbax.close()


def abstract(tree: Any, shardings: Any) -> Any:
    """Returns `tree` as shapes with the given shardings, the form that `restore` wants."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree, shardings
    )


@contextlib.contextmanager
def _as_checkpoint_error(message: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # A full disk, a read-only folder.
        raise CheckpointError(f"{message}: {error}") from error
