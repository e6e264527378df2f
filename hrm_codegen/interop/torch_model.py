"""The network in PyTorch: what the ONNX exporter reads, and for anyone who has torch and wants the model there.

Why: the same equations as `hrm_codegen.model`, every core, on parameters that carry their `hrm_text` names, so that
`model.load_state_dict(torch.load("best.pt", weights_only=True)["state_dict"])` is all it takes. Inputs follow
Transformers: `attention_mask` is 1 for real tokens, `token_type_ids` is 1 for the prompt. Not for training (no
truncated backpropagation, no packed rows), and float32 only. Importing this file imports torch.

Letters are those of `hrm_codegen.model.layers`; S is the number of cached positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hrm_codegen.config.schema import ModelConfig

KeyValue = tuple[Tensor, Tensor]  # each [B, N, S, H]
Rotation = tuple[Tensor, Tensor]  # cosines and sines, each [B, 1, T, H]


class TorchHRM(nn.Module):
    """A model of any core.

    Args:
      config: Core and sizes. `dtype`, `scan_layers` and `gradient_checkpointing` mean nothing here.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.model = _Recurrence(config)
        self.lm_head = nn.Linear(config.hidden_dim, config.vocab_size, bias=False)

    @classmethod
    def from_state_dict(cls, config: ModelConfig, state_dict: Mapping[str, Any]) -> TorchHRM:
        """Makes a model of arrays or tensors under packed names; what is float32 and writable is shared, not copied.

        A RuntimeError of torch lists what does not fit.
        """
        with torch.device("meta"):  # no time and no memory for weights that are replaced at once
            model = cls(config)
        tensors = {
            name: array.float() if isinstance(array, Tensor) else torch.from_numpy(np.require(array, np.float32, "W"))
            for name, array in state_dict.items()
        }
        model.load_state_dict(tensors, assign=True)
        return model.eval()

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B K"] | None = None,
        token_type_ids: Int[Tensor, "B T"] | None = None,
        position_ids: Int[Tensor, "B T"] | None = None,
        past: Sequence[KeyValue] | None = None,
    ) -> Tensor | tuple[Tensor, list[KeyValue]]:
        """Returns the logits of every position, [B, T, V].

        Args:
          input_ids: Token ids, padded on either side.
          attention_mask: 1 for real tokens, those in `past` first (K = S + T); None: all are real.
          token_type_ids: 1 for prompt tokens, which everyone sees under `prefix_lm`; they come in one call. None: none.
          position_ids: None: count the real tokens before each.
          past: A pair for each pass and layer (`empty_past` to begin with). With it, the result is the logits and the
            pairs grown by T.
        """
        batch, length = input_ids.shape
        cached = past[0][0].shape[2] if past else 0
        if attention_mask is None:
            attention_mask = torch.ones(batch, cached + length, dtype=torch.int64, device=input_ids.device)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        if position_ids is None:
            position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, cached:]
        bias = _attention_bias(self.config, attention_mask, token_type_ids, cached=cached)
        z_h, kept = self.model(input_ids, _rotation(self.config, position_ids), bias, past)
        logits = self.lm_head(z_h)
        return logits if past is None else (logits, kept)

    @torch.no_grad()
    def logits(self, tokens: Any, prefix_len: Any = None) -> Float[Tensor, "B T V"]:
        """Runs the plain forward on [B, T] token ids whose first `prefix_len` [B] are the prompt (None: no prompt)."""
        device = self.lm_head.weight.device
        ids = torch.as_tensor(tokens, device=device).long()
        lengths = torch.as_tensor(np.zeros(len(ids)) if prefix_len is None else prefix_len, device=device)
        prompt = torch.arange(ids.shape[1], device=device)[None, :] < lengths[:, None]
        return self(ids, token_type_ids=prompt.long())

    def empty_past(self, batch: int) -> list[KeyValue]:
        """Returns the cache before the first token."""
        shape = (batch, self.config.num_heads, 0, self.config.resolved_head_dim)
        empty = torch.zeros(shape, device=self.lm_head.weight.device)
        return [(empty, empty) for _ in range(num_slots(self.config))]


def num_slots(config: ModelConfig) -> int:
    """Returns the number of key-value pairs: one for each pass and layer, pass after pass."""
    factor = 2 if config.core in ("looped", "transformer") else 1
    return num_stack_passes(config) * factor * config.layers_per_stack


def num_stack_passes(config: ModelConfig) -> int:
    """Returns how many times a stack is applied (`hrm_codegen.model.num_passes`, which would import jax)."""
    if config.core == "transformer":
        return 1
    passes = config.h_cycles * (config.l_cycles + 1)
    return passes // 2 if config.core == "looped" else passes


