"""The recurrent cores: `hrm`, and `trm`, `looped`, `transformer` on the same blocks.

HRM-Text (arXiv 2605.20613, section 2.1): `z_h = sqrt(D) embed(ids)`, `z_l = z_l_init`; for each of `h_cycles`,
`l_cycles` times `z_l = f_L(z_l + z_h)`, then `z_h = f_H(z_h + z_l)`; `logits = z_h W_head`. Training scans over the
cycles, so that the program does not grow with them; decoding unrolls them, because on CPU a scan copies its cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.model.attention import Context, KeyValue, attention_mask
from hrm_codegen.model.cache import Cache, Memories, Prompt, grow, memories
from hrm_codegen.model.layers import compute_dtype, embed_init, matrix_init, rope_tables, state_init
from hrm_codegen.model.matrices import read
from hrm_codegen.model.names import place
from hrm_codegen.model.products import project
from hrm_codegen.model.schedule import CycleGroup, cycle_groups, num_passes
from hrm_codegen.model.stack import Stack

# So many graded passes of a cycle that is not repeated follow each other without a scan: it copies what the backward
# pass needs into arrays of all passes and out again, which takes 5 % of a step on a CPU. With more of them the program
# would grow with the cycles.
_UNROLLED = 4


class HRM(nnx.Module):
    """A language model with a hierarchical recurrence.

    Args:
      config: Core and sizes.
      rngs: Source of the initial weights; not kept.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.config = config
        dim, vocab = config.hidden_dim, config.vocab_size
        self.embed = nnx.Param(embed_init(rngs.params(), (vocab, dim), jnp.float32))
        self.head = nnx.Param(matrix_init(rngs.params(), (dim, vocab), jnp.float32))
        if config.core == "hrm":
            self.l_stack = Stack(config, num_layers=config.layers_per_stack, rngs=rngs)
            self.h_stack = Stack(config, num_layers=config.layers_per_stack, rngs=rngs)
        else:
            # `looped` and `transformer` get the layers of both stacks: equal parameters to `hrm` by construction.
            factor = 1 if config.core == "trm" else 2
            self.stack = Stack(config, num_layers=factor * config.layers_per_stack, rngs=rngs)
        if config.core in ("hrm", "trm"):
            self.z_l_init = nnx.Param(state_init(rngs.params(), (dim,), jnp.float32))

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        *,
        positions: Int[Array, "B T"] | None = None,
        segment_ids: Int[Array, "B T"] | None = None,
        prefix_mask: Bool[Array, "B T"] | None = None,
        bp_passes: int | None = None,
    ) -> Float[Array, "B T V"]:
        """Returns the logits of every position.

        Args:
          tokens: Token ids.
          positions: Position inside each segment; None: 0, 1, 2, ...
          segment_ids: Documents packed into a row; tokens of different ids never see each other. None: one document.
          prefix_mask: True for prompt tokens; None: no prompt, purely causal.
          bp_passes: K, the number of last passes that carry gradient (static). None: all. Values do not depend on it.
        """
        batch, length = tokens.shape
        if positions is None:
            positions = jnp.broadcast_to(jnp.arange(length)[None, :], (batch, length))
        if segment_ids is None:
            segment_ids = jnp.ones((batch, length), jnp.int32)
        if prefix_mask is None:
            prefix_mask = jnp.zeros((batch, length), bool)
        mask = attention_mask(segment_ids, prefix_mask, kind=self.config.mask)
        return self._logits(self._recur(self._embed(tokens), self._context(positions, mask), bp_passes))

    def prefill(
        self, tokens: Int[Array, "B P"], prompt_lens: Int[Array, "B"], *, cache_len: int
    ) -> tuple[Float[Array, "B V"], Cache]:
        """Reads right-padded prompts.

        Args:
          tokens: Prompts, padded with any token.
          prompt_lens: Their true lengths, at least 1.
          cache_len: S, positions the cache has room for, at least P.

        Returns:
          The logits after each prompt's last token, and the cache; its positions past a prompt's length are garbage
          that `key_mask` must hide.
        """
        batch, length = tokens.shape
        positions = jnp.broadcast_to(jnp.arange(length)[None, :], (batch, length))
        in_prompt = positions < prompt_lens[:, None]
        mask = attention_mask(in_prompt.astype(jnp.int32), in_prompt, kind=self.config.mask)
        z_h, cache = self._recur_cached(self._embed(tokens), self._context(positions, mask), None)
        last = jnp.take_along_axis(z_h, (prompt_lens - 1)[:, None, None], axis=1)
        return self._logits(last)[:, 0], grow(cache, length=cache_len)

    def decode_step(
        self,
        tokens: Int[Array, "B"],
        positions: Int[Array, "B"],
        cache: Cache,
        *,
        slot: Int[Array, ""],
        key_mask: Bool[Array, "B S"],
        prompt: Prompt | None = None,
    ) -> tuple[Float[Array, "B V"], Cache]:
        """Reads one more token a row.

        Args:
          tokens: The tokens.
          positions: Their positions, each row's own.
          cache: Keys and values so far.
          slot: Where in the cache the new ones go, the same for every row.
          key_mask: True for the cache positions a row may see, `slot` included.
          prompt: What rows of the same prompt have in common; None: `cache` holds the prompts, too.

        Returns:
          The logits of the next token, and the cache with `slot` filled.
        """
        logits, cache = self.decode_block(
            tokens[:, None], positions[:, None], cache, slot=slot, key_mask=key_mask[:, None], prompt=prompt
        )
        return logits[:, 0], cache

    def decode_block(
        self,
        tokens: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        cache: Cache,
        *,
        slot: Int[Array, ""],
        key_mask: Bool[Array, "B T S"],
        prompt: Prompt | None = None,
    ) -> tuple[Float[Array, "B T V"], Cache]:
        """Reads T more tokens a row: `decode_step` for several, whose keys go to `slot` and those after it.

        `key_mask` says it of each token; with `prompt`, T is 1. Returns the logits after each of them.
        """
        context = self._context(positions, key_mask, slot)
        if prompt is not None:
            context = context._replace(prompt_mask=prompt.mask)
        remembered = memories(cache, None if prompt is None else prompt.cache)
        z_h, cache = self._recur_cached(self._embed(tokens), context, remembered)
        return self._logits(z_h), cache

    def _context(self, positions: Array, mask: Array, slot: Array | None = None) -> Context:
        cos, sin = rope_tables(positions, head_dim=self.config.resolved_head_dim, theta=self.config.rope_theta)
        return Context(cos, sin, mask, slot)

    def _embed(self, tokens: Array) -> Array:
        scale = self.config.hidden_dim**0.5
        rows = jnp.take(place(self.embed[...], "embed"), tokens, axis=0)
        return place((rows * scale).astype(compute_dtype(self.config)), "residual")

    def _logits(self, z_h: Array) -> Array:
        head = read(self.head, z_h.dtype, "head")
        return place(project("BTD,DV->BTV", z_h, head, jnp.float32), "logits")

    def _initial_z_l(self, x: Array) -> Array:
        # Fixed, never trained: hrm_text keeps it as a buffer.
        return jnp.broadcast_to(jax.lax.stop_gradient(self.z_l_init[...]).astype(x.dtype), x.shape)

    def _recur(self, x: Array, context: Context, bp_passes: int | None) -> Array:
        """The recurrence as nested scans, differentiated through the last `bp_passes` passes."""
        config = self.config
        if config.core in ("looped", "transformer"):

            def loop(z: Array, _: None) -> tuple[Array, None]:
                return self.stack(z + x if config.x_inject else z, context), None

            return jax.lax.scan(loop, x, None, length=num_passes(config))[0]

        l_stack, h_stack = _passes(*self._stacks())
        carry = (x, self._initial_z_l(x))
        for group in cycle_groups(config.h_cycles, config.l_cycles, bp_passes):

            def cycle(
                carry: tuple[Array, Array], _: None, group: CycleGroup = group
            ) -> tuple[tuple[Array, Array], None]:
                z_h, z_l = carry
                injected = z_h + x if config.x_inject else z_h
                z_l = _scan_passes(l_stack, z_l, injected, context, config.l_cycles - group.graded_l, graded=False)
                unroll = group.length == 1 and group.graded_l <= _UNROLLED
                z_l = _scan_passes(l_stack, z_l, injected, context, group.graded_l, graded=True, unroll=unroll)
                return (_scan_passes(h_stack, z_h, z_l, context, 1, graded=group.graded_h), z_l), None

            carry, _ = jax.lax.scan(cycle, carry, None, length=group.length)
        return carry[0]

    def _recur_cached(self, x: Array, context: Context, memory: Memories | None) -> tuple[Array, Cache]:
        """The same recurrence unrolled, pass by pass, with keys and values kept."""
        config = self.config
        kept: list[tuple[KeyValue, ...]] = []

        def apply(stack: Stack, u: Array) -> Array:
            out, pairs = stack.cached(u, context, None if memory is None else memory[len(kept)])
            kept.append(pairs)
            return out

        z_h = x
        if config.core in ("looped", "transformer"):
            for _ in range(num_passes(config)):
                z_h = apply(self.stack, z_h + x if config.x_inject else z_h)
        else:
            l_stack, h_stack = self._stacks()
            z_l = self._initial_z_l(x)
            for _ in range(config.h_cycles):
                for _ in range(config.l_cycles):
                    z_l = apply(l_stack, z_l + (z_h + x if config.x_inject else z_h))
                z_h = apply(h_stack, z_h + z_l)
        return z_h, tuple(kept)

    def _stacks(self) -> tuple[Stack, Stack]:
        return (self.l_stack, self.h_stack) if self.config.core == "hrm" else (self.stack, self.stack)


