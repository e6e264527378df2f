"""The absl front door: flags, overrides, messages and exit codes, with the work replaced by a recorder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hrm_codegen import main
from hrm_codegen.config import load, to_dict
from hrm_codegen.config.fields import FIELDS
from hrm_codegen.errors import ConfigError, UsageError

ROOT = Path(__file__).resolve().parents[1]
LOADER = str(ROOT / "hrm_codegen" / "config" / "from_yaml.py")

# Stands in for hrm_codegen.jobs: writes down what it is called with, fails as $FAIL says, and never sees jax.
DRIVER = """
import json, os, runpy, sys, types
from hrm_codegen import config, errors

def recorder(name, result):
    def call(*args, **kwargs):
        assert not {"jax", "flax", "numpy"} & set(sys.modules)
        with open("call.json", "w") as file:
            json.dump({"job": name, "config": config.to_dict(args[0]) if args else None, **kwargs}, file)
        if os.environ.get("FAIL"):
            raise KeyboardInterrupt if os.environ["FAIL"] == "ctrl-c" else errors.MissingExtraError("pip install x")
        return result
    return call

jobs = types.ModuleType("hrm_codegen.jobs")
jobs.train = recorder("train", {"train_loss": 1.5, "eval_loss": float("nan")})
jobs.evaluate = recorder("evaluate", types.SimpleNamespace(metrics={"pass@1": 0.25}))
jobs.generate = recorder("generate", ["def f():\\n  pass\\n", "x = 1"])
sys.modules["hrm_codegen.jobs"] = jobs
import hrm_codegen
hrm_codegen.jobs = jobs
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


class Run(NamedTuple):
    """What a process left behind."""

    code: int
    stdout: str
    stderr: str
    call: dict[str, Any] | None


@pytest.fixture
def run(tmp_path: Path):
    """Runs a front door in an empty folder."""

    def _run(*arguments: str, module: str = "hrm_codegen.main", fail: str = "") -> Run:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, module, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "FAIL": fail},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        call = tmp_path / "call.json"
        return Run(done.returncode, done.stdout, done.stderr, json.loads(call.read_text()) if call.exists() else None)

    return _run


def test_train_hands_over_the_resolved_config(run, tmp_path):
    arguments = ["--config.train.steps=2", "--config=mbpp_dev.py", "--config.eval.k=1", "--config.eval.k=5"]
    arguments += ["--noconfig.data.packing", "--config.optim.clip_norm", "1", "--config.train.bp_min=2"]
    done = run(*arguments, "--workdir=out", "--data", "a.bin", "--eval_data=b.bin", "--nowandb", "--resume", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"train_loss": 1.5, "eval_loss": None}
    config = done.call["config"]
    overrides = ["train.num_steps=2", "eval.k=[1, 5]", "data.packing=false", "optim.clip_norm=1", "train.bp_min=2"]
    flags = ["train.out_dir=out", "data.train=a.bin", "data.eval=b.bin", "train.wandb=disabled"]
    assert config == to_dict(load("mbpp_dev", overrides + flags))
    assert (done.call["job"], done.call["resume"], done.call["init_from"]) == ("train", True, None)


def test_a_yaml_of_the_users_and_plain_output(run, tmp_path):
    (tmp_path / "my.yaml").write_text((ROOT / "configs" / "smoke.yaml").read_text())
    done = run("-c", "my.yaml", "--ckpt=w.pt", "--wandb", module="hrm_codegen.train")
    assert (done.code, done.stdout) == (0, "train_loss 1.5\neval_loss nan\n")
    assert done.call["config"]["name"] == "my"
    assert done.call["config"]["train"]["wandb"] == "auto"
    assert (done.call["resume"], done.call["init_from"]) == (False, "w.pt")


def test_a_python_config_with_an_argument_and_a_flagfile(run, tmp_path):
    (tmp_path / "my.py").write_text(
        "def get_config(steps):\n  return {'train': {'steps': int(steps)},\n"
        "    'model': {'vocab_size': 8, 'hidden_dim': 8, 'num_heads': 1}}\n"
    )
    (tmp_path / "flags").write_text("--config=my.py:7\n--config.train.seed=5\n")
    done = run("--flagfile=flags")
    assert done.code == 0, done.stderr
    assert done.call["config"]["train"]["num_steps"] == 7
    assert done.call["config"]["train"]["seed"] == 5


