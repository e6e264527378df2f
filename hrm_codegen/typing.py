"""The batch that flows from the data pipeline into the train step, and the letters of its shapes.

Letters in annotations and einsums: B batch rows, T query positions, S key positions, D model width, F feed-forward
width, N heads, H head size, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

Array = jax.Array | np.ndarray


class Batch(NamedTuple):
    """Packed rows of tokens; a pytree, so it goes through `jax.jit` and `jax.device_put` as it is.

    Attributes:
      tokens: Inputs.
      targets: The token after each input; meaningless where `loss_mask` is False.
      positions: Position inside the segment, restarting at 0.
      segment_ids: 1, 2, ... for the documents packed into a row, 0 for padding.
      prefix_mask: True for prompt tokens, which see each other in both directions under PrefixLM.
      loss_mask: True where the target counts.
    """

    tokens: Int[Array, "B T"]
    targets: Int[Array, "B T"]
    positions: Int[Array, "B T"]
    segment_ids: Int[Array, "B T"]
    prefix_mask: Bool[Array, "B T"]
    loss_mask: Bool[Array, "B T"]
