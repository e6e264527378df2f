"""The roofline: the least time a step can take on a chip with given peaks, and which of them binds.

Pure arithmetic on what was counted. A bound, not a prediction: it assumes that each unit runs at its published peak
and that computing, memory and network overlap completely. Programs reach a part of it, never more.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Term = Literal["compute", "memory", "network"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Roofline:
    """Of one device and one step.

    Attributes:
      compute_seconds: Matrix products at the peak rate.
      memory_seconds: Memory traffic at the peak rate.
      network_seconds: What collectives send, at the peak rate.
      intensity: FLOPs a byte of memory traffic.
      ridge: The intensity above which a program is no longer bound by memory.
    """

    compute_seconds: float
    memory_seconds: float
    network_seconds: float
    intensity: float
    ridge: float

    @property
    def step_seconds(self) -> float:
        """The bound: no step is faster."""
        return max(self.compute_seconds, self.memory_seconds, self.network_seconds)

    @property
    def serial_seconds(self) -> float:
        """The same with no overlap at all."""
        return self.compute_seconds + self.memory_seconds + self.network_seconds

    @property
    def bound_by(self) -> Term:
        """The term that takes longest."""
        terms: dict[Term, float] = {
            "compute": self.compute_seconds,
            "memory": self.memory_seconds,
            "network": self.network_seconds,
        }
        return max(terms, key=lambda term: terms[term])


def make_roofline(
    *,
    flops: float,
    memory_bytes: float,
    sent_bytes: float,
    peak_flops: float,
    memory_bandwidth: float,
    link_bandwidth: float,
) -> Roofline:
    """Divides what one device does in a step by what it can do in a second."""
    return Roofline(
        compute_seconds=flops / peak_flops,
        memory_seconds=memory_bytes / memory_bandwidth,
        network_seconds=sent_bytes / link_bandwidth,
        intensity=flops / memory_bytes if memory_bytes else float("inf"),
        ridge=peak_flops / memory_bandwidth,
    )


def run_hours(step_seconds: float, num_steps: int, work: float = 1.0) -> float:
    """Returns the hours of a run whose mean step costs `work` times `step_seconds`."""
    return step_seconds * work * num_steps / 3600
