"""Rows of `work.py` as a batch of HRM-CodeGen: apart, so that a new process imports no more than it needs."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from benchmarks.speed.work import Rows
from hrm_codegen.typing import Batch


def batch_of(rows: Rows) -> Batch:
    """Returns rows of one document each."""
    positions = np.broadcast_to(np.arange(rows.tokens.shape[1], dtype=np.int32), rows.tokens.shape)
    return Batch(
        tokens=jnp.asarray(rows.tokens),
        targets=jnp.asarray(rows.targets),
        positions=jnp.asarray(positions),
        segment_ids=jnp.ones_like(positions),
        prefix_mask=jnp.asarray(rows.prefix),
        loss_mask=jnp.asarray(rows.counts),
    )
