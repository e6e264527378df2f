"""Golden losses: a change that should not change the computation leaves these five numbers a core as they are.

After a change that should (and only then), `python tests/training/test_training_golden.py` writes the file anew.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from hrm_codegen import model as hrm_model
from hrm_codegen.config import Config, ModelConfig, OptimConfig, TrainConfig
from hrm_codegen.training import create_state, make_optimizer, make_train_step
from hrm_codegen.typing import Batch

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "losses.json"
CORES = ("hrm", "trm", "looped", "transformer")
CONFIG = Config(
    model=ModelConfig(vocab_size=32, hidden_dim=16, num_heads=2, intermediate_dim=24, layers_per_stack=1, l_cycles=2),
    optim=OptimConfig(lr=1e-2, warmup_steps=2),
    train=TrainConfig(num_steps=5, batch_size=4),
)


def make_batch() -> Batch:
    """Two documents a row of 24 tokens, four tokens of padding, answers that follow from their prompts."""
    draws = np.random.default_rng(0).integers(1, 32, (4, 2, 5))
    documents = np.concatenate([draws, draws[..., ::-1]], axis=-1).reshape(4, 20)
    tokens = np.pad(documents, ((0, 0), (0, 4))).astype(np.int32)
    position = np.concatenate([np.arange(10), np.arange(10), np.zeros(4, int)]).astype(np.int32)
    segment = np.repeat(np.array([1, 2, 0], np.int32), [10, 10, 4])
    tile = lambda row: np.tile(row, (4, 1))  # noqa: E731
    in_prompt = (position < 5) & (segment > 0)
    return Batch(
        tokens=tokens,
        targets=np.roll(tokens, -1, axis=1),
        positions=tile(position),
        segment_ids=tile(segment),
        prefix_mask=tile(in_prompt),
        loss_mask=tile((position >= 4) & (position < 9) & (segment > 0)),
    )


def losses(core: str) -> list[float]:
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, core=core))
    graphdef, params = hrm_model.init(config.model, jax.random.key(0))
    tx, schedule = make_optimizer(config.optim, config.train.num_steps, params)
    state = create_state(params, tx, ema=True)
    step = make_train_step(graphdef, tx, schedule, config)
    passes = 3 if core in ("hrm", "trm") else None
    seen = []
    for _ in range(5):
        state, metrics = step(state, make_batch(), bp_passes=passes)
        seen.append(float(metrics["loss"]))
    return seen


@pytest.mark.parametrize("core", CORES)
def test_losses_are_the_golden_ones(core: str) -> None:
    expected = json.loads(GOLDEN.read_text())[core]
    # Room for another order of summation on another machine, not for another computation.
    np.testing.assert_allclose(losses(core), expected, rtol=2e-4)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({core: losses(core) for core in CORES}, indent=2) + "\n")
