"""Device names as users say them, and the device that each means here.

Users say `cuda` and `mps`, jax says `gpu` and has plugins; a missing plugin must be one clear line with the command
that installs it, not an assertion from inside jax. One device only: many devices are `mesh.py`.
"""

from __future__ import annotations

import logging
import os

import jax

from hrm_codegen.errors import DeviceError

# Names, in the order in which `auto` prefers them, and the jax platforms that each may be.
PLATFORMS: dict[str, tuple[str, ...]] = {
    "tpu": ("tpu",),
    "cuda": ("cuda",),
    "rocm": ("rocm",),
    "mps": ("mps", "mtl"),
    "cpu": ("cpu",),
}
FALLBACK_VARIABLE = "HRM_CODEGEN_DEVICE_FALLBACK"
_ALIASES = {"gpu": ("cuda", "rocm")}
_INSTALL = {
    "tpu": 'pip install "hrm-codegen[tpu]"',
    "cuda": 'pip install "hrm-codegen[cuda12]" (or [cuda13])',
    "rocm": "pip install jax-rocm7-plugin jax-rocm7-pjrt",
    "mps": "pip install jax-mps",
}
_LOGGER = logging.getLogger("hrm_codegen.parallel")


def find_device(name: str = "auto") -> jax.Device:
    """Returns the first local device of a kind.

    Args:
      name: `auto` (the best there is: tpu, cuda, rocm, mps, cpu), one of these names, or `gpu` (cuda or rocm).

    Raises:
      DeviceError: Unknown name, or no such device. With HRM_CODEGEN_DEVICE_FALLBACK=1 the latter is a warning, and
        the CPU is returned.
    """
    if name != "auto" and name not in PLATFORMS and name not in _ALIASES:
        raise DeviceError(f"unknown device {name!r}: choose from auto, {', '.join([*PLATFORMS, *_ALIASES])}")
    kinds = tuple(PLATFORMS) if name == "auto" else _ALIASES.get(name, (name,))
    for kind in kinds:
        for platform in PLATFORMS[kind]:
            if (device := _first(platform)) is not None:
                return device
    message = f"no device {name!r} here: jax has {', '.join(_available())}"
    if os.environ.get(FALLBACK_VARIABLE) == "1" and (device := _first("cpu")) is not None:
        _LOGGER.warning("%s; using the CPU because %s=1", message, FALLBACK_VARIABLE)
        return device
    fixes = [_INSTALL[kind] for kind in kinds if kind in _INSTALL]
    raise DeviceError(
        f"{message}. If the machine has one: {'; or '.join(fixes)}, and look at JAX_PLATFORMS. "
        f'Else use device "auto", or set {FALLBACK_VARIABLE}=1 to fall back to the CPU'
    )


def device_kind(device: jax.Device) -> str:
    """Returns `cpu`, `gpu`, `tpu` or `mps`."""
    return "mps" if device.platform in PLATFORMS["mps"] else device.platform


def _first(platform: str) -> jax.Device | None:
    try:
        return jax.local_devices(backend=platform)[0]
    except (RuntimeError, AssertionError):  # jax: no such backend; with JAX_PLATFORMS set, an empty AssertionError
        return None


def _available() -> list[str]:
    return [kind for kind, platforms in PLATFORMS.items() if any(_first(platform) for platform in platforms)]
