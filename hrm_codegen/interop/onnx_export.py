"""ONNX export: a model as two self-contained graphs, checked against JAX before they get their names.

Why two: `model.onnx` maps whole sequences to logits, which is all that scoring needs; `model_with_past.onnx` takes and
returns keys and values under Optimum's names, so that one graph reads prompts (no past) and decodes (one token at a
time). Both are made by torch's exporter from `torch_model`. Not a runtime: run them with onnxruntime. Needs the extra
`export`; torch and onnx are imported inside functions only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hrm_codegen import config as configs
from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.errors import CheckpointError, MissingExtraError, UsageError
from hrm_codegen.interop import onnx_check
from hrm_codegen.interop.bundle import FORMAT, FORMAT_VERSION, Bundle
from hrm_codegen.interop.hrm_text import from_state_dict, hash_state_dict, to_state_dict
from hrm_codegen.version import __version__

if TYPE_CHECKING:
    from hrm_codegen.interop.torch_model import TorchHRM

OPSETS = range(18, 24)  # below 18 torch's exporter has no operators; above 23 runtimes of 2025 have none
TOLERANCE = 1e-3
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
_LOGGERS = ("torch", "torch.onnx", "torch.export", "onnxscript", "onnx_ir")
# Protobuf cannot hold 2 GB; the margin is for the tokenizer and the nodes.
_SINGLE_FILE_BYTES = 1_500_000_000
_LOGGER = logging.getLogger("hrm_codegen.interop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxReport:
    """What an export wrote and how well it agrees.

    Attributes:
      path: The plain graph.
      with_past_path: The graph with keys and values.
      data_paths: Files that hold their weights, if these are too large to be inside.
      opset: Version of ONNX's operators.
      max_abs_diff: Largest difference of a logit between onnxruntime and JAX, plain graph.
      cached_max_abs_diff: The same with past.
      num_bytes: Size of all files together.
      seconds: Time taken, checks included.
    """

    path: Path
    with_past_path: Path
    data_paths: tuple[Path, ...]
    opset: int
    max_abs_diff: float
    cached_max_abs_diff: float
    num_bytes: int
    seconds: float


def export_onnx(bundle: Bundle, path: str | os.PathLike[str], *, opset: int = 18) -> OnnxReport:
    """Writes `<stem>.onnx` and `<stem>_with_past.onnx`, both or neither.

    Inputs are int64: `input_ids` [B, T], `attention_mask` [B, T] (1: a real token), `token_type_ids` [B, T] (1: a
    prompt's token), and with past `attention_mask` [B, S + T], `position_ids` [B, T] and for each pass and layer
    `past_key_values.{i}.key` and `.value` [B, N, S, H], S = 0 for a prompt. Outputs: `logits` [B, T, V] and
    `present.{i}.key` and `.value`. Everything is float32. Metadata of the model: `config`, `tokenizer` (both JSON),
    `format`, `format_version`, `source_sha256` (the hash of `HRMCodeGen.sha256`).

    Args:
      bundle: The model.
      path: A name that ends in `.onnx`. Large weights go to `<file>.data` beside each graph.
      opset: From 18 to 23.

    Raises:
      UsageError: Another opset or suffix.
      MissingExtraError: torch, onnx, onnxscript or onnxruntime is not installed.
      CheckpointError: The weights do not fit the configuration, or onnxruntime and JAX disagree by more than 1e-3.
    """
    start = time.monotonic()
    path = Path(path)
    if opset not in OPSETS:
        raise UsageError(f"opset {opset} is not supported: choose one from {OPSETS[0]} to {OPSETS[-1]}")
    if path.suffix != ".onnx":
        raise UsageError(f"cannot export ONNX as {path.name!r}: its suffix must be .onnx")
    _require_packages()
    from hrm_codegen.interop.torch_model import TorchHRM

    config = bundle.config.model
    params = from_state_dict(config, bundle.state_dict)
    state_dict = to_state_dict(config, params)
    facts = _facts(bundle, state_dict)
    model = TorchHRM.from_state_dict(config, state_dict)
    sample = onnx_check.draw_sample(config, params)
    names = (path.name, f"{path.stem}_with_past.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    # A graph names its data file, so that files keep their names and change folders, and are tried before they do.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        plain, with_past = (Path(folder, name) for name in names)
        with _quiet():
            _write(model, plain, cached=False, opset=opset, facts=facts)
            _write(model, with_past, cached=True, opset=opset, facts=facts)
        diff = onnx_check.plain_difference(plain, sample)
        cached_diff = onnx_check.cached_difference(with_past, sample, config)
        worst = np.max([diff, cached_diff])  # NaN if one of them is
        if not worst <= TOLERANCE:
            raise CheckpointError(
                f"onnxruntime and JAX disagree by {worst:.1e} (allowed: {TOLERANCE:g}); nothing was written to {path}"
            )
        written = _publish(Path(folder), path.parent, last=names)
    return OnnxReport(
        path=path,
        with_past_path=path.with_name(names[1]),
        data_paths=tuple(file for file in written if file.suffix == ".data"),
        opset=opset,
        max_abs_diff=diff,
        cached_max_abs_diff=cached_diff,
        num_bytes=sum(file.stat().st_size for file in written),
        seconds=time.monotonic() - start,
    )


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"'export onnx' needs {', '.join(missing)} — pip install \"hrm-codegen[export]\"")


def _facts(bundle: Bundle, state_dict: Mapping[str, np.ndarray]) -> dict[str, str]:
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(configs.to_dict(bundle.config)),
        "tokenizer": bundle.tokenizer_json,
        "metadata": json.dumps(bundle.metadata),
        "source_sha256": hash_state_dict(state_dict),
    }


def _write(model: TorchHRM, path: Path, *, cached: bool, opset: int, facts: Mapping[str, str]) -> None:
    """Traces one of the graphs and writes it."""
    import torch
    from onnx_ir.passes import common
    from onnxscript import optimizer

    arguments = _arguments(model.config, cached=cached)
    with torch.no_grad():
        program = torch.onnx.export(
            model,
            tuple(arguments.values()),
            dynamo=True,
            opset_version=opset,
            input_names=_flat_names(model.config, arguments, "past_key_values"),
            output_names=["logits", *(_slot_names(model.config, "present") if cached else [])],
            dynamic_shapes=tuple(_dynamic_shapes(model.config, cached=cached)),
            optimize=False,
            verbose=False,
        )
    graph = program.model
    # Every pass transposes the same weights anew. First one Transpose for all of them, then no folding of it: folded
    # weights would be copies, lose their names, and in the exporter's own order be stored once a pass.
    common.CommonSubexpressionEliminationPass()(graph)
    optimizer.optimize_ir(graph, should_fold=lambda node: False if node.op_type == "Transpose" else None)
    common.ClearMetadataAndDocStringPass()(graph)  # stack traces with the paths of this machine
    graph.metadata_props.update(facts)
    graph.producer_name, graph.producer_version = FORMAT, __version__
    num_bytes = sum(value.const_value.nbytes for value in graph.graph.initializers.values())
    program.save(path, external_data=num_bytes > _SINGLE_FILE_BYTES)
    _LOGGER.info("traced %s: %d nodes, %.1f MB of weights", path.name, len(graph.graph), num_bytes / 1e6)


def _arguments(config: ModelConfig, *, cached: bool) -> dict[str, Any]:
    """Example inputs. No size is 0 or 1, which the tracer would take for constants."""
    import torch

    from hrm_codegen.interop.torch_model import num_slots

    batch, length, past = 2, 3, 4 if cached else 0
    ids = torch.zeros(batch, length, dtype=torch.int64)
    arguments: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": torch.ones(batch, past + length, dtype=torch.int64),
        "token_type_ids": ids.clone(),
    }
    if cached:
        shape = (batch, config.num_heads, past, config.resolved_head_dim)
        arguments["position_ids"] = ids.clone()
        arguments["past"] = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(num_slots(config))]
    return arguments


def _dynamic_shapes(config: ModelConfig, *, cached: bool) -> list[Any]:
    from hrm_codegen.interop.torch_model import num_slots

    tokens = {0: "batch_size", 1: "sequence_length"}
    if not cached:
        return [tokens, tokens, tokens]
    pair = {0: "batch_size", 2: "past_sequence_length"}
    mask = {0: "batch_size", 1: "total_sequence_length"}
    return [tokens, mask, tokens, tokens, [(pair, pair)] * num_slots(config)]


def _flat_names(config: ModelConfig, arguments: Mapping[str, Any], slots: str) -> list[str]:
    names = [name for name in arguments if name != "past"]
    return names + (_slot_names(config, slots) if "past" in arguments else [])


def _slot_names(config: ModelConfig, prefix: str) -> list[str]:
    from hrm_codegen.interop.torch_model import num_slots

    return [f"{prefix}.{slot}.{kind}" for slot in range(num_slots(config)) for kind in ("key", "value")]


def _publish(folder: Path, target: Path, *, last: tuple[str, ...]) -> list[Path]:
    """Moves finished files from `folder` to `target`, weights before the graphs that name them."""
    names = [file.name for file in folder.iterdir() if file.name not in last]
    moved = []
    for name in [*names, *reversed(last)]:
        with (folder / name).open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(folder / name, target / name)
        moved.append(target / name)
    return moved


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torch's exporter says about itself; errors still come as exceptions."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
