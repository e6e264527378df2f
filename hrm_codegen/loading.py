"""A model ready to be asked: jax set up for a device, compiled programs kept on disk, checkpoint or baseline loaded.

What both front doors and every job do first. The order matters: a device has to be chosen before jax makes its first
array, so jax and everything above it is imported inside the functions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_codegen.errors import UsageError
from hrm_codegen.machine import cores

if TYPE_CHECKING:
    from hrm_codegen.baselines import BaselineModel
    from hrm_codegen.codegen import HRMCodeGen
    from hrm_codegen.pretrained import Weights

MAX_CPU_DEVICES = 8  # each holds all weights and updates them
_FORCED = "xla_force_host_platform_device_count"
_LOGGER = logging.getLogger("hrm_codegen.jobs")


def load_model(
    ckpt: str | None,
    *,
    device: str = "auto",
    num_devices: int | None = None,
    condition: str | None = None,
    weights: Weights | None = None,
    join: bool = False,
) -> HRMCodeGen | BaselineModel:
    """Loads a checkpoint, a baseline (`hf:NAME`, `*.gguf`), or for None the newest local best; the log says which.

    Args:
      ckpt: Its name.
      device: Where to compute.
      num_devices: Devices that decode; None: all accelerators of this process, or a CPU device for each core.
      condition: HRM-Text's condition tokens that its prompts begin with; None: those of the configuration.
      weights: `int8`: as `HRMCodeGen.quantize` rounds them; None: as they are.
      join: As in `start_jax`.

    Raises:
      UsageError: A condition, a number of devices or weights for a baseline, which takes none of them.
      DeviceError: There are not so many devices.
      ConfigError: A condition that the tokenizer does not have.
    """
    from hrm_codegen.baselines import BaselineModel, is_baseline

    if ckpt is not None and is_baseline(ckpt):
        ours = {"--condition": condition, "--num-devices": num_devices, "--weights": weights}
        if option := next((name for name, value in ours.items() if value is not None), None):
            raise UsageError(f"{option} is for HRM checkpoints, {ckpt} is asked in its own way")
        if join:
            start_jax("auto", join=True)
        return BaselineModel.from_pretrained(ckpt, device=device)
    start_jax(device, join=join, split_cpu=True)
    from hrm_codegen.codegen import HRMCodeGen

    model = HRMCodeGen.from_pretrained(ckpt, device=device)
    spread(model, num_devices)
    if weights == "int8":
        model.quantize()
    if condition is not None:
        model.tokenizer.condition_ids(condition)  # known before anything is written
        data = dataclasses.replace(model.config.data, condition=condition)
        model.config = dataclasses.replace(model.config, data=data)
    return model


def spread(model: HRMCodeGen, num_devices: int | None = None) -> None:
    """Puts a model on devices of its kind; `num_devices` is that of `load_model`."""
    if num_devices is None and model.device == "cpu":
        import jax

        num_devices = min(cores(), jax.local_device_count("cpu"))
    model.spread(num_devices)


def enable_compile_cache() -> None:
    """Keeps compiled programs on disk, also small ones, so that only the first run of a shape waits for the compiler.

    In `$HRM_CODEGEN_CACHE/jax` or `~/.cache/hrm-codegen/jax`, unless jax has a folder already
    (`JAX_COMPILATION_CACHE_DIR`).
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        root = Path(os.environ.get("HRM_CODEGEN_CACHE") or Path.home() / ".cache" / "hrm-codegen")
        jax.config.update("jax_compilation_cache_dir", str(root / "jax"))
        # Making a model is a dozen programs that compile in less than jax's limit of a second: together a second.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def start_jax(device: str, *, join: bool = False, split_cpu: bool = False) -> None:
    """Sets jax up; has to come before its first array, because a mesh is made of the default backend's devices.

    Args:
      device: Where to compute.
      split_cpu: Let a CPU be one device for each core, if the environment does not say how many: a step whose rows
        are split over them also does its elementwise work on all cores.
      join: Become one of several processes, if the environment says that there are others.

    Raises:
      DeviceError: No such device, or the other processes cannot be reached.
    """
    import jax

    enable_compile_cache()
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if split_cpu and jax.config.values["jax_num_cpu_devices"] < 0 and _FORCED not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # jax has arrays already: it is as it is
            jax.config.update("jax_num_cpu_devices", min(cores(), MAX_CPU_DEVICES))
    if join:
        from hrm_codegen.parallel.distributed import maybe_initialize

        maybe_initialize()
    if device not in ("auto", "cpu"):
        from hrm_codegen.parallel.devices import find_device

        _LOGGER.debug("device: %s", find_device(device))
