"""What belongs to weights that come alone: the configuration and the tokenizer in the files beside them.

Two kinds of folders: ours (`config.yaml` or `config.json` of this project) and Transformers' (`config.json` of model
type `hrm_text`, as `export hf` and `save_pretrained` write it). In the latter `config.json` decides what the model is,
and `hrm_codegen.json`, if we wrote the folder, how it was trained and how it is asked.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hrm_codegen import config as configs
from hrm_codegen.config.schema import Config, DataConfig, ModelConfig, TrainConfig
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import CheckpointError, ConfigError, DatasetError

SIDE_FILE = "hrm_codegen.json"
_CONFIG_FILES = ("config.yaml", "config.json")
_TOKENIZER = "tokenizer.json"
_LAYER = re.compile(r"model\.L_module\.layers\.(\d+)\.")
_HOW = ("scan_layers", "gradient_checkpointing", "remat_policy", "dtype")  # fields that change no result
_FINETUNING_STEPS = 1000  # a configuration must say something; a checkpoint of others does not
_LOGGER = logging.getLogger("hrm_codegen.interop")


class Beside(NamedTuple):
    """What the files beside weights add to them; the tensors may have been renamed and scaled."""

    config: Config
    tokenizer_json: str
    state_dict: dict[str, np.ndarray]
    metadata: dict[str, Any]


def read_beside(path: Path, tensors: dict[str, np.ndarray]) -> Beside:
    """Reads the files next to weights.

    Args:
      path: The weights' file.
      tensors: What is in it.

    Raises:
      CheckpointError: Files are missing or wrong, or of a model that is not ours.
    """
    config_file = next((path.with_name(name) for name in _CONFIG_FILES if path.with_name(name).is_file()), None)
    tokenizer_file = path.with_name(_TOKENIZER)
    missing = [] if config_file else [" or ".join(_CONFIG_FILES)]
    missing += [] if tokenizer_file.is_file() else [tokenizer_file.name]
    if config_file is None or missing:
        raise CheckpointError(f"{path} has weights only, and beside it there is no {', and no '.join(missing)}")
    tokenizer_json = _read(tokenizer_file)
    if config_file.suffix == ".yaml":
        return Beside(configs.load(config_file), tokenizer_json, tensors, {})
    tree = _read_json(config_file)
    if "model_type" in tree:
        return _hugging_face(config_file, tree, tokenizer_json, tensors)
    return Beside(parse_config(config_file, tree), tokenizer_json, tensors, {})


def parse_config(path: Path, tree: Mapping[str, Any]) -> Config:
    """Returns the configuration of a tree.

    Raises:
      CheckpointError: It is not one of this project's.
    """
    try:
        return configs.from_dict(tree)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its configuration is not one of hrm-codegen's: {error}") from error


def _hugging_face(path: Path, tree: Mapping[str, Any], tokenizer_json: str, tensors: dict[str, np.ndarray]) -> Beside:
    # These import jax, which models of our own do not need to be read.
    from hrm_codegen.interop.hf_config import embedding_factor, from_hf_config
    from hrm_codegen.interop.hrm_text import EMBEDDING, translate_upstream

    tensors = translate_upstream(tensors)
    layers = len({match[1] for name in tensors if (match := _LAYER.match(name))})
    model = from_hf_config(tree, place=str(path), layers=layers or None)
    side = path.with_name(SIDE_FILE)
    if side.is_file():
        config, metadata = _ours(side, model)
    else:
        config, metadata = _foreign(path, model, tokenizer_json), {}
    factor = embedding_factor(tree, place=str(path))
    if factor != 1.0 and EMBEDDING in tensors:
        _LOGGER.info("%s scales the embedding otherwise than by sqrt(D): it is multiplied by %.6g", path, factor)
        tensors[EMBEDDING] = tensors[EMBEDDING].astype(np.float32) * np.float32(factor)
    return Beside(config, tokenizer_json, tensors, metadata)


def _ours(side: Path, model: ModelConfig) -> tuple[Config, dict[str, Any]]:
    """Takes from the side file what `config.json` cannot hold, and of the model how it is computed."""
    tree = _read_json(side)
    if not isinstance(tree.get("config"), Mapping) or not isinstance(tree.get("metadata", {}), Mapping):
        raise CheckpointError(f"{side} has no usable config or metadata")
    config = parse_config(side, tree["config"])
    how = {name: getattr(config.model, name) for name in _HOW}
    model = dataclasses.replace(model, **how)
    if _resolved(config.model) != model:  # else it says the same, as its author wrote it
        config = dataclasses.replace(config, model=model)
    return config, dict(tree.get("metadata", {}))


def _resolved(model: ModelConfig) -> ModelConfig:
    return dataclasses.replace(
        model, head_dim=model.resolved_head_dim, intermediate_dim=model.resolved_intermediate_dim
    )


def _foreign(path: Path, model: ModelConfig, tokenizer_json: str) -> Config:
    """A configuration for weights of others: defaults, and the condition that HRM-Text always saw in training."""
    try:
        tokenizer = Tokenizer.from_json(tokenizer_json)
    except DatasetError as error:
        raise CheckpointError(f"{path.with_name(_TOKENIZER)}: {error}") from error
    condition = "direct" if tokenizer.is_hrm_text else ""
    return Config(
        name=_name(path.parent),
        model=model,
        data=DataConfig(seq_len=min(model.max_seq_len, DataConfig.seq_len), condition=condition),
        train=TrainConfig(num_steps=_FINETUNING_STEPS),
    )


def _name(folder: Path) -> str:
    """Returns the folder's name, or in the Hub's cache the repository's."""
    folder = folder.resolve()
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(_read(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return tree
