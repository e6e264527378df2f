"""`hrm_text` names: a NumPy forward from the names alone, every core and layout both ways, and what does not fit."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from hrm_codegen.config.schema import ModelConfig
from hrm_codegen.errors import CheckpointError
from hrm_codegen.interop import from_state_dict, to_state_dict
from hrm_codegen.model import init, merge

CONFIG = ModelConfig(
    vocab_size=11, hidden_dim=8, num_heads=3, head_dim=4, intermediate_dim=10, layers_per_stack=2, dtype="float32"
)
CORES = ("hrm", "trm", "looped", "transformer")


def random_state_dict(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors of the `hrm` core, written from the table of the format, not from the code under test."""
    rng = np.random.default_rng(seed)
    dim, heads, inner, vocab = (
        config.hidden_dim,
        config.num_heads * config.head_dim,
        config.intermediate_dim,
        config.vocab_size,
    )
    shapes = {"model.embed_tokens.weight": (vocab, dim), "model.z_L_init": (dim,), "lm_head.weight": (vocab, dim)}
    for module in ("L", "H"):
        for layer in range(config.layers_per_stack):
            prefix = f"model.{module}_module.layers.{layer}"
            shapes |= {
                f"{prefix}.attn.gqkv_proj.weight": (4 * heads, dim),
                f"{prefix}.attn.o_proj.weight": (dim, heads),
                f"{prefix}.mlp.gate_up_proj.weight": (2 * inner, dim),
                f"{prefix}.mlp.down_proj.weight": (dim, inner),
            }
    # Scaled as weights are: of unit variance they make the network chaotic, and rounding moves a logit by 1e-2.
    scale = {name: shape[-1] ** -0.5 if len(shape) > 1 else 1.0 for name, shape in shapes.items()}
    return {name: (scale[name] * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def split(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {}
    for name, array in state.items():
        if "gqkv_proj" in name:
            for part, piece in zip(["gate", "q", "k", "v"], np.split(array, 4), strict=True):
                out[name.replace("attn.gqkv_proj", f"self_attn.{part}_proj")] = piece
        elif "gate_up_proj" in name:
            for part, piece in zip(("gate", "up"), np.split(array, 2), strict=True):
                out[name.replace("gate_up_proj", f"{part}_proj")] = piece
        else:
            out[name.replace(".attn.o_proj", ".self_attn.o_proj")] = array
    return out


def reference_logits(config: ModelConfig, state: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """HRM-Text's equations in float64, causal, for one sequence [T] -> [T, V]."""
    state = {name: array.astype(np.float64) for name, array in state.items()}
    length, heads, size = len(tokens), config.num_heads, config.head_dim
    angle = np.arange(length)[:, None] * config.rope_theta ** (-np.arange(0, size, 2) / size)
    cos, sin = (np.concatenate([f(angle)] * 2, -1)[:, None] for f in (np.cos, np.sin))

    def norm(x):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.norm_eps)

    def rotate(x):
        return x * cos + np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1) * sin

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def stack(module, x):
        for layer in range(config.layers_per_stack):
            weights = {n: a for n, a in split(state).items() if n.startswith(f"model.{module}_module.layers.{layer}.")}
            weight = {name.split(".")[-2]: w for name, w in weights.items() if "self_attn" in name}
            mlp = {name.split(".")[-2]: w for name, w in weights.items() if "mlp" in name}
            gate, q, k, v = (
                (norm(x) @ weight[f"{p}_proj"].T).reshape(length, heads, size) for p in ["gate", "q", "k", "v"]
            )
            scores = np.einsum("tnh,snh->nts", rotate(q), rotate(k)) / np.sqrt(size)
            scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
            probs = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = np.einsum("nts,snh->tnh", probs / probs.sum(-1, keepdims=True), v)
            x = x + (sigmoid(gate) * mixed).reshape(length, -1) @ weight["o_proj"].T
            gate = norm(x) @ mlp["gate_proj"].T
            x = x + (gate * sigmoid(gate) * (norm(x) @ mlp["up_proj"].T)) @ mlp["down_proj"].T
        return norm(x)

    z_h = np.sqrt(config.hidden_dim) * state["model.embed_tokens.weight"][tokens]
    z_l = np.broadcast_to(state["model.z_L_init"], z_h.shape)
    for _ in range(config.h_cycles):
        for _ in range(config.l_cycles):
            z_l = stack("L", z_l + z_h)
        z_h = stack("H", z_h + z_l)
    return z_h @ state["lm_head.weight"].T


@pytest.mark.parametrize("layout", [dict, split])
@pytest.mark.parametrize("scan_layers", [False, True])
def test_model_agrees_with_the_equations_on_these_names(layout, scan_layers) -> None:
    config = dataclasses.replace(CONFIG, scan_layers=scan_layers)
    state = random_state_dict(config)
    graphdef, _ = init(config, jax.random.key(0))
    params = from_state_dict(config, layout(state))
    tokens = np.array([1, 5, 10, 0, 3])
    logits = jax.jit(lambda params, tokens: merge(graphdef, params)(tokens))(params, jnp.asarray(tokens)[None])
    np.testing.assert_allclose(logits[0], reference_logits(config, state, tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scan_layers", [False, True])
@pytest.mark.parametrize("core", CORES)
def test_round_trip_of_every_core(core, scan_layers) -> None:
    config = dataclasses.replace(CONFIG, core=core, scan_layers=scan_layers)
    _, params = init(config, jax.random.key(1))
    state = to_state_dict(config, params)
    again = from_state_dict(config, state)
    assert jax.tree.structure(params) == jax.tree.structure(again)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), params, again)))
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in state.values())


