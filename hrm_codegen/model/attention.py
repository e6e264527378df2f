"""Gated multi-head attention, its masks, and the one code path for training, prefill and cached decoding.

A call without a cache attends within its own row and returns its keys and values (prefill keeps them, training drops
them); a call with a cache writes one more position into it first. Not a flash kernel: plain einsums, softmax in
float32.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hrm_codegen.config.schema import MaskKind, ModelConfig
from hrm_codegen.model.dot_product_attention import attend, attend_to_two
from hrm_codegen.model.gates import gated_out, split_heads
from hrm_codegen.model.layers import matrix_init
from hrm_codegen.model.matrices import read
from hrm_codegen.model.products import project


class KeyValue(NamedTuple):
    """Keys (already rotated) and values of one layer in one pass; rows and heads are one axis, B N = B * N.

    Why one: XLA drops an axis of one row, and the reshape that takes costs a copy of the cache at every token.
    """

    k: Float[Array, "BN S H"]
    v: Float[Array, "BN S H"]


class Memory(NamedTuple):
    """What one layer in one pass remembers while it decodes: each row's own keys and values, and those of its prompt.

    Attributes:
      own: Of R rows.
      prompt: Of P prompts, which R / P rows each have in common, one after the other; None: they are in `own`.
    """

    own: KeyValue
    prompt: KeyValue | None = None


class Context(NamedTuple):
    """What every attention layer of a forward pass shares.

    Attributes:
      cos: Rotary cosines of the queries' positions.
      sin: Rotary sines.
      mask: True where a query may see a key.
      slot: Where in the cache the new keys go; None without a cache.
      prompt_mask: True where the rows of a prompt may see its keys; None unless it has a cache of its own.
    """

    cos: Float[Array, "B T 1 H"]
    sin: Float[Array, "B T 1 H"]
    mask: Bool[Array, "B T S"]
    slot: Int[Array, ""] | None = None
    prompt_mask: Bool[Array, "P S"] | None = None


def attention_mask(
    segment_ids: Int[Array, "B T"], prefix_mask: Bool[Array, "B T"], *, kind: MaskKind
) -> Bool[Array, "B T T"]:
    """Returns who sees whom in packed rows.

    Under `prefix_lm` query i sees key j of its own segment if `j <= i`, or if j is in the prompt: prompts come first in
    a segment, so for answers this adds nothing, and for prompts it makes attention bidirectional. `causal` ignores
    `prefix_mask`.
    """
    length = segment_ids.shape[1]
    visible = jnp.tril(jnp.ones((length, length), dtype=bool))[None]
    if kind == "prefix_lm":
        visible = visible | prefix_mask[:, None, :]
    return visible & (segment_ids[:, :, None] == segment_ids[:, None, :])


class Attention(nnx.Module):
    """Multi-head attention whose output is gated per head channel: `(sigmoid(g) * attend(q, k, v)) W_out`."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.num_heads, self.head_dim = config.num_heads, config.resolved_head_dim
        width = self.num_heads * self.head_dim
        # One product for gate, query, key and value, in the order of hrm_text's packed `gqkv_proj`.
        # Their axis and the heads' are axes of the leaf, so that a mesh can split the heads of all four alike.
        gqkv = matrix_init(rngs.params(), (config.hidden_dim, 4 * width), jnp.float32)
        self.gqkv = nnx.Param(gqkv.reshape(config.hidden_dim, 4, self.num_heads, self.head_dim))
        self.out = nnx.Param(matrix_init(rngs.params(), (width, config.hidden_dim), jnp.float32))

    def __call__(
        self, x: Float[Array, "B T D"], context: Context, memory: Memory | None = None
    ) -> tuple[Float[Array, "B T D"], KeyValue]:
        """Returns the layer's output, and its rows' own keys and values including those they had."""
        packed = project("BTD,DCNH->BTCNH", x, read(self.gqkv, x.dtype, "gqkv"))
        gate, q, k, v = split_heads(packed, context.cos, context.sin)
        kept = KeyValue(_merged(k), _merged(v))
        if memory is None:
            mixed = attend(q, k, v, context.mask[:, None])
        else:
            slot = context.slot
            assert slot is not None, "a cache needs a slot"
            kept = jax.tree.map(
                lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, slot, axis=1), memory.own, kept
            )
            mask = jnp.repeat(context.mask, self.num_heads, axis=0)
            if memory.prompt is None:
                mixed = attend(_merged(q), kept.k, kept.v, mask)
            else:
                assert context.prompt_mask is not None, "a prompt needs a mask"
                prompt_mask = jnp.repeat(context.prompt_mask, self.num_heads, axis=0)[:, None]
                mixed = attend_to_two(_merged(q), kept, mask, memory.prompt, prompt_mask, heads=self.num_heads)
            mixed = mixed.reshape(q.shape)
        weight = read(self.out, x.dtype, "out", shape=(self.num_heads, self.head_dim, -1))
        return gated_out(gate, mixed, weight), kept


def _merged(x: Float[Array, "B N T H"]) -> Float[Array, "BN T H"]:
    return x.reshape(-1, *x.shape[2:])
