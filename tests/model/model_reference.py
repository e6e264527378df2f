"""The model once more, from the equations, in plain float64 NumPy and Python loops: an independent reference."""

from __future__ import annotations

import numpy as np

from hrm_codegen.config.schema import ModelConfig


def norm(x: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rope(x: np.ndarray, theta: float) -> np.ndarray:
    """Rotates pairs (i, i + H/2) by position * theta^(-2i/H), one position and head at a time, with complex numbers."""
    length, _, size = x.shape
    out = np.empty_like(x)
    for t in range(length):
        for i in range(size // 2):
            turned = (x[t, :, i] + 1j * x[t, :, i + size // 2]) * np.exp(1j * t * theta ** (-2 * i / size))
            out[t, :, i], out[t, :, i + size // 2] = turned.real, turned.imag
    return out


def allowed(i: int, j: int, prefix_len: int) -> bool:
    return j <= i or (i < prefix_len and j < prefix_len)


def block(x: np.ndarray, layer: dict, config: ModelConfig, prefix_len: int) -> np.ndarray:
    length, heads, size = len(x), config.num_heads, config.resolved_head_dim
    packed = np.split(norm(x, config.norm_eps) @ layer["attn"]["gqkv"].reshape(x.shape[1], -1), 4, -1)
    gate, q, k, v = (part.reshape(length, heads, size) for part in packed)
    q, k = rope(q, config.rope_theta), rope(k, config.rope_theta)
    mixed = np.zeros((length, heads, size))
    for n in range(heads):
        for i in range(length):
            seen = [j for j in range(length) if allowed(i, j, prefix_len)]
            scores = np.array([q[i, n] @ k[j, n] for j in seen]) / np.sqrt(size)
            weights = np.exp(scores - scores.max())
            mixed[i, n] = (weights / weights.sum()) @ v[seen, n]
    x = x + (sigmoid(gate) * mixed).reshape(length, -1) @ layer["attn"]["out"]
    a, b = np.split(norm(x, config.norm_eps) @ layer["mlp"]["gate_up"].reshape(x.shape[1], -1), 2, -1)
    return x + (a * sigmoid(a) * b) @ layer["mlp"]["down"]


def stack(x: np.ndarray, weights: dict, config: ModelConfig, prefix_len: int) -> np.ndarray:
    for index in range(len(weights["layers"])):
        x = block(x, weights["layers"][index], config, prefix_len)
    return norm(x, config.norm_eps)


def logits(weights: dict, config: ModelConfig, tokens: np.ndarray, prefix_len: int) -> np.ndarray:
    """One unpadded row [T] -> [T, V]."""
    x = weights["embed"][tokens] * np.sqrt(config.hidden_dim)
    z_h, inject = x, x if config.x_inject else 0.0
    if config.core == "transformer":
        z_h = stack(x + inject, weights["stack"], config, prefix_len)
    elif config.core == "looped":
        for _ in range(config.h_cycles * (config.l_cycles + 1) // 2):
            z_h = stack(z_h + inject, weights["stack"], config, prefix_len)
    else:
        low, high = ("l_stack", "h_stack") if config.core == "hrm" else ("stack", "stack")
        z_l = weights["z_l_init"]
        for _ in range(config.h_cycles):
            for _ in range(config.l_cycles):
                z_l = stack(z_l + z_h + inject, weights[low], config, prefix_len)
            z_h = stack(z_h + z_l, weights[high], config, prefix_len)
    return z_h @ weights["head"]
