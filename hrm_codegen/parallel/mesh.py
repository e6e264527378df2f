"""The device mesh: axes `data`, `fsdp` and `tensor`, always all three, most of them often of size one.

Why: one train step serves a laptop and a cluster; only the sizes of the axes differ. Axes are of type Auto (the
compiler places collectives), because `jax.make_mesh` would default to Explicit, which leaks into library code.
Not here: which array goes where; that is `rules.py` and `batch.py`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from hrm_codegen.config import MeshConfig
from hrm_codegen.errors import ConfigError

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")

_log = logging.getLogger("hrm_codegen.parallel")


def make_mesh(
    config: MeshConfig, *, devices: Sequence[jax.Device] | None = None, microbatch: int | None = None
) -> Mesh:
    """Returns the mesh that `config` asks for.

    Args:
      config: Sizes of the axes; at most one of them -1, "all devices that are left".
      devices: What to build it of; default: all devices of the default backend.
      microbatch: Rows in one microbatch. If given, `data * fsdp` must divide it, and a -1 becomes the largest size
        that does, even if some devices then idle (which is logged).

    Raises:
      ConfigError: The axes do not fit the devices or the microbatch.
    """
    devices = list(jax.devices() if devices is None else devices)
    sizes = _resolve(config, len(devices), microbatch)
    used = math.prod(sizes)
    if used < len(devices):
        if jax.process_count() > 1:
            raise ConfigError(
                f"mesh {_show(sizes)} leaves {len(devices) - used} of {len(devices)} devices idle, which cannot work "
                "with more than one process: choose a train.batch_size that the devices divide"
            )
        if -1 in (config.data, config.fsdp, config.tensor):
            _log.info("using %d of %d devices: more would not divide the batch evenly", used, len(devices))
    grid = np.array(devices[:used], dtype=object).reshape(sizes)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def _resolve(config: MeshConfig, num_devices: int, microbatch: int | None) -> tuple[int, int, int]:
    """Replaces the -1 and checks the product; returns sizes in the order of `AXES`."""
    given = (config.data, config.fsdp, config.tensor)
    if any(size == 0 or size < -1 for size in given) or given.count(-1) > 1:
        raise ConfigError(f"mesh {_show(given)}: sizes are positive, and at most one is -1 (all that are left)")
    fixed = math.prod(size for size in given if size != -1)
    if fixed > num_devices:
        raise ConfigError(f"mesh {_show(given)} needs {fixed} devices, this machine has {num_devices}")
    if -1 not in given:
        sizes = given
    elif microbatch is None:
        if num_devices % fixed:
            raise ConfigError(f"mesh {_show(given)}: {num_devices} devices do not divide by {fixed}")
        sizes = _fill(given, num_devices // fixed)
    else:
        candidates = (_fill(given, size) for size in range(num_devices // fixed, 0, -1))
        fitting = (sizes for sizes in candidates if microbatch % (sizes[0] * sizes[1]) == 0)
        sizes = next(fitting, _fill(given, 1))
    if microbatch is not None and microbatch % (sizes[0] * sizes[1]):
        raise ConfigError(
            f"mesh {_show(sizes)}: a microbatch of {microbatch} rows does not divide over data * fsdp = "
            f"{sizes[0] * sizes[1]} devices; change train.batch_size, train.grad_accum or the mesh"
        )
    return sizes


def _fill(given: tuple[int, int, int], size: int) -> tuple[int, int, int]:
    data, fsdp, tensor = (size if axis == -1 else axis for axis in given)
    return data, fsdp, tensor


def _show(sizes: Sequence[int]) -> str:
    return "(" + ", ".join(f"{name}={size}" for name, size in zip(AXES, sizes, strict=True)) + ")"
