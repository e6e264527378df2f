"""Tensors out of files: safetensors, torch state dicts, and either of them in shards.

Why apart from `bundle.py`: weights of other programs come without our configuration, in several files, and under names
of their own containers. Here they become one mapping of names to arrays; what model they belong to is told by the
files beside them (`beside.py`). Nothing is converted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_codegen.errors import CheckpointError
from hrm_codegen.interop.torch_file import ZIP_MAGIC, load_torch

INDEX_SUFFIX = ".index.json"
_INSIDE = ("state_dict", "model_state_dict", "model")  # where training programs put their weights
_MOST_LISTED = 5


def is_torch(head: bytes) -> bool:
    """Says whether a file begins as torch's do: a zip, or the bare pickle of the legacy format."""
    return head.startswith((ZIP_MAGIC, b"\x80"))


def is_safetensors(head: bytes) -> bool:
    """Says whether nine bytes begin a safetensors file: the length of a JSON header, then the header."""
    return head[8:9] == b"{"


def read_head(path: Path) -> bytes:
    """Returns the first nine bytes of a file.

    Raises:
      CheckpointError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the tensors of a file, bfloat16 as `ml_dtypes.bfloat16`, and its metadata.

    Raises:
      CheckpointError: Damaged, cut short, or of a type that numpy cannot hold.
    """
    import ml_dtypes  # noqa: F401 (teaches numpy bfloat16)
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from error
    except (TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a tensor of a type that is not supported: {error}") from error


def read_shards(index: Path) -> dict[str, np.ndarray]:
    """Reads the shards that an index names, all in its folder.

    Raises:
      CheckpointError: A broken index, shards that are not there, or shards without the tensors they should have.
    """
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {
            str(shard): {name for name in weight_map if weight_map[name] == shard} for shard in weight_map.values()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not the index of a sharded checkpoint: {error!r}") from error
    outside = [shard for shard in shards if Path(shard).name != shard]
    if outside:
        raise CheckpointError(f"{index} names files of other folders: {', '.join(outside[:_MOST_LISTED])}")
    missing = sorted(shard for shard in shards if not index.with_name(shard).is_file())
    if missing:
        raise CheckpointError(
            f"{index} names {len(shards)} files, of which {len(missing)} are not beside it: "
            f"{', '.join(missing[:_MOST_LISTED])}. Download or copy them again"
        )
    tensors: dict[str, np.ndarray] = {}
    for shard, names in sorted(shards.items()):
        found = _read_one(index.with_name(shard))
        absent = sorted(names - found.keys())
        if absent:
            raise CheckpointError(
                f"{shard} lacks tensors that {index} places there: {', '.join(absent[:_MOST_LISTED])}"
            )
        tensors |= found
    return tensors


def state_dict_in(tree: Any) -> dict[str, np.ndarray] | None:
    """Returns the state dict that an unpickled tree is, or has where training programs put it; None if neither."""
    if not isinstance(tree, Mapping):
        return None
    for candidate in (tree, *(tree[name] for name in _INSIDE if name in tree)):
        if isinstance(candidate, Mapping) and candidate and all(isinstance(v, np.ndarray) for v in candidate.values()):
            return {str(name): array for name, array in candidate.items()}
    return None


def _read_one(path: Path) -> dict[str, np.ndarray]:
    head = read_head(path)
    if is_torch(head) and not is_safetensors(head):
        tensors = state_dict_in(load_torch(path))
        if tensors is None:
            raise CheckpointError(f"{path} is a torch file without a state dict")
        return tensors
    return read_safetensors(path)[0]
