"""A model in one file: weights, configuration and tokenizer, inseparable.

Why: a checkpoint without its tokenizer or configuration is the most frequent complaint about small-model code. Two
containers hold the same things: `.pt`, a genuine torch file, and `.safetensors`, whose metadata has the rest as
JSON. Not a training checkpoint: optimizer state and data position are in the run's Orbax directory.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_codegen import config as configs
from hrm_codegen.config.files import atomic_write
from hrm_codegen.config.schema import Config
from hrm_codegen.errors import CheckpointError, ConfigError, UsageError
from hrm_codegen.interop.torch_file import ZIP_MAGIC, load_torch, save_torch

FORMAT = "hrm-codegen"
FORMAT_VERSION = 1
SUFFIXES = (".pt", ".safetensors")
_VERSION_KEY = "hrm_codegen_format_version"
_FIELDS = {"config": dict, "tokenizer": str, "metadata": dict, "state_dict": dict}
_CONFIG_FILES = ("config.yaml", "config.json")


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
      path: A torch file or a safetensors file of `save_bundle`, or safetensors alone with `config.yaml` or
        `config.json` (of this project) and `tokenizer.json` beside it.

    Raises:
      CheckpointError: Missing, damaged, unsafe, of another format, or of a later version of this one.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    if head.startswith((ZIP_MAGIC, b"\x80")):  # a zip, or the bare pickle of the legacy format
        return _load_torch(path)
    if head[8:] == b"{":  # safetensors: the length of a JSON header in eight bytes, then the header
        return _load_safetensors(path)
    raise CheckpointError(f"{path} is neither a torch file nor a safetensors file")


def _load_torch(path: Path) -> Bundle:
    tree = load_torch(path)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        content = f"its keys are {', '.join(map(str, tree))}" if isinstance(tree, dict) else "it is not a dict"
        raise CheckpointError(f"{path} is a torch file, but not a model of {FORMAT}: {content:.300}")
    _check_version(path, tree.get("format_version"))
    missing = [key for key, kind in _FIELDS.items() if not isinstance(tree.get(key), kind)]
    if missing:
        raise CheckpointError(f"{path} has no usable {', '.join(missing)}")
    return Bundle(
        config=_config(path, tree["config"]),
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
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            state_dict = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from error
    if _VERSION_KEY not in metadata:
        config, tokenizer_json = _beside(path)
        return Bundle(config=config, tokenizer_json=tokenizer_json, state_dict=state_dict, metadata={})
    try:
        _check_version(path, int(metadata[_VERSION_KEY]))
        return Bundle(
            config=_config(path, json.loads(metadata["config"])),
            tokenizer_json=metadata["tokenizer"],
            state_dict=state_dict,
            metadata=json.loads(metadata["metadata"]),
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} has damaged metadata: {error!r}") from error


def _beside(path: Path) -> tuple[Config, str]:
    """Reads the configuration and the tokenizer from files next to bare weights."""
    config_file = next((path.with_name(name) for name in _CONFIG_FILES if path.with_name(name).is_file()), None)
    tokenizer_file = path.with_name("tokenizer.json")
    missing = [] if config_file else [" or ".join(_CONFIG_FILES)]
    missing += [] if tokenizer_file.is_file() else [tokenizer_file.name]
    if config_file is None or missing:
        raise CheckpointError(f"{path} has weights only, and beside it there is no {', and no '.join(missing)}")
    if config_file.suffix == ".yaml":
        return configs.load(config_file), tokenizer_file.read_text(encoding="utf-8")
    try:
        tree = json.loads(config_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{config_file} is not JSON: {error}") from error
    return _config(config_file, tree), tokenizer_file.read_text(encoding="utf-8")


def _check_version(path: Path, version: Any) -> None:
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{path} has an impossible format version: {version!r}")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this release reads up to {FORMAT_VERSION}: "
            "pip install --upgrade hrm-codegen"
        )


def _config(path: Path, tree: Mapping[str, Any]) -> Config:
    try:
        return configs.from_dict(tree)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its configuration is not one of {FORMAT}'s: {error}") from error
