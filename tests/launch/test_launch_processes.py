"""Real processes: they meet, agree, train alike, and end together. Each start of two takes seconds: there are few."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import ADDITIONS

from hrm_codegen.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig, to_yaml
from hrm_codegen.training import Trainer

HERE = Path(__file__).parent
CONFIG = Config(
    name="tiny",
    model=ModelConfig(
        core="transformer", vocab_size=264, hidden_dim=16, num_heads=2, intermediate_dim=32, layers_per_stack=1,
        max_seq_len=128,
    ),
    data=DataConfig(train="rows.json", eval="eval.json", tokenizer="byte", seq_len=96),
    optim=OptimConfig(lr=1e-2, warmup_steps=2, ema_decay=0.9),
    train=TrainConfig(
        num_steps=6, batch_size=8, log_every=1, eval_every=3, eval_batches=2, checkpoint_every=100, wandb="disabled",
    ),
)  # fmt: skip


def environ(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "SLURM_", "XLA_"))}
    cache = {"JAX_COMPILATION_CACHE_DIR": str(Path(os.environ.get("TMPDIR", "/tmp")) / "hrm_codegen_test_cache")}
    return inherited | cache | {"PYTHONPATH": str(HERE), "HRM_CODEGEN_START_TIMEOUT": "60"} | variables


def start(*args: str, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hrm_codegen.launch", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environ(**variables), stdout=pipe, stderr=pipe, text=True, cwd=cwd)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def child(launcher: int, index: int) -> int:
    """Returns the id of the launcher's child with this number."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    mark = f"JAX_PROCESS_ID={index}".encode()
    [found] = [int(pid) for pid in children if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")]
    return found


def wait_for(path: Path, lines: int) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert time.monotonic() < deadline, f"no {lines} lines in {path}"
        time.sleep(0.02)


def test_two_processes_add_up_over_all_devices(tmp_path):
    process = start("--processes", "2", "--devices", "2", "--logs", str(tmp_path), "--module", "launch_sum", "--", "x")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    found = [2, 4, 2, 28.0, [0, 1, 0]]
    assert json.loads(out) == found  # only process 0's, and none of gloo's lines
    assert "[Gloo]" in err
    assert f"found {json.dumps(found)}" in (tmp_path / "rank_1.log").read_text()


def test_one_dying_ends_the_other_and_gives_its_code(tmp_path):
    process = start("--module", "launch_stub", "--", str(tmp_path), "die")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "[1] dying" in err
    assert (tmp_path / "0").read_text() == "started\nSIGTERM\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_all(tmp_path, number):
    process = start("--processes", "3", "--module", "launch_stub", "--", str(tmp_path), "wait")
    for index in range(3):
        wait_for(tmp_path / str(index), lines=1)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [(tmp_path / str(index)).read_text() for index in range(3)] == [f"started\n{number.name}\n"] * 3
    assert out == "data of 0\n"


def test_an_unreachable_coordinator_is_named_with_the_way_out(tmp_path):
    port = free_port()
    variables = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": "2", "JAX_PLATFORMS": "cpu"}
    for index, message in [("1", "no process 0 at"), ("0", "not all 2 processes of this run met at")]:
        env = environ(**variables, JAX_PROCESS_ID=index, HRM_CODEGEN_START_TIMEOUT="2")
        command = [sys.executable, "-m", "hrm_codegen", "train", "-c", "smoke", "--out", str(tmp_path)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"DeviceError: {message} 127.0.0.1:{port}")
        assert "HRM_CODEGEN_START_TIMEOUT=SECONDS" in last


def test_slurm_tasks_find_each_other():
    slurm = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    slurm |= {"JAX_COORDINATOR_PORT": str(free_port()), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", "launch_sum"],
            env=environ(**slurm, SLURM_PROCID=str(index), SLURM_LOCALID=str(index)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    outputs = [task.communicate(timeout=200) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], outputs
    found = [2, 4, 2, 28.0, [0, 1, 0]]
    assert json.loads(outputs[0][0]) == found
    assert outputs[1][0] == ""
    assert f"found {json.dumps(found)}" in outputs[1][1]


def test_training_in_two_processes_is_training_in_one(tmp_path, monkeypatch):
    """It computes the same, process 0 alone writes, SIGTERM to one makes both save the same step, stdout is data.

    And one process goes on where the two stopped, as if there had never been more than one.
    """
    monkeypatch.chdir(tmp_path)
    Path("rows.json").write_text(json.dumps(ADDITIONS))
    Path("eval.json").write_text(json.dumps(ADDITIONS[:5]))
    Path("tiny.yaml").write_text(to_yaml(CONFIG))
    Trainer(None, None, None, CONFIG).fit()
    one = [json.loads(line) for line in Path("checkpoints/tiny-1/metrics.jsonl").read_text().splitlines()]

    endless = ["--set", "train.num_steps=100000"]
    process = start(
        "--devices", "4", "--", "train", "-c", "tiny.yaml", "--out", "two", "--json", *endless, cwd=tmp_path
    )
    wait_for(Path("two/metrics.jsonl"), lines=len(one))
    os.kill(child(process.pid, index=1), signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert [path.name for path in Path("two/state").iterdir()] == [str(int(result["steps"]))]
    two = [json.loads(line) for line in Path("two/metrics.jsonl").read_text().splitlines()]
    for ours, theirs in zip(two, one, strict=False):
        assert ours["step"] == theirs["step"]
        for name in {"loss", "eval_loss", "grad_norm", "num_tokens"} & set(theirs):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5, rel=1e-5)
    assert sorted(path.name for path in Path("two").iterdir()) == [
        "best.pt", "config.yaml", "logs", "metrics.jsonl", "state",
    ]  # fmt: skip
    assert [path.name for path in Path("two/logs").iterdir()] == ["rank_1.jsonl"]
    lines = [json.loads(line) for line in Path("two/logs/rank_1.jsonl").read_text().splitlines()]
    assert {line["process"] for line in lines} == {1}

    last = int(result["steps"]) + 4
    longer = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, num_steps=last, eval_every=last))
    Trainer(None, None, None, longer).fit()
    resumed = dataclasses.replace(longer, train=dataclasses.replace(longer.train, out_dir="two"))
    Trainer(None, None, None, resumed).fit(resume=True)
    whole, parts = (losses_of(f"{run}/metrics.jsonl") for run in ("checkpoints/tiny-2", "two"))
    assert len(parts) == last
    assert parts == pytest.approx(whole, rel=1e-4)


def losses_of(path: str) -> list[float]:
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]
