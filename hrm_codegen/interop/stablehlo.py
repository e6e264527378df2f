"""StableHLO export: the plain forward as one file that any PJRT runtime can compile, weights inside.

Why: XLA's own portable format keeps what ONNX loses (loops stay loops, so the program does not grow with the cycles)
and runs wherever jax does, without this package. The function is `logits(tokens [B, T] int32, prefix_len [B] int32) ->
[B, T, V] float32` with batch and time left open. Not for decoding, which wants a cache, and not a checkpoint: there is
no tokenizer in it. Needs `flatbuffers`, the extra `stablehlo`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export
from jaxtyping import Array, Float, Int

from hrm_codegen.config.files import atomic_write
from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.errors import CheckpointError, MissingExtraError, UsageError
from hrm_codegen.interop.bundle import Bundle
from hrm_codegen.interop.hrm_text import from_state_dict
from hrm_codegen.model import abstract, merge

PLATFORMS = ("cpu", "cuda", "tpu")
TOLERANCES = {"float32": 1e-3, "bfloat16": 1e-1}
_KNOWN_PLATFORMS = (*PLATFORMS, "rocm")
_MOST_BYTES = 2_000_000_000
_CHECKED_SHAPES = ((1, 7), (3, 12))

Logits = Callable[[Int[Array, "B T"], Int[Array, "B"]], Float[Array, "B T V"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StableHloReport:
    """What an export wrote.

    Attributes:
      path: The file.
      platforms: What it can be compiled for.
      max_abs_diff: Largest difference of a logit between the file and the model, on this machine; None if this
        machine's platform is not one of `platforms`.
      num_bytes: Size of the file.
      seconds: Time taken, the check included.
    """

    path: Path
    platforms: tuple[str, ...]
    max_abs_diff: float | None
    num_bytes: int
    seconds: float


def export_stablehlo(
    bundle: Bundle, path: str | os.PathLike[str], *, platforms: Sequence[str] = PLATFORMS
) -> StableHloReport:
    """Writes the forward as `jax.export` serializes it, whole or not at all.

    Args:
      bundle: The model. Its `dtype` is kept; `auto` is float32 on every platform.
      path: The file to make or replace.
      platforms: Any of `cpu`, `cuda`, `tpu` and `rocm`.

    Raises:
      UsageError: An unknown platform, or weights beyond the 2 GB that the format can hold.
      MissingExtraError: `flatbuffers` is not installed.
      CheckpointError: The weights do not fit the configuration, or the file does not compute what the model computes.
    """
    start = time.monotonic()
    path = Path(path)
    unknown = [name for name in platforms if name not in _KNOWN_PLATFORMS]
    if unknown or not platforms:
        raise UsageError(f"unknown platforms {unknown}: choose from {', '.join(_KNOWN_PLATFORMS)}")
    _require_flatbuffers("export stablehlo")
    config = bundle.config.model
    config = dataclasses.replace(config, dtype="float32" if config.dtype == "auto" else config.dtype)
    params = from_state_dict(config, bundle.state_dict)
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    if num_bytes > _MOST_BYTES:
        raise UsageError(f"a StableHLO file holds less than 2 GB, and these weights take {num_bytes / 1e9:.1f} GB")
    forward = _forward(config)
    batch, length = export.symbolic_shape("batch, length")
    arguments = (jax.ShapeDtypeStruct((batch, length), jnp.int32), jax.ShapeDtypeStruct((batch,), jnp.int32))
    baked = jax.jit(functools.partial(forward, params))
    data = export.export(baked, platforms=list(platforms))(*arguments).serialize()
    tolerance, diff = TOLERANCES[config.dtype], None
    if _platform() in platforms:
        diff = _difference(_load(data, str(path)), functools.partial(jax.jit(forward), params), config)
    if diff is not None and not diff <= tolerance:
        raise CheckpointError(
            f"the StableHLO program and the model disagree by {diff:.1e} (allowed: {tolerance:g}); "
            f"nothing was written to {path}"
        )
    with atomic_write(path, "wb") as file:
        file.write(data)
    return StableHloReport(
        path=path,
        platforms=tuple(platforms),
        max_abs_diff=diff,
        num_bytes=len(data),
        seconds=time.monotonic() - start,
    )


def load_stablehlo(path: str | os.PathLike[str]) -> Logits:
    """Returns the function in a file of `export_stablehlo`; it compiles once a shape.

    Raises:
      MissingExtraError: `flatbuffers` is not installed.
      CheckpointError: The file is missing, damaged, something else, or not for this machine's platform.
    """
    _require_flatbuffers("loading StableHLO")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    return _load(data, str(path))


def _require_flatbuffers(what: str) -> None:
    if importlib.util.find_spec("flatbuffers") is None:
        raise MissingExtraError(f"'{what}' needs flatbuffers — pip install \"hrm-codegen[stablehlo]\"")


def _forward(config: ModelConfig) -> Callable[[nnx.State, Array, Array], Array]:
    graphdef, _ = abstract(config)

    def logits(params: nnx.State, tokens: Array, prefix_len: Array) -> Array:
        prefix_mask = jnp.arange(tokens.shape[1])[None, :] < prefix_len[:, None]
        return merge(graphdef, params)(tokens, prefix_mask=prefix_mask)

    return logits


def _load(data: bytes | bytearray, place: str) -> Logits:
    try:
        exported = export.deserialize(bytearray(data))
        kinds = [(aval.dtype.name, aval.ndim) for aval in (*exported.in_avals, *exported.out_avals)]
    except Exception as error:  # whatever reading random offsets comes to
        raise CheckpointError(f"{place} is damaged or not a file of jax.export: {error!r:.200}") from error
    if kinds != [("int32", 2), ("int32", 1), ("float32", 3)]:
        raise CheckpointError(f"{place} has a function of {kinds}, not logits(tokens, prefix_len)")
    if _platform() not in exported.platforms:
        raise CheckpointError(f"{place} is for {', '.join(exported.platforms)}, and this machine has {_platform()}")
    call = jax.jit(exported.call)
    try:  # the program itself is only read when it is needed
        call.lower(jnp.zeros((1, 1), jnp.int32), jnp.zeros(1, jnp.int32))
    except Exception as error:
        raise CheckpointError(f"{place} is damaged: {error!r:.200}") from error
    return call


def _platform() -> str:
    """Returns what `jax.export` calls the platform of this machine."""
    backend = jax.default_backend()
    if backend != "gpu":
        return backend
    return "rocm" if "rocm" in jax.devices()[0].client.platform_version.lower() else "cuda"


def _difference(loaded: Logits, expected: Logits, config: ModelConfig) -> float:
    rng = np.random.default_rng(0)
    differences = []
    for batch, length in _CHECKED_SHAPES:
        tokens = jnp.asarray(rng.integers(0, config.vocab_size, (batch, length)), jnp.int32)
        prefix_len = jnp.asarray(rng.integers(0, length + 1, batch), jnp.int32)
        differences.append(np.abs(loaded(tokens, prefix_len) - expected(tokens, prefix_len)).max())
    return float(np.max(differences))
