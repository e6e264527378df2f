"""The scripts of `launch/`, with stand-ins for gcloud, xpk and Slurm that write down how they were called."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
SCRIPTS = sorted([*LAUNCH.rglob("*.sh"), *LAUNCH.rglob("*.sbatch")])
TRAIN = {"CONFIG": "mbpp_dev", "OUT": "/nowhere/my runs"}
TPU = {"NAME": "hrm", "ZONE": "us-west4-a"}
XPK = {**TRAIN, "CLUSTER": "c", "WORKLOAD": "w", "IMAGE": "registry/hrm:1", "TPU_TYPE": "v5litepod-16"}
SSH = ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "hrm", "--zone=us-west4-a"]
# Script, what it needs, arguments, and the start of each call it makes.
CASES = {
    "slurm/train.sbatch": (
        TRAIN, ["--set", "train.seed=3"],
        [["mkdir", "-p", "/nowhere/my runs/logs"],
         ["srun", "--kill-on-bad-exit=1", "--open-mode=append",
          "--output=/nowhere/my runs/logs/slurm-JOBID-task-%t.log", "python", "-m", "hrm_codegen", "train",
          "-c", "mbpp_dev", "--out", "/nowhere/my runs", "--set", "train.seed=3"]],
    ),
    "tpu_vm/create.sh": (
        {**TPU, "TYPE": "v5litepod-16", "RUNTIME": "v2-alpha-tpuv5-lite", "PROJECT": "p"}, [],
        [["gcloud", "compute", "tpus", "queued-resources", "create", "hrm", "--node-id=hrm", "--zone=us-west4-a",
          "--project=p", "--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite", "--spot"],
         ["gcloud", "compute", "tpus", "queued-resources", "describe", "hrm"]],
    ),
    "tpu_vm/setup.sh": ({**TPU, "MOUNT": "sudo mount /runs"}, [],
                        [[*SSH, "--worker=all"], [*SSH, "--worker=all", "--command=sudo mount /runs"]]),
    "tpu_vm/run.sh": ({**TPU, **TRAIN, "RESUME": "1"}, ["--no-wandb"], [[*SSH, "--worker=all"]]),
    "tpu_vm/logs.sh": (TPU, [], [[*SSH, "--worker=0", "--command=tail -n 100 -F ~/hrm-codegen.log"]]),
    "tpu_vm/delete.sh": (TPU, [], [["gcloud", "compute", "tpus", "queued-resources", "delete", "hrm",
                                    "--zone=us-west4-a", "--force", "--quiet"]]),
    "gke/xpk.sh": (XPK, ["--no-wandb"],
                   [["xpk", "workload", "create", "--cluster=c", "--workload=w", "--docker-image=registry/hrm:1",
                     "--tpu-type=v5litepod-16", "--num-slices=1", "--max-restarts=50"]]),
}  # fmt: skip


@pytest.fixture
def tools(tmp_path):
    """A folder for PATH, whose programs append how they were called to `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("gcloud", "xpk", "srun", "scontrol", "scancel", "mkdir", "python"):
        add_tool(folder, name, "")
    return folder


def add_tool(folder: Path, name: str, then: str) -> None:
    record = shlex.quote(str(folder.parent / "calls"))
    text = f"#!/bin/bash\n{{ printf '%q ' {name} \"$@\"; printf '\\n'; }} >> {record}\n{then}\n"
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def environ(tools: Path, **variables: str) -> dict[str, str]:
    return {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tools.parent), **variables}


def calls(tools: Path) -> list[list[str]]:
    path = tools.parent / "calls"
    return [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(script: str | Path, env: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(LAUNCH / script), *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, cwd=LAUNCH.parent)


@pytest.mark.parametrize("script", CASES)
def test_a_script_calls_what_a_dry_run_prints(tools, script):
    needs, args, expected = CASES[script]
    dry = run(script, environ(tools, **needs, DRY_RUN="1"), *args)
    assert dry.returncode == 0, dry.stderr
    assert calls(tools) == []
    real = run(script, environ(tools, **needs), *args)
    assert real.returncode == 0, real.stderr
    made = calls(tools)
    assert made == [shlex.split(line) for line in dry.stdout.splitlines()]
    assert [call[: len(start)] for call, start in zip(made, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("script", "name"), [(script, name) for script, case in CASES.items() for name in case[0] if name.isupper()]
)
def test_a_missing_variable_is_named(tools, script, name):
    needs = {key: value for key, value in CASES[script][0].items() if key != name}
    done = run(script, environ(tools, **needs), *CASES[script][1])
    if name in ("PROJECT", "MOUNT", "RESUME"):
        assert done.returncode == 0
        return
    assert done.returncode != 0
    assert re.search(rf"\b{name}\b", done.stderr)
    assert calls(tools) == []


def test_both_slurm_scripts_do_the_same(tools):
    env = environ(tools, **TRAIN, DRY_RUN="1")
    one, other = (run(f"slurm/{name}.sbatch", env, "--no-wandb") for name in ("train", "train_1proc_per_gpu"))
    assert one.stdout == other.stdout != ""
    text = (LAUNCH / "slurm/train_1proc_per_gpu.sbatch").read_text()
    assert "--ntasks-per-node=8" in text
    for directive in ("--signal=B:TERM@120", "--requeue", "--open-mode=append"):
        assert f"#SBATCH {directive}\n" in text
        assert f"#SBATCH {directive}\n" in (LAUNCH / "slurm/train.sbatch").read_text()


@pytest.mark.parametrize(
    ("variables", "folder", "resumes"),
    [
        ({}, "10", False),
        ({"RESUME": "1"}, "10", True),
        ({"SLURM_RESTART_COUNT": "0"}, "10", False),
        ({"SLURM_RESTART_COUNT": "1"}, "10", True),
        ({"SLURM_RESTART_COUNT": "1"}, "10.orbax-checkpoint-tmp", False),
    ],
)
def test_slurm_resumes_requeued_jobs_only(tools, tmp_path, variables, folder, resumes):
    (tmp_path / "run/state" / folder).mkdir(parents=True)
    env = environ(tools, CONFIG="mbpp_dev", OUT=str(tmp_path / "run"), DRY_RUN="1", **variables)
    assert ("--resume" in run("slurm/train.sbatch", env).stdout) == resumes


def test_slurm_saves_and_requeues_on_sigterm(tools, tmp_path):
    started = tmp_path / "started"
    add_tool(tools, "srun", f"trap 'exit 0' TERM; echo $$ > {started}; while :; do sleep 0.05; done")
    add_tool(tools, "scancel", f"kill -TERM $(cat {started})")
    env = environ(tools, CONFIG="c", OUT=str(tmp_path / "run"), SLURM_JOB_ID="77")
    job = subprocess.Popen(["bash", str(LAUNCH / "slurm/train.sbatch")], env=env)
    wait_for(started)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=20) == 0
    assert calls(tools)[-2:] == [["scancel", "--signal=TERM", "77"], ["scontrol", "requeue", "77"]]


def test_slurm_passes_a_failure_on_and_does_not_requeue(tools, tmp_path):
    add_tool(tools, "srun", "exit 3")
    assert run("slurm/train.sbatch", environ(tools, CONFIG="c", OUT=str(tmp_path / "run"))).returncode == 3
    assert [call[0] for call in calls(tools)] == ["mkdir", "srun"]


def pod_commands(tools: Path, out: Path) -> dict[str, list[str]]:
    """Returns what the pods of xpk and of the JobSet run."""
    env = environ(tools, **{**XPK, "OUT": str(out)}, DRY_RUN="1")
    tpu = shlex.split(run("gke/xpk.sh", env).stdout)[-1]
    gpu = shlex.split(run("gke/xpk.sh", {**env, "TPU_TYPE": "", "DEVICE_TYPE": "h100-80gb-8"}).stdout)[-1]
    container = jobset()["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
    return {
        "tpu": ["sh", "-c", tpu.removeprefix("--command=")],
        "gpu": ["sh", "-c", gpu.removeprefix("--command=")],
        "jobset": [*container["command"], *container["args"]],
    }


@pytest.mark.parametrize("where", ["tpu", "gpu", "jobset"])
def test_a_pod_resumes_and_asks_to_be_started_again(tools, tmp_path, where):
    out, started = tmp_path / "run", tmp_path / "started"
    command = pod_commands(tools, out)[where]
    env = environ(
        tools, CONFIG="mbpp_dev", OUT=str(out), NNODES="2", NODE_RANK="1", JAX_COORDINATOR_IP="ten",
        JAX_COORDINATOR_PORT="9",
    )  # fmt: skip
    train = ["python", "-m", "hrm_codegen", "train", "-c", "mbpp_dev", "--out", str(out)]
    assert subprocess.run(command, env=env, timeout=20).returncode == 0
    assert calls(tools)[-1] == train
    (out / "state/10").mkdir(parents=True)
    variables = f"echo $JAX_COORDINATOR_ADDRESS $JAX_NUM_PROCESSES $JAX_PROCESS_ID > {started}"
    add_tool(tools, "python", f"trap 'exit 0' TERM; {variables}; while :; do sleep 0.05; done")
    pod = subprocess.Popen(command, env=env)
    wait_for(started)
    assert started.read_text() == ("ten:9 2 1\n" if where == "gpu" else "\n")
    pod.send_signal(signal.SIGTERM)
    assert pod.wait(timeout=20) == 143
    assert calls(tools)[-1] == [*train, "--resume"]
    add_tool(tools, "python", "exit 2")
    assert subprocess.run(command, env=env, timeout=20).returncode == 2


def test_xpk_wants_one_kind_of_device(tools):
    for devices in ({"TPU_TYPE": ""}, {"DEVICE_TYPE": "h100-80gb-8"}):
        done = run("gke/xpk.sh", environ(tools, **{**XPK, **devices}))
        assert done.returncode == 2
        assert "DEVICE_TYPE" in done.stderr


def test_the_command_for_tpu_workers_survives_the_shell(tools, tmp_path):
    home = tmp_path / "home"
    (home / "hrm-codegen/bin").mkdir(parents=True)
    env = environ(tools, **TPU, **TRAIN, DRY_RUN="1")
    remote = shlex.split(run("tpu_vm/run.sh", env, "--run-name", "it's 1").stdout)[-1].removeprefix("--command=")
    shutil.copy(tools / "python", home / "hrm-codegen/bin/python")
    subprocess.run(["bash", "-c", remote], env={**env, "HOME": str(home)}, timeout=20, check=True)
    wait_for(tmp_path / "calls")
    assert calls(tools) == [
        ["python", "-m", "hrm_codegen", "train", "-c", "mbpp_dev", "--out", "/nowhere/my runs", "--run-name", "it's 1"]
    ]
    assert (home / "hrm-codegen.pid").read_text().strip().isdecimal()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_strict_and_parses(script):
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "set -euo pipefail" in text or "common.sh" in text
    assert not re.search(r"/home/|/work/|/root/", text)
    assert script.suffix == ".sbatch" or script.name == "common.sh" or os.access(script, os.X_OK)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_shellcheck_finds_nothing():
    command = ["shellcheck", "-x", *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=LAUNCH.parent)
    assert done.returncode == 0, done.stdout


def jobset() -> dict:
    return yaml.safe_load((LAUNCH / "k8s/train-jobset.yaml").read_text())


def test_the_jobset_agrees_with_itself():
    manifest = jobset()
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    [job] = manifest["spec"]["replicatedJobs"]
    assert manifest["spec"]["coordinator"]["replicatedJob"] == job["name"]
    spec = job["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    [container] = spec["template"]["spec"]["containers"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert str(spec["parallelism"]) == str(spec["completions"]) == variables["JAX_NUM_PROCESSES"]
    port = int(variables["JAX_COORDINATOR_ADDRESS"].rpartition(":")[2])
    assert [entry["containerPort"] for entry in container["ports"]] == [port]
    assert container["terminationMessagePath"] == "/dev/termination-log"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    [runs] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "runs"]
    assert variables["OUT"].startswith(runs + "/")


def test_the_job_of_the_jobset_is_valid():
    validate = pytest.importorskip("kubernetes_validate")
    template = jobset()["spec"]["replicatedJobs"][0]["template"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train"}, **template}
    version = validate.latest_version()
    validate.validate(job, version, strict=True)
    job["spec"]["parallelism"] = "two"
    with pytest.raises(validate.ValidationError):
        validate.validate(job, version, strict=True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)