def test_stacked_layers_have_the_same_names_and_values() -> None:
    state = random_state_dict(CONFIG)
    scanned = dataclasses.replace(CONFIG, scan_layers=True)
    again = to_state_dict(scanned, from_state_dict(scanned, state))
    assert again.keys() == state.keys()
    assert all((again[name] == state[name]).all() for name in state)


@pytest.mark.parametrize(
    ("core", "layers", "has_state"), [("trm", 2, True), ("looped", 4, False), ("transformer", 4, False)]
)
def test_cores_of_one_stack(core, layers, has_state) -> None:
    config = dataclasses.replace(CONFIG, core=core)
    state = to_state_dict(config, init(config, jax.random.key(0))[1])
    in_layers = {name for name in state if name.startswith("model.module.layers.")}
    assert in_layers == {
        f"model.module.layers.{layer}.{part}_proj.weight"
        for layer in range(layers)
        for part in ("attn.gqkv", "attn.o", "mlp.gate_up", "mlp.down")
    }
    rest = {"model.embed_tokens.weight", "lm_head.weight"} | ({"model.z_L_init"} if has_state else set())
    assert state.keys() - in_layers == rest


def test_low_precision_becomes_float32() -> None:
    state = {name: array.astype(ml_dtypes.bfloat16) for name, array in random_state_dict(CONFIG).items()}
    params = from_state_dict(CONFIG, state)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


def test_all_that_does_not_fit_is_listed() -> None:
    state = split(random_state_dict(CONFIG))
    del state["model.L_module.layers.1.self_attn.k_proj.weight"], state["lm_head.weight"]
    state["model.extra"] = np.zeros(3)
    state["model.z_L_init"] = np.zeros(9)
    with pytest.raises(CheckpointError, match="do not fit a model of core 'hrm'") as caught:
        from_state_dict(CONFIG, state)
    message = str(caught.value)
    assert "2 missing: lm_head.weight, model.L_module.layers.1.self_attn.k_proj.weight; " in message
    assert "; 1 unexpected: model.extra; 1 of another shape: model.z_L_init is [9], not [8]" in message


def test_another_core_is_a_clear_error() -> None:
    with pytest.raises(CheckpointError, match=r"core 'trm': 8 missing: .*; 16 unexpected: .*, \.\.\."):
        from_state_dict(dataclasses.replace(CONFIG, core="trm"), random_state_dict(CONFIG))