def test_an_override_supplies_what_the_file_lacks(run, tmp_path):
    (tmp_path / "my.yaml").write_text("model: {vocab_size: 8, hidden_dim: 8, num_heads: 1}\n")
    assert run("-c", "my.yaml", "--config.train.num_steps=4").call["config"]["train"]["num_steps"] == 4


def test_eval_without_and_with_a_config(run):
    done = run("--k=5,1", "--k=10", "--num_samples=20", "--limit=3", "--data=d", "--out=o", module="hrm_codegen.eval")
    assert (done.code, done.stdout) == (0, "pass@1 0.25\n")
    assert done.call == {
        "job": "evaluate", "config": None, "ckpt": None, "data": "d", "out": "o", "k": [1, 5, 10], "num_samples": 20,
        "limit": 3,
    }  # fmt: skip
    done = run("--mode=eval", "--workdir=w", "-c=mbpp", "--config.sample.temperature=0", "--limit=3", "--json")
    assert done.stdout == '{"pass@1": 0.25}\n'
    assert done.call["ckpt"] == os.path.join("w", "best.pt")
    assert (done.call["k"], done.call["limit"], done.call["temperature"]) == ([1, 10, 100], 3, 0.0)


def test_gen(run):
    done = run("--prompt=a", "--prompt", "-c", "--ckpt=x.pt", "-c", "smoke", module="hrm_codegen.gen")
    assert (done.code, done.stdout) == (0, "def f():\n  pass\n\nx = 1\n")
    assert (done.call["prompts"], done.call["ckpt"], done.call["max_tokens"]) == (["a", "-c"], "x.pt", 128)
    done = run("--prompt=a", "--prompt=b", "--json", module="hrm_codegen.gen")
    assert json.loads(done.stdout)[1] == {"prompt": "b", "code": "x = 1"}
    assert set(done.call) == {"job", "config", "prompts", "ckpt"}


@pytest.mark.parametrize("module", ["main", "train", "eval", "gen"])
def test_help_is_no_failure(run, module):
    done = run("--helpfull", module=f"hrm_codegen.{module}")
    assert done.code == 0
    assert "--workdir" in done.stdout
    assert "--config" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "stderr"),
    [
        (["-c", "my.yaml"], 'ConfigError: missing field "model.hidden_dim" (my.yaml:12)'),
        (["-c", "my.yaml", "--config.model.hidden_dim=10", "--config.train.bp_min=1"],
         "ConfigError: field \"train.bp_min\" must be at least 2 with model.core hrm, so that both roles get gradients,"
         " got 1 (--config.train.bp_min=1)"),
        (["-c", "smoke", "--config.train.steps=ten"],
         'ConfigError: field "train.num_steps" must be an integer, got "ten" (--config.train.num_steps=ten)'),
        (["-c", "smoke", "--config.eval.k=x"],
         'ConfigError: field "eval.k" must be an integer or a list of integers, got ["x"] (--config.eval.k=(\'x\',))'),
        (["-c", "smoke", "--config.model.core=hmr"],
         'ConfigError: field "model.core" must be one of hrm, trm, looped, transformer, got "hmr"'
         " (--config.model.core=hmr)"),
        (["-c", "smoke", "--data="], 'ConfigError: field "data.train" must not be empty, got "" (--data=)'),
        (["-c", "bad.yaml"], "ConfigError: not valid YAML: mapping values are not allowed here (bad.yaml:1)"),
        (["-c", "bad.py"], "ConfigError: get_config() failed: ZeroDivisionError: division by zero (bad.py:2)"),
        (["-c", "smok"], "ConfigError: no configuration \"smok\": no such file, and the bundled ones are basics_dev,"
         " hrm_27m, mbpp, mbpp_dev, smoke — did you mean \"smoke\"?"),
        ([], "UsageError: --mode=train needs --config=FILE (or -c FILE)"),
        (["-c", "smoke", "extra"],
         "UsageError: unexpected argument 'extra': options start with --, lists are --k=1,10"),
        (["--mode=eval", "--k", "1", "10"],
         "UsageError: unexpected argument '10': options start with --, lists are --k=1,10"),
        (["--mode=eval", "--k=0"], "UsageError: --k takes positive whole numbers, got '0'"),
        (["--mode=eval", "--prompt=x"], "UsageError: --prompt has no meaning with --mode=eval"),
        (["--mode=gen"], "UsageError: --mode=gen needs --prompt=TEXT"),
        (["--mode=gn"], "UsageError: flag --mode=gn: value should be one of <train|eval|gen>"),
        (["-c", "smoke", "--resume", "--ckpt=x"],
         "UsageError: --resume goes on with the run's own checkpoint: leave out --ckpt"),
        (["--worcdir=x"], "UsageError: Unknown command line flag 'worcdir'. Did you mean: workdir ?"),
    ],
)  # fmt: skip
def test_user_errors_are_one_line_and_exit_2(run, tmp_path, arguments, stderr):
    (tmp_path / "my.yaml").write_text("#\n" * 11 + "model: {vocab_size: 8, num_heads: 1}\ntrain: {num_steps: 1}\n")
    (tmp_path / "bad.yaml").write_text("a: b: c\n")
    (tmp_path / "bad.py").write_text("def get_config():\n  return 1 / 0\n")
    done = run(*arguments)
    assert (done.stderr.rstrip("\n"), done.stdout, done.code, done.call) == (stderr, "", 2, None)


