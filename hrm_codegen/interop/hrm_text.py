"""Parameters under the tensor names of `hrm_text`, the format of Transformers, vLLM and llama.cpp.

Why: a checkpoint of the `hrm` core is at once a checkpoint of those programs. Names and shapes are PyTorch's: weights
are [out, in], layers are numbered, gate/q/k/v and gate/up are packed, in this order. The other cores use the same
names with one stack, `model.module`. Only arrays pass here; `config.json` and tokenizer files are another matter.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import Float

from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.errors import CheckpointError
from hrm_codegen.model import abstract

_STACKS = {"l_stack": "model.L_module", "h_stack": "model.H_module", "stack": "model.module"}
_SPLIT = {
    "attn.gqkv_proj": ("self_attn.gate_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj": ("mlp.down_proj",),
}
_LAYER = {
    ("attn", "gqkv"): "attn.gqkv_proj",
    ("attn", "out"): "attn.o_proj",
    ("mlp", "gate_up"): "mlp.gate_up_proj",
    ("mlp", "down"): "mlp.down_proj",
}
_MOST_LISTED = 8
EMBEDDING = "model.embed_tokens.weight"
# What HRM-Text's training program calls them, and what of it no model has.
_UPSTREAM = {
    "model.L_level.core.": "model.L_module.",
    "model.H_level.core.": "model.H_module.",
    "model.zL_init": "model.z_L_init",
    "embed_tokens.embedding_weight": EMBEDDING,
}
_UPSTREAM_DROPPED = re.compile(r"model\.zH_init|model\.[HL]_level\.core\.rotary_emb\..*")


def to_state_dict(config: ModelConfig, params: nnx.State) -> dict[str, np.ndarray]:
    """Names the parameters as `hrm_text` does.

    Args:
      config: The model's configuration, for the number of layers and whether they are stacked.
      params: Its parameters, on any device.

    Returns:
      Packed names to contiguous arrays: `model.embed_tokens.weight` [V, D], `lm_head.weight` [V, D],
      `model.z_L_init` [D], and for each stack and layer `attn.gqkv_proj.weight` [4NH, D], `attn.o_proj.weight`
      [D, NH], `mlp.gate_up_proj.weight` [2F, D], `mlp.down_proj.weight` [D, F].
    """
    leaves = {path: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(params)}
    return {
        tensor.name: np.ascontiguousarray(tensor.to_torch(leaves[path]))
        for path, tensors in _layout(config).items()
        for tensor in tensors
    }


def from_state_dict(config: ModelConfig, state_dict: Mapping[str, Any]) -> nnx.State:
    """Reads parameters from `hrm_text` names, packed or split (`self_attn.q_proj`, `mlp.up_proj`, ...).

    Args:
      config: The model that the tensors must fit.
      state_dict: Names to arrays of any floating type.

    Returns:
      Parameters of `model.init`'s structure, float32 arrays in host memory.

    Raises:
      CheckpointError: Tensors are missing, unexpected or of another shape; all of them are listed.
    """
    reader = _StateDictReader(state_dict)
    _, shapes = abstract(config)
    layout = _layout(config)
    leaves = []
    for path, leaf in nnx.to_flat_state(shapes):
        stacked = layout[path][0].layer is not None
        shape = leaf.shape[1:] if stacked else leaf.shape
        arrays = [tensor.from_torch(reader.take(tensor), shape) for tensor in layout[path]]
        leaves.append((path, leaf.replace(np.stack(arrays) if stacked else arrays[0])))
    reader.check(config)
    return nnx.from_flat_state(leaves)


def translate_upstream(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Renames the tensors of HRM-Text's training program; other names stay as they are."""
    kept = {name: array for name, array in state_dict.items() if not _UPSTREAM_DROPPED.fullmatch(name)}
    return {_translate(name): array for name, array in kept.items()}


