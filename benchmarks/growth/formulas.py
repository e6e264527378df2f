"""What sizes, cache and memory should be, from the shapes alone. Pure functions of numbers; float32 throughout.

The cache: every module pass has keys and values of its own, those of one pass being of no use to another, and the
states need none (each token restarts from its embedding). So a token leaves a key and a value of the width of all
heads in each layer of each of the H (L + 1) passes (HRM-Text; Transformers' `hrm_text` has as many slots).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hrm_codegen.config import ModelConfig

FLOAT = 4


def num_passes(h_cycles: int, l_cycles: int) -> int:
    """Returns how often a stack is applied in one forward pass: L times the low one and once the high one, H times."""
    return h_cycles * (l_cycles + 1)


def default_graded(h_cycles: int, l_cycles: int) -> int:
    """Returns K at the end of the default schedule: all H passes and half of the L passes."""
    return h_cycles + math.ceil(h_cycles * l_cycles / 2)


def parameters(model: ModelConfig) -> int:
    """Returns how many weights an `hrm` core has, the fixed first state included."""
    dim, width = model.hidden_dim, model.num_heads * model.resolved_head_dim
    block = 5 * dim * width + 3 * dim * model.resolved_intermediate_dim
    return 2 * model.layers_per_stack * block + 2 * model.vocab_size * dim + dim


def cache_bytes(model: ModelConfig) -> int:
    """Returns what one token of one sequence leaves in the cache."""
    width = model.num_heads * model.resolved_head_dim
    return 2 * num_passes(model.h_cycles, model.l_cycles) * model.layers_per_stack * width * FLOAT


def train_bytes(model: ModelConfig, tokens: int, graded: int) -> int:
    """Returns what a train step keeps: weights, gradients, two moments, logits, and the graded passes' activations.

    Of each block the two normed inputs, gate, query, key, value, what attention made of them, and both halves of the
    MLP's product; of each pass its result. What lives only inside a block, such as scores, is not counted.
    """
    dim, width = model.hidden_dim, model.num_heads * model.resolved_head_dim
    block = 2 * dim + 5 * width + 2 * model.resolved_intermediate_dim
    kept = graded * (model.layers_per_stack * block + dim) + model.vocab_size
    return FLOAT * (4 * parameters(model) + tokens * kept)


def exponent(xs: Sequence[float], ys: Sequence[float | None]) -> float | None:
    """Returns the slope of the line through the logarithms (least squares): 1 is proportional, 0 is constant.

    None for fewer than two different points; what was not measured (None) or is zero is left out.
    """
    points = [(math.log(x), math.log(y)) for x, y in zip(xs, ys, strict=True) if y]
    if len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