def test_errors_of_the_work_and_ctrl_c(run):
    assert run("-c", "smoke", fail="extra")[:3] == (3, "", "MissingExtraError: pip install x\n")
    assert run("-c", "smoke", fail="ctrl-c")[:3] == (130, "", "interrupted\n")


def test_verbose_and_logs_as_json(run, monkeypatch):
    monkeypatch.setenv("HRM_CODEGEN_LOG_FORMAT", "json")
    done = run("-c", "smoke", "--verbose", fail="extra")
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()][-1] == "MissingExtraError: pip install x"


@pytest.mark.parametrize(
    ("arguments", "rewritten"),
    [
        (["--config", "a.py"], [f"--config={LOADER}:a.py"]),
        (["-config=a.py:x"], [f"--config={LOADER}:a.py:x"]),
        (["--config.model.L_cycles=3", "-c", "a"], [f"--config={LOADER}:a", "--config.model.l_cycles=3"]),
        (["-c=a", "-config.train.lr", "-c"], [f"--config={LOADER}:a", "-config.optim.lr", "-c"]),
        (["-c=a", "--config.data.packing", "-c=b"], [f"--config={LOADER}:b", "--config.data.packing"]),
        (["-c=a", "--noconfig.data.packing"], [f"--config={LOADER}:a", "--noconfig.data.packing"]),
        (["--prompt", "-c", "--json", "-c", "a"], [f"--config={LOADER}:a", "--prompt", "-c", "--json"]),
        (["--prompt"], ["--prompt"]),
        (["x", "--", "-c", "a"], ["x", "--", "-c", "a"]),
    ],
)
def test_rewrite_argv(arguments, rewritten):
    assert main.rewrite_argv(["prog", *arguments]) == ["prog", *rewritten]


def test_rewrite_argv_names_every_unknown_override():
    with pytest.raises(ConfigError) as caught:
        main.rewrite_argv(["prog", "-c", "smoke", "--config.train.stps=2", "--config.zzz", "--config.model=3"])
    assert caught.value.args == (
        'unknown field "train.stps" (--config.train.stps=2) — did you mean "train.num_steps"?',
        'unknown field "zzz" (--config.zzz)',
        '"model" is a section: set its fields, as in model.FIELD=VALUE (--config.model=3)',
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-c"], "-c needs the path or name of a configuration"),
        (["--config="], "--config needs the path or name of a configuration"),
        (["--config.train.seed=1"], "--config.train.seed=1 overrides a field of --config, which is missing"),
    ],
)
def test_rewrite_argv_refuses(arguments, message):
    with pytest.raises(UsageError) as caught:
        main.rewrite_argv(["prog", *arguments])
    assert str(caught.value) == message


def test_every_field_can_be_overridden(run, tmp_path):
    """Also those that the file doesn't mention and those whose default is None."""
    config = load("smoke")
    arguments = []
    for path, field in FIELDS.items():
        section, _, leaf = path.rpartition(".")
        value = getattr(getattr(config, section) if section else config, leaf)
        if value is None:
            value = {int: 20 if path == "eval.num_samples" else 4, float: 0.5, str: "x"}[field.kind]
        arguments.append(f"--config.{path}={value}")
    done = run("-c", "smoke", *arguments)
    assert done.code == 0, done.stderr
    assert done.call["config"]["train"]["bp_min"] == 4
    assert done.call["config"]["optim"]["clip_norm"] == 0.5
    assert done.call["config"]["eval"]["k"] == [1, 10]
