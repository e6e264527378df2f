"""`config.json` of `hrm_text`, the model type of Transformers, vLLM and llama.cpp: ours to theirs, and back.

Why: a checkpoint is only as portable as its configuration, and theirs has traps: the number of layers is that of one
stack in some files and of all passes in others, the default routing of gradients is not the paper's, the scale of the
embedding is free. Each is settled here, in one place. No tensors: those are `hrm_text.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hrm_codegen.config.schema import Config, ModelConfig
from hrm_codegen.errors import CheckpointError, UsageError
from hrm_codegen.model.schedule import bp_schedule, cycle_groups

MODEL_TYPE = "hrm_text"
_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_dim": "hidden_size",
    "num_heads": "num_attention_heads",
    "intermediate_dim": "intermediate_size",
    "h_cycles": "H_cycles",
    "l_cycles": "L_cycles",
    "max_seq_len": "max_position_embeddings",
}
# What Transformers could configure and the recurrence does not have.
_FIXED: dict[str, Any] = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}


def why_not_hrm_text(config: ModelConfig) -> str | None:
    """Returns why a model cannot be an `hrm_text` checkpoint, None if it can."""
    if config.core not in ("hrm", "trm"):
        return f"its core is {config.core!r}: Transformers knows the cores hrm and trm (as hrm with equal stacks) only"
    if config.x_inject:
        return "model.x_inject adds the embedding to every pass, which Transformers' hrm_text does not"
    if config.hidden_dim % config.num_heads:
        return f"model.hidden_dim {config.hidden_dim} is no multiple of model.num_heads {config.num_heads}"
    return None


def to_hf_config(config: Config, *, pad_id: int, boq_id: int, eoa_id: int) -> dict[str, Any]:
    """Returns the content of `config.json`.

    Args:
      config: The model, and the training whose last truncation of the gradient is kept.
      pad_id: Padding.
      boq_id: Begins a prompt.
      eoa_id: Ends an answer.

    Raises:
      UsageError: The model is not an `hrm_text` model.
    """
    model = config.model
    if (reason := why_not_hrm_text(model)) is not None:
        raise UsageError(f"this model cannot be an hrm_text checkpoint: {reason}")
    resolved = {"intermediate_dim": model.resolved_intermediate_dim}
    return {
        "architectures": ["HrmTextForCausalLM"],
        "model_type": MODEL_TYPE,
        "dtype": "float32",
        **{theirs: resolved.get(ours, getattr(model, ours)) for ours, theirs in _SIZES.items()},
        "head_dim": model.resolved_head_dim,
        # As Transformers saves it: the real number, and the slots of the key-value cache.
        "num_layers_per_stack": model.layers_per_stack,
        "num_hidden_layers": model.layers_per_stack * model.h_cycles * (model.l_cycles + 1),
        # Not its default, which is another routing than the paper's.
        "L_bp_cycles": bp_cycles(config),
        "prefix_lm": model.mask == "prefix_lm",
        "initializer_range": model.hidden_dim**-0.5,
        "embedding_scale": model.hidden_dim**0.5,
        "rms_norm_eps": model.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_theta},
        **_FIXED,
        "attention_dropout": 0.0,
        "use_cache": True,
        "pad_token_id": pad_id,
        "bos_token_id": boq_id,
        "eos_token_id": eoa_id,
    }


def bp_cycles(config: Config) -> list[int]:
    """Returns how many of each H cycle's L passes carry gradient, with the last K of the training's schedule.

    H2 L3 with the paper's K = 5 gives [0, 3]. Transformers differentiates every H pass.
    """
    passes = bp_schedule(config.model, config.train)[-1][1]
    groups = cycle_groups(config.model.h_cycles, config.model.l_cycles, passes)
    return [group.graded_l for group in groups for _ in range(group.length)]


def from_hf_config(tree: Mapping[str, Any], *, place: str, layers: int | None = None) -> ModelConfig:
    """Reads `config.json`.

    Args:
      tree: Its content.
      place: The file's name, for messages.
      layers: Layers that a stack has in the weights: some converters write the number of both stacks. None: believe
        the file.

    Raises:
      CheckpointError: Another model type, a field missing or of the wrong type, or a model that is not ours.
    """
    if tree.get("model_type") != MODEL_TYPE:
        raise CheckpointError(f"{place}: model_type is {tree.get('model_type')!r}, expected {MODEL_TYPE!r}")
    problems = [
        f"{name} is {tree[name]!r}, but only {value!r} is supported"
        for name, value in _FIXED.items()
        if tree.get(name, value) != value
    ]
    rope = tree.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        problems.append(f"rope_parameters {rope!r} are not the default kind")
    numbers = {ours: tree.get(theirs) for ours, theirs in _SIZES.items()}
    numbers["layers_per_stack"] = layers or tree.get("num_layers_per_stack") or tree.get("num_hidden_layers")
    numbers["head_dim"] = tree.get("head_dim") or _ratio(numbers["hidden_dim"], numbers["num_heads"])
    names = _SIZES | {"layers_per_stack": "num_layers_per_stack", "head_dim": "head_dim"}
    problems += [
        f"{names[ours]} is {value!r}, expected a positive integer"
        for ours, value in numbers.items()
        if not isinstance(value, int) or isinstance(value, bool) or value < 1
    ]
    reals = {
        "rope_theta": rope.get("rope_theta", tree.get("rope_theta", 10000.0)),
        "norm_eps": tree.get("rms_norm_eps", 1e-6),
    }
    problems += [
        f"{name} is {value!r}, expected a number" for name, value in reals.items() if not isinstance(value, int | float)
    ]
    if problems:
        raise CheckpointError(f"{place}: {'; '.join(problems)}")
    mask = "prefix_lm" if tree.get("prefix_lm", True) else "causal"
    return ModelConfig(
        core="hrm", mask=mask, **numbers, **{name: float(value) for name, value in reals.items()}  # type: ignore[arg-type]
    )  # fmt: skip


def embedding_factor(tree: Mapping[str, Any], *, place: str) -> float:
    """Returns what the embedding must be multiplied by to look as it does under our scale, sqrt(D).

    Raises:
      CheckpointError: A scale that is no positive number.
    """
    try:
        scale = tree.get("embedding_scale") or 1 / tree.get("initializer_range", 0.02)
        factor = float(scale) / math.sqrt(tree["hidden_size"])
    except (TypeError, ValueError, ZeroDivisionError):
        factor = math.nan
    if not 0 < factor < math.inf:
        raise CheckpointError(
            f"{place}: embedding_scale is {tree.get('embedding_scale')!r}, expected a positive number"
        )
    return 1.0 if math.isclose(factor, 1.0, rel_tol=1e-7) else factor


def _ratio(dim: Any, heads: Any) -> int | None:
    return dim // heads if isinstance(dim, int) and isinstance(heads, int) and heads > 0 else None
