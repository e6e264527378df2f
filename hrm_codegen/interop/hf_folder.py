"""A model as a folder that `AutoModelForCausalLM` and `AutoTokenizer` load, and that comes back as it was.

Why a folder: that is what Transformers, vLLM, llama.cpp's converter and the Hub take. Beside their files it has
`hrm_codegen.json`, which keeps what theirs cannot hold. Models that are no `hrm_text` (other cores) can be written in
this project's own format, for the Hub; nothing else reads those.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_codegen import config as configs
from hrm_codegen.config import Config
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import UsageError
from hrm_codegen.interop.beside import SIDE_FILE
from hrm_codegen.interop.bundle import FORMAT_VERSION, Bundle, normalize, save_bundle
from hrm_codegen.interop.card import model_card
from hrm_codegen.interop.hf_config import to_hf_config, why_not_hrm_text
from hrm_codegen.interop.hf_tokenizer import generation_config, tokenizer_files
from hrm_codegen.interop.hrm_text import hash_state_dict

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
GENERATION = "generation_config.json"
CARD = "README.md"
_FILES = {WEIGHTS, CONFIG, GENERATION, CARD, SIDE_FILE, "tokenizer.json", "tokenizer_config.json"}


def write_folder(
    folder: str | os.PathLike[str],
    bundle: Bundle,
    *,
    report: Mapping[str, Any] | None = None,
    repo_id: str | None = None,
    license: str = "apache-2.0",
    allow_native: bool = False,
) -> None:
    """Writes a model as a Transformers folder, whole or not at all.

    Args:
      folder: Made if it is not there; an earlier export is replaced, anything else in the way is an error.
      bundle: The model.
      report: An evaluation's `report.json`, for the model card.
      repo_id: The name that the card's examples use; None: the folder's.
      license: Of the weights, an SPDX name.
      allow_native: Write a model that is no `hrm_text` in this project's format instead of refusing it.

    Raises:
      UsageError: The model is no `hrm_text`, the folder is in use, or the report is of other weights.
      CheckpointError: The tensors do not fit the configuration.
    """
    target = Path(folder)
    reason = why_not_hrm_text(bundle.config.model)
    if reason is not None and not allow_native:
        raise UsageError(f"export hf: {reason}. export safetensors or torch keep this model as it is")
    _check_free(target)
    bundle = normalize(dataclasses.replace(bundle, config=_without_places(bundle.config)))
    _check_report(report, bundle)
    tokenizer = Tokenizer.from_json(bundle.tokenizer_json)
    card = model_card(
        bundle.config,
        bundle.metadata,
        num_params=sum(math.prod(a.shape) for name, a in bundle.state_dict.items() if name != "model.z_L_init"),
        repo_id=repo_id or target.name,
        report=report,
        license=license,
        exports_to_transformers=reason is None,
    )
    with _replacing(target) as staging:
        if reason is None:
            _write_transformers(staging, bundle, tokenizer)
        else:
            save_bundle(staging / WEIGHTS, bundle)
            _write_json(staging / CONFIG, configs.to_dict(bundle.config))
            _write_json(staging / "tokenizer.json", json.loads(bundle.tokenizer_json))
        _write_json(
            staging / SIDE_FILE,
            {
                "format_version": FORMAT_VERSION,
                "config": configs.to_dict(bundle.config),
                "metadata": bundle.metadata,
            },
        )
        (staging / CARD).write_text(card, encoding="utf-8")


def _write_transformers(staging: Path, bundle: Bundle, tokenizer: Tokenizer) -> None:
    import safetensors.numpy

    ids = {"pad_id": tokenizer.pad_id, "boq_id": tokenizer.boq_id, "eoa_id": tokenizer.eoa_id}
    files = {
        CONFIG: to_hf_config(bundle.config, **ids),
        GENERATION: generation_config(tokenizer, bundle.config),
        **tokenizer_files(tokenizer, bundle.config),
    }
    for name, tree in files.items():
        _write_json(staging / name, tree)
    tensors = {name: np.ascontiguousarray(array) for name, array in _as_hrm(bundle).items()}
    safetensors.numpy.save_file(tensors, staging / WEIGHTS, metadata={"format": "pt"})


def _as_hrm(bundle: Bundle) -> Mapping[str, np.ndarray]:
    """Returns the tensors of the core `hrm`; a `trm` has one stack, which plays both roles."""
    if bundle.config.model.core != "trm":
        return bundle.state_dict
    tensors: dict[str, np.ndarray] = {}
    for name, array in bundle.state_dict.items():
        for stack in ("L", "H"):
            tensors[name.replace("model.module.", f"model.{stack}_module.")] = array
    return tensors


def _write_json(path: Path, tree: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _without_places(config: Config) -> Config:
    """Leaves out where things were on the machine of the training: the folder is made to be given away."""

    def name(path: str | None) -> str | None:
        return Path(path).name if path is not None and Path(path).is_absolute() else path

    data, train = config.data, config.train
    data = dataclasses.replace(
        data, train=name(data.train), eval=name(data.eval), tokenizer=name(data.tokenizer) or data.tokenizer
    )
    return dataclasses.replace(config, data=data, train=dataclasses.replace(train, out_dir=name(train.out_dir)))


def _check_report(report: Mapping[str, Any] | None, bundle: Bundle) -> None:
    """Refuses to publish the scores of another model."""
    scored = (report or {}).get("model", {}).get("sha256")
    own = hash_state_dict(bundle.state_dict)
    if scored is not None and scored != own:
        raise UsageError(f"the report is of other weights (sha256 {scored:.12}) than these ({own:.12})")


def _check_free(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file, and a Transformers model is a folder: name another with -o")
    foreign = sorted({path.name for path in target.iterdir()} - _FILES) if target.is_dir() else []
    if foreign:
        raise UsageError(
            f"{target} has files of something else in it ({', '.join(foreign)}): name another folder with -o"
        )


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yields a new folder that takes the place of `target` at the end; on an error `target` is as it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    old = staging.with_name(staging.name + ".old")
    try:
        yield staging
        os.chmod(staging, 0o755)
        if target.exists():
            os.replace(target, old)
        os.replace(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
