"""From a name to a model of Transformers and the way to ask it.

Why: Transformers raises errors of every kind, with advice for its own users; a front door needs one line. No code from
a repository is ever run (`trust_remote_code` stays off). Not for training: weights come in float32 on a CPU and in
the checkpoint's own type on accelerators, without dropout.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hrm_codegen.baselines.names import Source
from hrm_codegen.baselines.protocols import HrmTextProtocol, PromptProtocol, TextProtocol
from hrm_codegen.config.schema import Config
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import CheckpointError, DatasetError, DeviceError, HRMCodeGenError, ModelNotFoundError
from hrm_codegen.interop.beside import read_beside

_DEVICES = {"cuda": "cuda", "gpu": "cuda", "rocm": "cuda", "mps": "mps", "cpu": "cpu"}
_FALLBACK_VARIABLE = "HRM_CODEGEN_DEVICE_FALLBACK"
_MOST_LISTED = 4
_LOGGER = logging.getLogger("hrm_codegen.baselines")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """What `load` returns.

    Attributes:
      model: The model, in evaluation mode, on its device.
      protocol: How it is asked.
      context: Tokens of prompt and answer together; None: no limit is known.
      revision: Commit of the repository that it came from.
      config: What our own export says about its model; None: another one's.
    """

    model: Any
    protocol: PromptProtocol
    context: int | None
    revision: str | None
    config: Config | None = None


def find_torch_device(name: str = "auto") -> str:
    """Returns torch's name of a device; `name` is that of `HRMCodeGen.from_pretrained`.

    Raises:
      DeviceError: Unknown to torch, or not there. With HRM_CODEGEN_DEVICE_FALLBACK=1 the latter is a warning.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, usable in there.items() if usable)
    if name not in _DEVICES:
        raise DeviceError(f"no device {name!r} for models of Transformers: choose from auto, {', '.join(_DEVICES)}")
    if there[_DEVICES[name]]:
        return _DEVICES[name]
    message = f"no device {name!r} here: torch has {', '.join(device for device, usable in there.items() if usable)}"
    if os.environ.get(_FALLBACK_VARIABLE) == "1":
        _LOGGER.warning("%s; using the CPU because %s=1", message, _FALLBACK_VARIABLE)
        return "cpu"
    raise DeviceError(f'{message}. Use device "auto", or set {_FALLBACK_VARIABLE}=1 to fall back to the CPU')


def load(source: Source, *, device: str, token: str | None = None) -> Loaded:
    """Loads a causal language model and its tokenizer.

    Args:
      source: Where they are.
      device: As torch calls it.
      token: For private repositories; None: as `huggingface_hub` finds it.

    Raises:
      ModelNotFoundError: The repository cannot be reached, or has no model.
      CheckpointError: It is not a causal language model, is damaged, or needs code of its own.
    """
    import transformers

    place = source.place
    hub = {"revision": source.revision or "main", "token": token, "trust_remote_code": False}
    options = hub | ({} if source.gguf_file is None else {"gguf_file": source.gguf_file})
    with _errors_of(source), _quiet():
        config = transformers.AutoConfig.from_pretrained(place, **options)
        _check_causal(source, config)
        is_hrm_text = config.model_type == "hrm_text"
        tokenizer = None if is_hrm_text else transformers.AutoTokenizer.from_pretrained(place, **options)
        model, told = transformers.AutoModelForCausalLM.from_pretrained(
            place,
            dtype="float32" if device == "cpu" else "auto",
            output_loading_info=True,
            **options,
        )
        missing = sorted(told["missing_keys"])
        if missing:
            listed = ", ".join(missing[:_MOST_LISTED]) + (", ..." if len(missing) > _MOST_LISTED else "")
            raise CheckpointError(f"{source.path} has no weights for {len(missing)} tensors: {listed}")
        ours: Config | None = None
        protocol: PromptProtocol
        if is_hrm_text:
            ours, protocol = _hrm_text(place, prefix_lm=bool(model.config.prefix_lm), **hub)
        else:
            protocol = TextProtocol(tokenizer, _as_ids(model.generation_config.eos_token_id))
        model.generation_config = transformers.GenerationConfig()  # penalties and the like would differ by model
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return Loaded(
            model=model.eval().to(device),
            protocol=protocol,
            context=None if context is None else int(context),
            revision=None if source.is_local else getattr(config, "_commit_hash", None),
            config=ours,
        )


def _hrm_text(place: str, *, prefix_lm: bool, **hub: Any) -> tuple[Config, HrmTextProtocol]:
    """Returns how a model of ours, or of HRM-Text, was trained to be asked."""
    from transformers.utils import cached_file

    options = hub | {"_raise_exceptions_for_missing_entries": False}
    cached_file(place, "hrm_codegen.json", **options)  # to have it beside, if there is one
    cached_file(place, "tokenizer.json", **options)
    beside = read_beside(Path(str(cached_file(place, "config.json", **options))), {})
    try:
        tokenizer = Tokenizer.from_json(beside.tokenizer_json)
    except DatasetError as error:
        raise CheckpointError(f"{place}: {error}") from error
    return beside.config, HrmTextProtocol(tokenizer, prefix_lm=prefix_lm, condition=beside.config.data.condition)


def _check_causal(source: Source, config: Any) -> None:
    """Refuses what does not write from left to right, though Transformers would run some of it (BERT)."""
    from transformers.models.auto import modeling_auto as known

    causal = known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    masked = config.model_type in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if causal is None or masked or getattr(config, "is_encoder_decoder", False):
        kind = ", ".join(config.architectures or ()) or config.model_type
        raise CheckpointError(f"{source.path} is not a causal language model ({kind}): it cannot continue a text")


@contextlib.contextmanager
def _errors_of(source: Source) -> Iterator[None]:
    """Turns whatever Transformers raises into one line."""
    try:
        yield
    except HRMCodeGenError:
        raise
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, OSError) and not source.is_local:
            raise ModelNotFoundError(
                f"no folder or file {source.place!r} here, and as a repository of the Hub it could not be loaded: "
                f"{reason} Offline, copy the repository to a folder and name that: hf:path/to/folder"
            ) from error
        raise CheckpointError(f"{source.path} cannot be loaded by Transformers: {reason}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Transformers' bars and warnings off the terminal, which shows our own log."""
    from transformers.utils import logging as theirs

    level = theirs.get_verbosity()
    had_bars = theirs.is_progress_bar_enabled()
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if had_bars:
            theirs.enable_progress_bar()


def _as_ids(value: Any) -> list[int]:
    if value is None:
        return []
    return [int(token) for token in (value if isinstance(value, list | tuple) else [value])]