class _Recurrence(nn.Module):
    """Embedding and cycles, under the prefix `model.`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_dim)
        if config.core == "hrm":
            self.L_module = _Stack(config, num_layers=config.layers_per_stack)
            self.H_module = _Stack(config, num_layers=config.layers_per_stack)
        else:
            factor = 1 if config.core == "trm" else 2
            self.module = _Stack(config, num_layers=factor * config.layers_per_stack)
        if config.core in ("hrm", "trm"):
            self.register_buffer("z_L_init", torch.zeros(config.hidden_dim))  # never trained

    def forward(
        self, input_ids: Tensor, rotation: Rotation, bias: Tensor, past: Sequence[KeyValue] | None
    ) -> tuple[Tensor, list[KeyValue]]:
        config = self.config
        x = self.embed_tokens(input_ids) * config.hidden_dim**0.5
        kept: list[KeyValue] = []

        def apply(stack: Callable, u: Tensor) -> Tensor:
            return stack(u, rotation, bias, past, kept)

        def injected(z: Tensor) -> Tensor:
            return z + x if config.x_inject else z

        z_h = x
        if config.core in ("looped", "transformer"):
            for _ in range(num_stack_passes(config)):
                z_h = apply(self.module, injected(z_h))
            return z_h, kept
        l_stack, h_stack = (self.L_module, self.H_module) if config.core == "hrm" else (self.module, self.module)
        z_l: Tensor = self.z_L_init
        for _ in range(config.h_cycles):
            for _ in range(config.l_cycles):
                z_l = apply(l_stack, z_l + injected(z_h))
            z_h = apply(h_stack, z_h + z_l)
        return z_h, kept


class _Stack(nn.Module):
    """Pre-norm blocks and one norm at the exit."""

    def __init__(self, config: ModelConfig, *, num_layers: int):
        super().__init__()
        self.norm_eps = config.norm_eps
        self.layers = nn.ModuleList(_Block(config) for _ in range(num_layers))

    def forward(
        self, x: Tensor, rotation: Rotation, bias: Tensor, past: Sequence[KeyValue] | None, kept: list[KeyValue]
    ) -> Tensor:
        """Appends this pass's keys and values to `kept`; its place there is its place in `past`."""
        for block in self.layers:
            x, pair = block(x, rotation, bias, past[len(kept)] if past else None)
            kept.append(pair)
        return _rms_norm(x, self.norm_eps)


class _Block(nn.Module):
    """`x += Attention(norm(x)); x += Mlp(norm(x))`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm_eps = config.norm_eps
        self.attn = _Attention(config)
        self.mlp = _Mlp(config)

    def forward(self, x: Tensor, rotation: Rotation, bias: Tensor, past: KeyValue | None) -> tuple[Tensor, KeyValue]:
        mixed, pair = self.attn(_rms_norm(x, self.norm_eps), rotation, bias, past)
        x = x + mixed
        return x + self.mlp(_rms_norm(x, self.norm_eps)), pair


class _Attention(nn.Module):
    """Multi-head attention with a sigmoid gate on each head channel."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.num_heads, self.head_dim = config.num_heads, config.resolved_head_dim
        width = self.num_heads * self.head_dim
        self.gqkv_proj = nn.Linear(config.hidden_dim, 4 * width, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_dim, bias=False)

    def forward(self, x: Tensor, rotation: Rotation, bias: Tensor, past: KeyValue | None) -> tuple[Tensor, KeyValue]:
        packed = self.gqkv_proj(x).unflatten(-1, (4, self.num_heads, self.head_dim))
        packed = packed.permute(2, 0, 3, 1, 4)  # [4, B, N, T, H]
        q, k = _rotate(packed[1:3], rotation).unbind(0)
        v = packed[3]
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        # One operator, not its parts: the exporter then takes half the time.
        mixed = torch.sigmoid(packed[0]) * nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.o_proj(mixed.transpose(1, 2).flatten(2)), (k, v)


class _Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        inner = config.resolved_intermediate_dim
        self.gate_up_proj = nn.Linear(config.hidden_dim, 2 * inner, bias=False)
        self.down_proj = nn.Linear(inner, config.hidden_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(nn.functional.silu(gate) * up)


def _rms_norm(x: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def _rotation(config: ModelConfig, positions: Tensor) -> Rotation:
    size = config.resolved_head_dim
    steps = torch.arange(0, size, 2, dtype=torch.float32, device=positions.device)
    angles = positions[:, :, None].float() * config.rope_theta ** (-steps / size)
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, rotation: Rotation) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * rotation[0] + torch.cat([-second, first], dim=-1) * rotation[1]


def _attention_bias(
    config: ModelConfig, attention_mask: Tensor, token_type_ids: Tensor, *, cached: int | torch.SymInt
) -> Tensor:
    """What is added to the scores, [B, 1, T, S + T]: 0 where a query may see a key.

    Not minus infinity: a padding token on the left sees nothing, and a softmax of nothing would not be finite.
    """
    batch, length = token_type_ids.shape
    device = token_type_ids.device
    # Counted, not sliced from one range: the exporter would not know how long the slice is.
    keys, queries = torch.arange(cached + length, device=device), torch.arange(length, device=device) + cached
    visible = keys[None, None, :] <= queries[None, :, None]
    if config.mask == "prefix_lm":
        # Cached keys are before every query, so that only those of this call can be of a prompt still being read.
        past = torch.zeros(batch, cached, dtype=torch.bool, device=device)
        visible = visible | torch.cat([past, token_type_ids == 1], dim=1)[:, None, :]
    visible = visible & (attention_mask == 1)[:, None, :]
    return torch.where(visible, 0.0, torch.finfo(torch.float32).min)[:, None]
