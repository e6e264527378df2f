"""A model in one file: weights, configuration and tokenizer, inseparable.

Why: a checkpoint without its tokenizer or configuration is the most frequent complaint about small-model code. Two
containers hold the same things: `.pt`, a genuine torch file, and `.safetensors`, whose metadata has the rest as
JSON. Not a training checkpoint: optimizer state and data position are in the run's Orbax directory.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hrm_codegen import config as configs
from hrm_codegen.config.files import atomic_write
from hrm_codegen.config.schema import Config
from hrm_codegen.errors import CheckpointError, UsageError
from hrm_codegen.interop.beside import parse_config, read_beside
from hrm_codegen.interop.torch_file import load_torch, save_torch
from hrm_codegen.interop.weights import (
    INDEX_SUFFIX,
    is_safetensors,
    is_torch,
    read_head,
    read_safetensors,
    read_shards,
    state_dict_in,
)

FORMAT = "hrm-codegen"
FORMAT_VERSION = 1
SUFFIXES = (".pt", ".safetensors")
_VERSION_KEY = "hrm_codegen_format_version"
_FIELDS = {"config": dict, "tokenizer": str, "metadata": dict, "state_dict": dict}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """What one file holds.

    Attributes:
      config: The resolved configuration of the run.
      tokenizer_json: The tokenizer, whole (`Tokenizer.to_json`).
      state_dict: Weights under `hrm_text` names; after loading possibly read-only and mapped from the file.
      metadata: Plain, JSON-able facts: step, losses, the code's version.
    """

    config: Config
    tokenizer_json: str
    state_dict: dict[str, np.ndarray]
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


def save_bundle(path: str | os.PathLike[str], bundle: Bundle) -> None:
    """Writes a bundle, whole or not at all.

    Args:
      path: Its suffix chooses the container: `.pt` or `.safetensors`.
      bundle: What to write.

    Raises:
      UsageError: Another suffix.
    """
    path = Path(path)
    if path.suffix == ".pt":
        save_torch(
            path,
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "config": configs.to_dict(bundle.config),
                "tokenizer": bundle.tokenizer_json,
                "metadata": bundle.metadata,
                "state_dict": bundle.state_dict,
            },
        )
    elif path.suffix == ".safetensors":
        _save_safetensors(path, bundle)
    else:
        raise UsageError(f"cannot save a model as {path.name!r}: its suffix must be {' or '.join(SUFFIXES)}")


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Reads a bundle, whatever the file is called.

    Args:
      path: A torch file or a safetensors file of `save_bundle`; or weights alone (safetensors, a torch state dict, or
        the `.index.json` of either in shards), with `config.yaml` or `config.json`, of this project or of
        Transformers' `hrm_text`, and `tokenizer.json` beside them.

    Raises:
      CheckpointError: Missing, damaged, unsafe, of another format, or of a later version of this one.
    """
    path = Path(path)
    if path.name.endswith(INDEX_SUFFIX):
        return Bundle(**read_beside(path, read_shards(path))._asdict())
    head = read_head(path)
    if is_safetensors(head):  # first: the length of its header may begin with the byte that begins a pickle
        return _load_safetensors(path)
    if is_torch(head):
        return _load_torch(path)
    raise CheckpointError(f"{path} is neither a torch file nor a safetensors file")


def normalize(bundle: Bundle) -> Bundle:
    """Returns the same model with packed names and float32 tensors, whatever the layout and type it came in.

    Raises:
      CheckpointError: The tensors do not fit the configuration.
    """
    from hrm_codegen.interop.hrm_text import from_state_dict, to_state_dict  # these import jax

    model = bundle.config.model
    return dataclasses.replace(bundle, state_dict=to_state_dict(model, from_state_dict(model, bundle.state_dict)))


def _load_torch(path: Path) -> Bundle:
    tree = load_torch(path)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        tensors = state_dict_in(tree)
        if tensors is not None:
            return Bundle(**read_beside(path, tensors)._asdict())
        content = f"its keys are {', '.join(map(str, tree))}" if isinstance(tree, dict) else "it is not a dict"
        raise CheckpointError(f"{path} is a torch file, but not a model of {FORMAT}: {content:.300}")
    _check_version(path, tree.get("format_version"))
    missing = [key for key, kind in _FIELDS.items() if not isinstance(tree.get(key), kind)]
    if missing:
        raise CheckpointError(f"{path} has no usable {', '.join(missing)}")
    return Bundle(
        config=parse_config(path, tree["config"]),
        tokenizer_json=tree["tokenizer"],
        state_dict=tree["state_dict"],
        metadata=tree["metadata"],
    )


def _save_safetensors(path: Path, bundle: Bundle) -> None:
    import safetensors.numpy

    metadata = {
        "format": "pt",  # Transformers refuses safetensors files that do not say so
        _VERSION_KEY: str(FORMAT_VERSION),
        "config": json.dumps(configs.to_dict(bundle.config)),
        "tokenizer": bundle.tokenizer_json,
        "metadata": json.dumps(bundle.metadata),
    }
    tensors = {name: np.ascontiguousarray(array) for name, array in bundle.state_dict.items()}
    with atomic_write(path, "wb") as file:
        file.write(safetensors.numpy.save(tensors, metadata))


def _load_safetensors(path: Path) -> Bundle:
    state_dict, metadata = read_safetensors(path)
    if _VERSION_KEY not in metadata:
        return Bundle(**read_beside(path, state_dict)._asdict())
    try:
        _check_version(path, int(metadata[_VERSION_KEY]))
        return Bundle(
            config=parse_config(path, json.loads(metadata["config"])),
            tokenizer_json=metadata["tokenizer"],
            state_dict=state_dict,
            metadata=json.loads(metadata["metadata"]),
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} has damaged metadata: {error!r}") from error


def _check_version(path: Path, version: Any) -> None:
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{path} has an impossible format version: {version!r}")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this release reads up to {FORMAT_VERSION}: "
            "pip install --upgrade hrm-codegen"
        )
