"""The models that are measured, by name. Imports neither jax nor torch: every process reads it."""

from __future__ import annotations

from typing import Any

from hrm_codegen.config import PRESETS, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig

SIZES: dict[str, dict[str, Any]] = {
    "1m": {"vocab_size": 1024, "hidden_dim": 128, "num_heads": 4, "intermediate_dim": 384},
    "3m": {"vocab_size": 2048, "hidden_dim": 192, "num_heads": 3, "intermediate_dim": 512},
    "8m": {"vocab_size": 4096, "hidden_dim": 320, "num_heads": 5, "intermediate_dim": 896},
    **{name: PRESETS[name] for name in ("tiny", "dev", "27m")},
}
GRADED_PASSES = 5  # K; with H2 L3 that is `L_bp_cycles` [0, 3] of Transformers
BATCH, SEQ_LEN = 8, 256
LEARNING_RATE, BETAS, WEIGHT_DECAY, CLIP = 1e-3, (0.9, 0.95), 0.1, 1.0


def config_of(size: str) -> Config:
    """Returns the configuration of a size: AdamW with clipping, float32, the paper's K from the first step."""
    return Config(
        name=size,
        model=ModelConfig(**SIZES[size], dtype="float32"),
        data=DataConfig(seq_len=SEQ_LEN),
        optim=OptimConfig(
            name="adamw",
            lr=LEARNING_RATE,
            b1=BETAS[0],
            b2=BETAS[1],
            weight_decay=WEIGHT_DECAY,
            clip_norm=CLIP,
            ema_decay=0.0,
        ),
        train=TrainConfig(num_steps=100_000, batch_size=BATCH, bp_min=GRADED_PASSES, bp_max=GRADED_PASSES),
    )