def hash_state_dict(state_dict: Mapping[str, np.ndarray]) -> str:
    """Returns the sha256 of names, types, shapes and values, whatever the order; arrays are contiguous."""
    digest = hashlib.sha256()
    for name, array in sorted(state_dict.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Tensor:
    """One tensor of a state dict, and the leaf it comes from.

    Attributes:
      name: Its packed name.
      shape: In the state dict.
      transposed: The leaf is [in, out, ...].
      layer: Index into a leaf of stacked layers; None: the leaf is of one layer.
    """

    name: str
    shape: tuple[int, ...]
    transposed: bool = False
    layer: int | None = None

    def to_torch(self, leaf: np.ndarray) -> np.ndarray:
        if self.layer is not None:
            leaf = leaf[self.layer]
        # Inputs are the first axis of a leaf, and its outputs may be several axes: packed parts, heads.
        return leaf.reshape(leaf.shape[0], -1).T if self.transposed else leaf

    def from_torch(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return (array.T if self.transposed else array).reshape(shape)


def _layout(config: ModelConfig) -> dict[tuple, list[_Tensor]]:
    """Every leaf's path and the tensors in it: one, or with stacked layers one a layer, in their order."""
    dim, vocab = config.hidden_dim, config.vocab_size
    layout = {
        ("embed",): [_Tensor(name=EMBEDDING, shape=(vocab, dim))],
        ("head",): [_Tensor(name="lm_head.weight", shape=(vocab, dim), transposed=True)],
    }
    if config.core in ("hrm", "trm"):
        layout[("z_l_init",)] = [_Tensor(name="model.z_L_init", shape=(dim,))]
    for stack, prefix, layer in _layers(config):
        for (part, leaf), packed in _LAYER.items():
            middle = ("layers",) if config.scan_layers else ("layers", layer)
            tensor = _Tensor(
                name=f"{prefix}.layers.{layer}.{packed}.weight",
                shape=_shape(config, packed),
                transposed=True,
                layer=layer if config.scan_layers else None,
            )
            layout.setdefault((stack, *middle, part, leaf), []).append(tensor)
    return layout


def _translate(name: str) -> str:
    prefix = next((theirs for theirs in _UPSTREAM if name.startswith(theirs)), "")
    return _UPSTREAM[prefix] + name.removeprefix(prefix) if prefix else name


def _layers(config: ModelConfig) -> Iterator[tuple[str, str, int]]:
    stacks = ("l_stack", "h_stack") if config.core == "hrm" else ("stack",)
    num_layers = config.layers_per_stack * (2 if config.core in ("looped", "transformer") else 1)
    for stack in stacks:
        for layer in range(num_layers):
            yield stack, _STACKS[stack], layer


def _shape(config: ModelConfig, packed: str) -> tuple[int, int]:
    dim, inner = config.hidden_dim, config.resolved_intermediate_dim
    heads = config.num_heads * config.resolved_head_dim
    return {
        "attn.gqkv_proj": (4 * heads, dim),
        "attn.o_proj": (dim, heads),
        "mlp.gate_up_proj": (2 * inner, dim),
        "mlp.down_proj": (dim, inner),
    }[packed]


class _StateDictReader:
    """Takes tensors out of a state dict and remembers what does not fit, so that one message can tell it all."""

    def __init__(self, state_dict: Mapping[str, Any]) -> None:
        self._left = dict(state_dict)
        self._missing: list[str] = []
        self._misshapen: list[str] = []

    def take(self, tensor: _Tensor) -> Float[np.ndarray, "..."]:
        """The tensor as float32, zeros if it is not there or of another shape (`check` raises then)."""
        names = self._names(tensor.name)
        shape = (tensor.shape[0] // len(names), *tensor.shape[1:])
        parts = [self._part(name, shape) for name in names]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _names(self, name: str) -> list[str]:
        if name in self._left:
            return [name]
        for packed, split in _SPLIT.items():
            if name.endswith(f".{packed}.weight"):
                names = [name.replace(packed, part) for part in split]
                return names if any(part in self._left for part in names) else [name]
        return [name]

    def _part(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in self._left:
            self._missing.append(name)
            return np.zeros(shape, np.float32)
        array = np.asarray(self._left.pop(name))
        if array.shape != shape:
            self._misshapen.append(f"{name} is {list(array.shape)}, not {list(shape)}")
            return np.zeros(shape, np.float32)
        return array.astype(np.float32, copy=False)

    def check(self, config: ModelConfig) -> None:
        """Raises for all that was missing, unexpected or of another shape."""
        problems = [
            f"{len(names)} {kind}: {', '.join(names[:_MOST_LISTED])}{', ...' if len(names) > _MOST_LISTED else ''}"
            for kind, names in (
                ("missing", self._missing),
                ("unexpected", sorted(self._left)),
                ("of another shape", self._misshapen),
            )
            if names
        ]
        if problems:
            raise CheckpointError(f"these tensors do not fit a model of core {config.core!r}: {'; '.join(problems)}")
