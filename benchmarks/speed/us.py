"""Contenders of this project: with a CPU device for each core, as its commands start it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.speed.sizes import BATCH
from benchmarks.speed.team import Contender
from hrm_codegen.machine import cores

OURS_ARE = "Ours have a CPU device for each core, as `hrm-codegen` has."


def devices(most: int = BATCH) -> int:
    """Returns how many CPU devices share the rows: as many as there are cores, if they divide a batch."""
    return max(count for count in range(1, min(cores(), most) + 1) if BATCH % count == 0)


def us(name: str, engine: str, options: Callable[[], dict[str, Any]], *, most: int = BATCH) -> Contender:
    """Returns a contender of ours.

    Args:
      name: In the tables.
      engine: `module:Class` for its worker.
      options: Of its `prepare`, beside the number of devices.
      most: Of devices.
    """
    count = devices(most)
    return Contender(
        name=name,
        engine=engine,
        env={"JAX_NUM_CPU_DEVICES": str(count)},
        options=lambda: {"devices": count, **options()},
    )
