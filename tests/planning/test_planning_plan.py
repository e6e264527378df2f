"""A plan from start to end: on a rehearsal target of virtual CPU devices, and (slow) with the real compilers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from hrm_codegen.cli import main
from hrm_codegen.config import Config, DataConfig, ModelConfig, TrainConfig
from hrm_codegen.errors import ConfigError
from hrm_codegen.planning import compile as compiling
from hrm_codegen.planning import plan as planning
from hrm_codegen.planning.targets import Target, find_target

# The cheapest core to compile; loops of the others are in test_planning_hlo and test_planning_flops.
SMALL = [
    "model.core=transformer", "model.vocab_size=2048", "model.hidden_dim=16", "model.num_heads=2",
    "model.intermediate_dim=32", "model.layers_per_stack=1", "model.max_seq_len=64", "data.seq_len=32",
    "train.grad_accum=2", "train.num_steps=50", "sample.max_tokens=16",
]  # fmt: skip
ARGUMENTS = ["-c", "basics_dev", *(word for field in SMALL for word in ("--set", field))]
ROWS = ["--set", "train.batch_size=16"]
CONFIG = Config(
    model=ModelConfig(
        core="transformer", vocab_size=64, hidden_dim=16, num_heads=2, intermediate_dim=32, layers_per_stack=1
    ),
    data=DataConfig(seq_len=32),
    train=TrainConfig(num_steps=50, batch_size=16, grad_accum=2),
)


def test_train_as_json(capsys: pytest.CaptureFixture[str]):
    argv = ["plan", *ARGUMENTS, "--batch", "16", "--target", "cpux8", "--no-suggest", "--json"]
    assert main(argv) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert plan["mesh"] == {"data": 8, "fsdp": 1, "tensor": 1}
    assert plan["tokens_per_step"] == 16 * 32
    assert plan["fits"] is True
    assert plan["memory"]["short"] == 0
    assert 0 < plan["memory"]["arguments"] < plan["memory"]["peak"]
    assert plan["flops_per_device"] * 8 == plan["flops_per_step"]
    assert any(item["op"] == "all-reduce" and item["devices"] == 8 for item in plan["collectives"])
    roof, peaks = plan["roofline"], plan["peaks"]
    assert roof["memory_seconds"] == plan["memory_bytes"] / peaks["memory_bandwidth"]
    assert roof["step_seconds"] == max(roof[f"{term}_seconds"] for term in ("compute", "memory", "network"))
    assert plan["bound"]["tokens_per_second"] == plan["tokens_per_step"] / roof["step_seconds"]
    assert plan["bound"]["hours"] == pytest.approx(50 * roof["step_seconds"] / 3600)
    assert plan["largest_batch"] is None

    assert main([*argv, "--set", "mesh.data=1", "--set", "mesh.fsdp=8"]) == 0
    sharded = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert sharded["memory"]["arguments"] < 0.5 * plan["memory"]["arguments"]
    assert "all-gather" in {item["op"] for item in sharded["collectives"]}
    assert sharded["flops_per_step"] == plan["flops_per_step"]


def test_plans_are_of_programs_as_accelerators_run_them():
    config = dataclasses.replace(CONFIG, train=TrainConfig(num_steps=50, batch_size=64))
    step, state, batch = compiling.abstract_train_step(config, None)
    assert "inlineable" in step.lower(state, batch, bp_passes=None).as_text()
    assert "inlineable" not in compiling.compile_train(config, find_target("cpux8")).hlo


def test_gen_plans_one_device(capsys: pytest.CaptureFixture[str]):
    assert main(["plan", *ARGUMENTS, "--target", "cpux2", "--mode", "gen", "--batch", "2", "--no-suggest", *ROWS]) == 0
    text = capsys.readouterr().out
    assert "2 sequences, 32 tokens written" in text
    assert "(1 idle)" in text


def pretend(monkeypatch: pytest.MonkeyPatch, *, fixed: int, a_row: int) -> list[int]:
    """Puts a compiler in place whose programs need so many bytes; returns the rows a device it is asked for."""
    asked: list[int] = []

    def compile_train(config: Config, target: Target) -> compiling.Program:
        rows = config.train.batch_size // config.train.grad_accum // target.num_devices
        asked.append(rows)
        memory = compiling.Memory(arguments=fixed, temporaries=a_row * rows, peak=fixed + a_row * rows)
        return compiling.Program(
            memory=memory, hlo="", flops=1e9, work=1.0, xla_flops=None,
            mesh={"data": target.num_devices, "fsdp": 1, "tensor": 1}, num_devices=target.num_devices, seconds=0.0,
        )  # fmt: skip

    monkeypatch.setattr(planning, "compile_train", compile_train)
    return asked


def test_what_does_not_fit_says_by_how_much_and_what_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked = pretend(monkeypatch, fixed=2**30, a_row=2**30)  # of 4 GiB
    assert main(["plan", *ARGUMENTS, "--target", "cpux8", "--batch", "128"]) == 1
    done = capsys.readouterr()
    assert "NO: 5.00 GiB a device too much" in done.out
    assert (
        "largest batch  48 with grad_accum 2 (3 rows a device, 4.00 GiB); batch 128 fits from grad_accum 8" in done.out
    )
    assert "does not fit cpux8 by 5.00 GiB a device: train.grad_accum=8 fits with the same global batch" in done.err
    assert "train.batch_size=48 is the largest with grad_accum 2" in done.err
    assert asked == [8, 4, 2, 3]


def test_a_small_batch_is_told_how_far_it_can_grow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    pretend(monkeypatch, fixed=2**20, a_row=1)
    assert main(["plan", *ARGUMENTS, "--target", "cpux8", "--batch", "16", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["largest_batch"]
    assert (best["rows_per_device"], best["batch_size"], best["is_search_limit"]) == (16, 256, True)


def test_not_even_one_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    pretend(monkeypatch, fixed=2**33, a_row=1)
    assert main(["plan", *ARGUMENTS, "--target", "cpux8", "--batch", "16"]) == 1
    assert "not even one row a device fits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--target", "a10x8"], 2, "did you mean 'a100x8'?"),
        (["--target", "cpux8", "--batch", "15"], 2, "train.batch_size"),
        (["--target", "cpux8", *ROWS, "--set", "mesh.data=3"], 2, "does not divide over data * fsdp = 3"),
        (["--target", "cpux8", *ROWS, "--set", "mesh.tensor=16"], 2, "needs 16 devices"),
        (["--target", "cpux8", "--mode", "generate"], 2, "invalid choice"),
        ([], 2, "--target"),
    ],
)
def test_errors(argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["plan", *ARGUMENTS, *argv]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("target", ["v5e-8", "h100x8"])
def test_a_missing_compiler_names_the_extra(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(compiling, "_is_installed", lambda package: False)
    assert main(["plan", *ARGUMENTS, *ROWS, "--target", target]) == 3
    assert 'pip install "hrm-codegen[plan]"' in capsys.readouterr().err


def test_idle_devices_of_several_hosts_are_an_error(monkeypatch: pytest.MonkeyPatch):
    class Device:
        def __init__(self, index: int):
            self.process_index = index // 4

    monkeypatch.setattr(compiling, "make_mesh", lambda *args, **kwargs: Mesh(np.array(jax.devices()[:5]), ("data",)))
    with pytest.raises(ConfigError, match="leaves 3 of 8"):
        compiling.train_mesh(CONFIG, [Device(index) for index in range(8)])


def test_auto_is_bfloat16_on_accelerators():
    assert compiling.for_accelerator(CONFIG).model.dtype == "bfloat16"
    kept = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, dtype="float32"))
    assert compiling.for_accelerator(kept) is kept
    assert jax.default_backend() == "cpu"


def needs(*packages: str):
    missing = [package for package in packages if not compiling._is_installed(package)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


REAL = [
    pytest.param("v5e-8", marks=needs("libtpu")),
    pytest.param("v5p-8", marks=needs("libtpu")),
    pytest.param("a100x8", marks=needs("jax_cuda12_plugin", "jax_plugins.xla_cuda12")),
    pytest.param("4090x1", marks=needs("jax_cuda12_plugin", "jax_plugins.xla_cuda12")),
]


@pytest.mark.slow
@pytest.mark.parametrize("target", REAL)
@pytest.mark.parametrize("mode", ["train", "gen"])
def test_the_real_compilers(target: str, mode: str):
    command = [sys.executable, "-m", "hrm_codegen", "plan", *ARGUMENTS, *ROWS, "--target", target]
    done = subprocess.run(
        [*command, "--mode", mode, "--no-suggest", "--json"], capture_output=True, text=True, check=True
    )
    plan = json.loads(done.stdout.splitlines()[-1])
    assert plan["fits"]
    assert plan["roofline"]["memory_seconds"] > 0
    assert plan["unknown_loops"] == (mode == "gen")
    if mode == "train" and plan["devices"] > 1:
        assert sum(item["total_bytes"] for item in plan["collectives"]) > 0


@pytest.mark.slow
@needs("libtpu")
def test_a_tpu_that_is_too_small():
    command = [sys.executable, "-m", "hrm_codegen", "plan", "-c", "basics_dev", "--target", "v5e-1", "--json"]
    done = subprocess.run([*command, "--batch", "40000", "--no-suggest"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    plan = json.loads(done.stdout.splitlines()[-1])
    assert plan["fits"] is False
    assert plan["memory"]["short"] > 0
    assert plan["roofline"] is None
