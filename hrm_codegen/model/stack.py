"""A block, and a stack of blocks: the function f_L or f_H of the recurrence.

Pre-norm inside, one norm at the exit ("MagicNorm", HRM-Text section 2.2): the exit norm bounds the state over many
passes, the identity paths inside keep the few differentiated passes easy to train.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.model.attention import Attention, Context, KeyValue, Memory
from hrm_codegen.model.dot_product_attention import ATTENTION
from hrm_codegen.model.layers import Mlp, rms_norm
from hrm_codegen.model.names import place


class Block(nnx.Module):
    """`x += Attention(norm(x)); x += Mlp(norm(x))`."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.norm_eps = config.norm_eps
        self.attn = Attention(config, rngs=rngs)
        self.mlp = Mlp(config, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B T D"], context: Context, memory: Memory | None = None
    ) -> tuple[Float[Array, "B T D"], KeyValue]:
        """Returns the block's output and its keys and values."""
        mixed, kept = self.attn(rms_norm(x, eps=self.norm_eps), context, memory)
        x = x + mixed
        return place(x + self.mlp(rms_norm(x, eps=self.norm_eps)), "residual"), kept


class Stack(nnx.Module):
    """`num_layers` blocks and a norm.

    The handful of blocks is unrolled, one leaf a layer: XLA on CPU copies a stacked weight each time a scan slices it.
    With `scan_layers` the same leaves have a leading layer axis and the blocks are scanned instead.
    """

    def __init__(self, config: ModelConfig, *, num_layers: int, rngs: nnx.Rngs):
        self.num_layers = num_layers
        self.norm_eps = config.norm_eps
        self.remat = config.gradient_checkpointing
        self.keep_products = config.remat_policy == "elementwise"
        blocks = [Block(config, rngs=rngs) for _ in range(num_layers)]
        self.layers: nnx.List[Block] | Block = _stacked(blocks) if config.scan_layers else nnx.List(blocks)

    def __call__(self, x: Float[Array, "B T D"], context: Context) -> Float[Array, "B T D"]:
        """Applies the stack without a cache, as training does."""
        if isinstance(self.layers, Block):
            graphdef, state = nnx.split(self.layers)

            def body(x: Array, layer: nnx.State) -> tuple[Array, None]:
                return self._apply(nnx.merge(graphdef, layer), x, context), None

            x, _ = jax.lax.scan(body, x, state)
        else:
            for block in self.layers:
                x = self._apply(block, x, context)
        return rms_norm(x, eps=self.norm_eps)

    def cached(
        self, x: Float[Array, "B T D"], context: Context, memory: Sequence[Memory] | None
    ) -> tuple[Float[Array, "B T D"], tuple[KeyValue, ...]]:
        """Applies the stack and returns every layer's keys and values; `memory` None is a prefill."""
        kept = []
        for index in range(self.num_layers):
            x, pair = self._block(index)(x, context, None if memory is None else memory[index])
            kept.append(pair)
        return rms_norm(x, eps=self.norm_eps), tuple(kept)

    def _block(self, index: int) -> Block:
        if not isinstance(self.layers, Block):
            return self.layers[index]
        graphdef, state = nnx.split(self.layers)
        return nnx.merge(graphdef, jax.tree.map(lambda leaf: leaf[index], state))

    def _apply(self, block: Block, x: Array, context: Context) -> Array:
        def call(x: Array) -> Array:
            return block(x, context)[0]

        if not self.remat:
            return call(x)
        # Products with weights and attention cost most and are kept; what lies between is computed again.
        policies = jax.checkpoint_policies
        kept = policies.save_from_both_policies(
            policies.dots_with_no_batch_dims_saveable, policies.save_only_these_names(ATTENTION)
        )
        policy = kept if self.keep_products else None
        return jax.checkpoint(call, policy=policy)(x)


def _stacked(blocks: list[Block]) -> Block:
    graphdef = nnx.split(blocks[0])[0]
    states = [nnx.split(block)[1] for block in blocks]
    return nnx.merge(graphdef, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
