"""Which passes of the recurrence are differentiated, and how that grows during training.

Truncated backpropagation gives a gradient to the last K module passes: the last `min(H, K - 1)` of the H passes and
the last of the L passes for the rest (HRM-Text, arXiv 2605.20613, section 2.3). K is static: each value is one
compilation, and at most a handful occur.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from hrm_codegen.config.schema import ModelConfig, TrainConfig


class CycleGroup(NamedTuple):
    """Consecutive H cycles that are differentiated alike, and so can be one scan.

    Attributes:
      length: How many H cycles.
      graded_l: The last so many L passes of each carry gradient.
      graded_h: Whether the H pass of each does.
    """

    length: int
    graded_l: int
    graded_h: bool


def num_passes(config: ModelConfig) -> int:
    """Returns how many times a stack is applied in one forward pass."""
    if config.core == "transformer":
        return 1
    passes = config.h_cycles * (config.l_cycles + 1)
    return passes // 2 if config.core == "looped" else passes


def cycle_groups(h_cycles: int, l_cycles: int, bp_passes: int | None) -> list[CycleGroup]:
    """Groups the H cycles by what is differentiated in them.

    Args:
      h_cycles: H.
      l_cycles: L.
      bp_passes: K, from 2 to H (L + 1). None: every pass.
    """
    total = h_cycles * (l_cycles + 1)
    bp_passes = total if bp_passes is None else bp_passes
    assert 2 <= bp_passes <= total, f"K = {bp_passes} is not in 2..{total}"
    graded_h = min(h_cycles, bp_passes - 1)
    detached_l = h_cycles * l_cycles - (bp_passes - graded_h)
    kinds = [
        (min(max((cycle + 1) * l_cycles - detached_l, 0), l_cycles), cycle >= h_cycles - graded_h)
        for cycle in range(h_cycles)
    ]
    return [CycleGroup(len(list(run)), *kind) for kind, run in itertools.groupby(kinds)]


def bp_schedule(model: ModelConfig, train: TrainConfig) -> list[tuple[int, int | None]]:
    """Returns (first step, K) pairs: K grows evenly from K_min to K_max over the warm-up share of the run.

    `K(t) = K_min + floor(min(1, t / (rho T)) (K_max - K_min))`. K is None, "every pass", for `looped` and
    `transformer`, which are always differentiated whole.
    """
    if model.core in ("looped", "transformer"):
        return [(0, None)]
    last = train.bp_max or model.h_cycles + math.ceil(model.h_cycles * model.l_cycles / 2)
    first = train.bp_min or min(model.h_cycles + 1, last)
    warmup = train.bp_warmup_ratio * train.num_steps
    if last == first or warmup == 0:
        return [(0, last)]
    return [(math.ceil(rise * warmup / (last - first)), first + rise) for rise in range(last - first + 1)]