class _Pass(NamedTuple):
    """One pass through a stack, as a program that is traced once for both and called as often as there are passes.

    It belongs to one trace of the model: what places arrays on a mesh may be another the next time.

    Attributes:
      program: (parameters, input, context) to output.
      state: The parameters.
    """

    program: Callable[[nnx.State, Array, Context], Array]
    state: nnx.State

    def __call__(self, z: Array, context: Context) -> Array:
        return self.program(self.state, z, context)

    def detached(self) -> _Pass:
        return self._replace(state=jax.tree.map(jax.lax.stop_gradient, self.state))


def _passes(l_stack: Stack, h_stack: Stack) -> tuple[_Pass, _Pass]:
    (graphdef, l_state), (h_graphdef, h_state) = nnx.split(l_stack), nnx.split(h_stack)
    assert graphdef == h_graphdef, "stacks of one shape are one program"
    program = jax.jit(lambda state, z, context: nnx.merge(graphdef, state)(z, context))
    return _Pass(program, l_state), _Pass(program, h_state)


def _scan_passes(
    stack: _Pass, z: Array, injected: Array, context: Context, length: int, *, graded: bool, unroll: bool = False
) -> Array:
    """Applies `z = stack(z + injected)` `length` times.

    Without gradient, everything that enters is detached, not only the result: JAX then drops the whole backward pass.
    """
    if length == 0:
        return z
    if not graded:
        stack = stack.detached()
        z, injected = jax.lax.stop_gradient((z, injected))
    if length == 1 or unroll:
        for _ in range(length):
            z = stack(z + injected, context)
        return z
    return jax.lax.scan(lambda z, _: (stack(z + injected, context), None), z, None, length=length)[0]
