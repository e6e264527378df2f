"""Cross-entropy and accuracy as sums over tokens, so that a caller divides once, by the global count.

Why sums: rows hold different numbers of answer tokens, and a mean of means would weigh a token by the company it
keeps (and change with the number of microbatches or devices).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float, Int

from hrm_codegen.typing import Array


class TokenSums(NamedTuple):
    """Sums over the tokens that count.

    Attributes:
      loss: Negative log-likelihood, nats.
      num_correct: Tokens that no other is more likely than.
      num_targets: Tokens that count.
    """

    loss: Float[jax.Array, ""]
    num_correct: Float[jax.Array, ""]
    num_targets: Float[jax.Array, ""]


def token_sums(logits: Float[Array, "B T V"], targets: Int[Array, "B T"], mask: Bool[Array, "B T"]) -> TokenSums:
    """Returns the sums of softmax cross-entropy, of correct predictions and of tokens where `mask` is True.

    Args:
      logits: Predictions of any float type; computed in float32.
      targets: The right tokens; any value where `mask` is False.
      mask: True where a target counts.
    """
    targets = jnp.where(mask, targets, 0)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), targets)
    # Compared with the largest, which the loss needs anyway: an argmax costs a CPU as much as the loss.
    hits = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0] == jnp.max(logits, axis=-1)
    return TokenSums(
        loss=jnp.sum(jnp.where(mask, losses, 0.0)),
        num_correct=jnp.sum(hits & mask, dtype=jnp.float32),
        num_targets=jnp.sum(mask, dtype=jnp.float32),
    )
