"""Which environment means how many processes, and the two small parts that need no second process."""

from __future__ import annotations

import http.server
import json
import logging
import subprocess
import sys
import threading

import jax
import pytest

from hrm_codegen import launch, logs
from hrm_codegen.errors import DeviceError, TrainingError
from hrm_codegen.parallel import distributed, environment
from hrm_codegen.parallel.distributed import Agreement
from hrm_codegen.parallel.environment import Job, detect

EXPLICIT = {"JAX_COORDINATOR_ADDRESS": "n1:1234", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
SLURM = {
    "SLURM_JOB_ID": "4097", "SLURM_STEP_NODELIST": "n[007-009,011],m1", "SLURM_NTASKS": "16", "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
}  # fmt: skip


def without(variables: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in names}


def test_nothing_said_is_one_process():
    assert detect({}) is None
    assert detect({"SLURM_JOB_ID": "1", "JOB_COMPLETION_INDEX": "0", "KUBERNETES_SERVICE_HOST": "k"}) is None
    assert detect({**SLURM, "SLURM_NTASKS": "1"}) is None
    assert detect(without(SLURM, "SLURM_STEP_NODELIST")) is None  # the batch script itself, outside of srun
    assert detect({**EXPLICIT, "JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}) is None


def test_explicit_variables_go_before_everything():
    assert detect({**SLURM, **EXPLICIT}) == Job("this run", "n1:1234", 4, 3)


def test_an_indexed_job_has_its_index():
    pod = without(EXPLICIT, "JAX_PROCESS_ID") | {"JOB_COMPLETION_INDEX": "2"}
    assert detect(pod) == Job("the indexed job", "n1:1234", 4, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"JAX_NUM_PROCESSES": ""}, "JAX_NUM_PROCESSES is not set"),
        ({"JAX_PROCESS_ID": "x"}, "JAX_PROCESS_ID or JOB_COMPLETION_INDEX is x"),
        ({"JAX_PROCESS_ID": "4"}, "numbered from 0 to 3"),
        ({"JAX_COORDINATOR_ADDRESS": "n1"}, "host:port"),
    ],
)
def test_explicit_variables_are_checked(change, message):
    with pytest.raises(DeviceError, match=message):
        detect({**EXPLICIT, **change})


def test_a_slurm_task_finds_the_first_node_and_its_device():
    assert detect(SLURM) == Job("the Slurm step", "n007:61441", 16, 9, [1])
    assert detect({**SLURM, "JAX_COORDINATOR_PORT": "99"}).address == "n007:99"


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a", "a"), ("a-1,b", "a-1"), ("a[3-4]", "a3"), ("a[03,07]", "a03"), ("a[1-2].gpu,c", "a1.gpu")],
)
def test_the_first_node_of_a_list(nodes, first):
    assert detect({**SLURM, "SLURM_STEP_NODELIST": nodes}).address == f"{first}:61441"


def test_a_slurm_task_that_is_alone_on_its_node_or_sees_one_gpu_takes_all_it_sees():
    assert detect({**SLURM, "SLURM_STEP_NUM_NODES": "16"}).local_device_ids is None
    assert detect({**SLURM, "SLURM_NNODES": "2"}).local_device_ids == [1]
    assert detect({**SLURM, "CUDA_VISIBLE_DEVICES": "0"}).local_device_ids is None
    assert detect({**SLURM, "CUDA_VISIBLE_DEVICES": "0,1"}).local_device_ids == [1]


@pytest.fixture
def tpu_machine(monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(environment.glob, "glob", lambda pattern: [pattern] if "accel" in pattern else [])
    return {"JAX_PLATFORMS": "tpu,cpu"}


def test_a_tpu_pod_is_more_than_one_worker(tpu_machine):
    assert detect({**tpu_machine, "TPU_WORKER_HOSTNAMES": "a,b"}) == Job("the TPU pod")
    assert detect({**tpu_machine, "TPU_WORKER_HOSTNAMES": "localhost"}) is None
    assert detect({**tpu_machine, "TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "2"}) == Job("the TPU pod")
    assert detect({"JAX_PLATFORMS": "cpu", "TPU_WORKER_HOSTNAMES": "a,b"}) is None


def test_a_tpu_vm_asks_the_metadata_server(tpu_machine):
    class Metadata(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"w:0:10.0.0.1,w:1:10.0.0.2")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    assert detect({**tpu_machine, "GCE_METADATA_HOST": address}) == Job("the TPU pod")
    server.shutdown()
    server.server_close()
    assert detect({**tpu_machine, "GCE_METADATA_HOST": address}) is None


def test_an_agreement_with_oneself_is_one_call_late():
    agree = Agreement()
    assert [agree(3), agree(1), agree(0)] == [0, 3, 1]


def test_a_collective_without_partners_is_explained_and_ends_the_process(monkeypatch):
    ends = []
    monkeypatch.setattr(distributed.jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.atexit, "register", lambda function, code: ends.append(code))
    with pytest.raises(TrainingError, match="another process has probably ended"), distributed.leaving_on_error():
        raise jax.errors.JaxRuntimeError("Gloo all-reduce failed")
    with pytest.raises(DeviceError), distributed.leaving_on_error():
        raise DeviceError("none")
    assert ends == [1, 2]


def test_without_other_processes_errors_stay_as_they_are():
    with pytest.raises(jax.errors.JaxRuntimeError), distributed.leaving_on_error():
        raise jax.errors.JaxRuntimeError("out of luck")


def test_the_others_print_errors_only_and_say_who_they_are(capsys, monkeypatch):
    handler = logs.StderrHandler()
    handler.setFormatter(logs.TextFormatter())
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    distributed._mark_console(2)
    log = logging.getLogger("hrm_codegen.test")
    log.warning("quiet")
    log.error("loud")
    assert capsys.readouterr().err == "process 2: loud\n"


def test_the_launcher_counts_over_machines(monkeypatch, capsys):
    monkeypatch.setenv("DRY_RUN", "1")
    args = ["--processes", "2", "--gpus", "4", "--machines", "2", "--machine", "1", "--coordinator", "n1:99"]
    assert launch.main([*args, "--", "train", "--run-name", "a b"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    command = f"{sys.executable} -m hrm_codegen train --run-name 'a b'"
    names = "JAX_COORDINATOR_ADDRESS=n1:99 JAX_NUM_PROCESSES=4 JAX_PROCESS_ID={} JAX_LOCAL_DEVICE_IDS={} "
    assert first == names.format(2, "0,1,2,3") + command
    assert second == names.format(3, "4,5,6,7") + command


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing to start"),
        (["--processes", "0", "--", "train"], "not a positive whole number"),
        (["--machines", "2", "--", "train"], "--coordinator"),
        (["--machine", "1", "--", "train"], "numbered from 0"),
        (["--gpus", "1", "--devices", "1", "--", "train"], "not allowed with"),
    ],
)
def test_the_launcher_checks_its_arguments(args, message, capsys):
    with pytest.raises(SystemExit) as stop:
        launch.main(args)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_launcher_imports_no_jax():
    code = "import sys, json, hrm_codegen.launch; print(json.dumps('jax' in sys.modules))"
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) is False
