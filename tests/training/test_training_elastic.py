"""Runs that are cut anywhere and go on elsewhere: other meshes, and SIGKILL at any moment."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny import ADDITIONS

from hrm_codegen.config import Config, DataConfig, MeshConfig, ModelConfig, OptimConfig, TrainConfig, to_yaml
from hrm_codegen.interop import load_bundle
from hrm_codegen.training import Trainer

CONFIG = Config(
    name="tiny",
    model=ModelConfig(
        vocab_size=264, hidden_dim=16, num_heads=2, intermediate_dim=32, layers_per_stack=1, h_cycles=1, l_cycles=1,
        max_seq_len=128,
    ),
    data=DataConfig(train="rows.json", tokenizer="byte", seq_len=96),
    optim=OptimConfig(lr=1e-2, warmup_steps=2, ema_decay=0.9),
    train=TrainConfig(num_steps=12, batch_size=8, log_every=1, checkpoint_every=4, wandb="disabled"),
)  # fmt: skip
KILLS = 20


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rows.json").write_text(json.dumps(ADDITIONS))
    return tmp_path


def fit(out: str, steps: int, mesh: MeshConfig, *, resume: bool = False) -> None:
    train = dataclasses.replace(CONFIG.train, out_dir=out, num_steps=steps)
    Trainer(None, None, None, dataclasses.replace(CONFIG, train=train, mesh=mesh)).fit(resume=resume)


def losses(out: str) -> list[float]:
    return [json.loads(line)["loss"] for line in Path(out, "metrics.jsonl").read_text().splitlines()]


def test_a_run_moves_between_one_device_and_eight() -> None:
    one = MeshConfig(data=1)
    fit("whole", 12, one)
    for steps, mesh in [(4, one), (8, MeshConfig(data=2, fsdp=2, tensor=2)), (12, one)]:
        fit("moved", steps, mesh, resume=steps > 4)
    assert losses("moved") == pytest.approx(losses("whole"), rel=1e-5)


def train(out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hrm_codegen", "train", "-c", "tiny.yaml", "--out", out]
    if Path(out, "state").is_dir():
        command += ["--resume", out]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_at_random_moments_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kills come where training is, some in the middle of writing a checkpoint; the rest is a plain run."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    steps = dataclasses.replace(CONFIG.train, num_steps=4000, checkpoint_every=20, log_every=100)
    Path("tiny.yaml").write_text(to_yaml(dataclasses.replace(CONFIG, train=steps)))
    assert train("whole").wait() == 0
    rng = random.Random(0)
    kills = 0
    while kills < KILLS:
        process = train("killed")
        while process.poll() is None and not list(Path("killed").glob("state/*")):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 9))
        if process.poll() is not None:
            assert process.returncode == 0, process.communicate()[1].decode()[-2000:]
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    finish = train("killed")
    assert finish.wait() == 0, finish.communicate()[1].decode()[-2000:]
    assert kills >= KILLS // 2
    whole, killed = (load_bundle(Path(run, "best.pt")) for run in ("whole", "killed"))
    assert killed.metadata["step"] == whole.metadata["step"]
    for name, array in whole.state_dict.items():
        np.testing.assert_array_equal(killed.state_dict[name], array, err_msg=name)
