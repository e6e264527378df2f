"""Running out of device memory: recognising it, and advice that keeps the global batch."""

from __future__ import annotations

import dataclasses

import jax

from hrm_codegen.config import Config
from hrm_codegen.errors import OutOfMemoryError


def is_out_of_memory(error: jax.errors.JaxRuntimeError) -> bool:
    """Says whether XLA ran out of memory (and not into one of its other errors)."""
    return "RESOURCE_EXHAUSTED" in str(error)


def smaller_microbatch(config: Config) -> Config | None:
    """Returns the configuration with twice the microbatches of half the rows, or None if they cannot be halved."""
    train, mesh = config.train, config.mesh
    grad_accum = 2 * train.grad_accum
    shards = max(mesh.data, 1) * max(mesh.fsdp, 1)
    if train.batch_size % (grad_accum * shards):
        return None
    return dataclasses.replace(config, train=dataclasses.replace(train, grad_accum=grad_accum))


def out_of_memory(config: Config) -> OutOfMemoryError:
    """Returns the error to raise, with settings to try."""
    smaller, train = smaller_microbatch(config), config.train
    tries = []
    if smaller is not None:
        rows = train.batch_size // train.grad_accum
        tries.append(
            f"--set train.grad_accum={smaller.train.grad_accum} (microbatches of {rows // 2} rows instead of {rows}, "
            f"same global batch of {train.batch_size})"
        )
    if not config.model.gradient_checkpointing:
        tries.append("--set model.gradient_checkpointing=true")
    if not tries:
        tries.append(f"--set data.seq_len={config.data.seq_len // 2}, a smaller model, or more devices")
    return OutOfMemoryError("reduce batch_size or enable gradient_checkpointing\ntry: " + "\n or: ".join(tries))
