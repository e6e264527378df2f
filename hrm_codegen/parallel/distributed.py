"""Several processes as one run: who the others are, one call that joins them, and what they have to agree on.

`maybe_initialize` finds the other processes in the environment (our launcher or `JAX_*` variables, Kubernetes, Slurm,
TPU pods) and does nothing where there are none. Collectives between CPUs are gloo's, whose C++ code prints to stdout:
file descriptor 1 becomes stderr first, and `sys.stdout` keeps the old one in process 0, alone. Not here: meshes and
batches, which look the same for any number of processes; starting processes, which is `hrm_codegen/launch.py`'s work.

JAX's preemption service stays off: it swallows SIGTERM until a step asks for it, and `Agreement` does its work.
"""

from __future__ import annotations

import atexit
import contextlib
import glob
import importlib.util
import io
import logging
import os
import re
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hrm_codegen import logs
from hrm_codegen.errors import DeviceError, TrainingError

TIMEOUT_VARIABLE = "HRM_CODEGEN_START_TIMEOUT"
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_METADATA = "computeMetadata/v1/instance/attributes/worker-network-endpoints"
_LOGGER = logging.getLogger("hrm_codegen.parallel")


class Job(NamedTuple):
    """A process's place among those of a run.

    Attributes:
      where: Who started them, for messages.
      address: `host:port` of process 0; None: jax finds it, and the next two, itself.
      num_processes: How many there are.
      process_id: Which of them it is.
      local_device_ids: The devices of its machine that are its own; None: all.
    """

    where: str
    address: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    local_device_ids: list[int] | None = None


def detect(environ: Mapping[str, str] = os.environ) -> Job | None:
    """Finds out which processes belong together; None: this one is alone.

    Explicit variables (`JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES`, and `JAX_PROCESS_ID`, which an indexed
    Kubernetes job may leave to its `JOB_COMPLETION_INDEX`) go before a Slurm step of several tasks, and that before
    the workers of a TPU pod.

    Raises:
      DeviceError: Variables that are missing or contradict each other.
    """
    if "JAX_COORDINATOR_ADDRESS" in environ:
        return _explicit(environ)
    if all(name in environ for name in _SLURM) and int(environ["SLURM_NTASKS"]) > 1:
        return _slurm(environ)
    if _tpu_workers(environ) > 1:
        return Job("the TPU pod")
    return None


def maybe_initialize() -> None:
    """Joins the other processes of this run, if there are any; has to come before jax's first array.

    Afterwards only process 0 has a stdout and a talkative stderr; of the others only errors are seen.

    Raises:
      DeviceError: They cannot be reached, or the environment makes no sense.
    """
    if jax.distributed.is_initialized() or (job := detect()) is None:
        return
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    timeout = _timeout()
    _LOGGER.log(logging.DEBUG if job.process_id else logging.INFO, "joining the processes of %s ...", job.where)
    _divert_stdout()
    if job.address is not None and job.process_id != 0:
        _wait_for(job.address, timeout)
    # jax's own deadline ends in an abort from C++; ours comes first, and says what to look at.
    patience = timeout + 60
    with _deadline(timeout, _unmet(job, timeout)):
        try:
            if job.address is None:
                jax.distributed.initialize(initialization_timeout=patience)
            else:
                jax.distributed.initialize(
                    job.address, job.num_processes, job.process_id, job.local_device_ids,
                    cluster_detection_method="deactivate", initialization_timeout=patience,
                )  # fmt: skip
            index, count = jax.process_index(), jax.process_count()
        except (RuntimeError, OSError) as error:
            atexit.register(_leave, DeviceError.exit_code)
            raise DeviceError(f"{job.where}: {str(error).partition(chr(10))[0]}") from error
    _mark_console(index)
    if index != 0:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the process)
    _LOGGER.info("process %d of %d, %d of %d devices", index, count, jax.local_device_count(), jax.device_count())


def log_to(folder: Path) -> None:
    """Lets a process other than the first log to `rank_<k>.jsonl` in a folder, because its console is quiet."""
    if jax.process_index() == 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / f"rank_{jax.process_index()}.jsonl", encoding="utf-8")
    handler.setFormatter(logs.JsonFormatter())
    handler.addFilter(_Rank(jax.process_index()))
    logging.getLogger().addHandler(handler)


def barrier(name: str) -> None:
    """Waits until all processes are here; returns at once where there is one."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def leaving_on_error() -> Iterator[None]:
    """Makes an error end this process at once, which whoever started the processes can see.

    Python's end would first wait for the other processes, minutes, and they wait for this one.

    Raises:
      TrainingError: Instead of jax's error for a collective without its partners.
    """
    try:
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        code = 130 if isinstance(error, KeyboardInterrupt) else int(getattr(error, "exit_code", 1))
        atexit.register(_leave, code)  # the last to register is the first to run: before jax's
        if isinstance(error, jax.errors.JaxRuntimeError):
            first = str(error).partition("\n")[0]
            raise TrainingError(
                f"process {jax.process_index()} of {jax.process_count()}: {first}\n"
                "another process has probably ended: look at its log first, then go on with --resume"
            ) from error
        raise


class Agreement:
    """The largest of the processes' numbers, in all processes alike, and one call late.

    Every process has to call it equally often. The answer to a call is that of the call before (at first 0), so that
    asking between steps does not wait for the step that was just dispatched.
    """

    def __init__(self) -> None:
        first = {device.process_index: device for device in reversed(jax.devices())}
        mesh = Mesh(np.array([first[index] for index in sorted(first)]), ("process",))
        self._sharding = NamedSharding(mesh, PartitionSpec("process"))
        self._max = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._waiting: jax.Array | None = None

    def __call__(self, value: int) -> int:
        """Gives this process's number and returns the largest of the last call's."""
        local = np.array([value], np.int32)
        numbers = jax.make_array_from_process_local_data(self._sharding, local, (jax.process_count(),))
        self._waiting, answer = self._max(numbers), self._waiting
        return 0 if answer is None else int(answer)


def _explicit(environ: Mapping[str, str]) -> Job | None:
    address = environ["JAX_COORDINATOR_ADDRESS"]
    count = _number(environ, "JAX_NUM_PROCESSES")
    index = _number(environ, "JAX_PROCESS_ID", "JOB_COMPLETION_INDEX")
    if not re.fullmatch(r".+:\d+", address):
        raise DeviceError(f"JAX_COORDINATOR_ADDRESS is {address!r}; it must be host:port, of process 0's machine")
    if index >= count:
        raise DeviceError(f"process {index} of JAX_NUM_PROCESSES={count}: they are numbered from 0 to {count - 1}")
    in_pod = "JAX_PROCESS_ID" not in environ
    return Job("the indexed job" if in_pod else "this run", address, count, index) if count > 1 else None


def _number(environ: Mapping[str, str], *names: str) -> int:
    value = next((environ[name] for name in names if environ.get(name)), "")
    if not value.isdecimal():
        raise DeviceError(
            f"JAX_COORDINATOR_ADDRESS is set, but {' or '.join(names)} is {value or 'not'}{' set' * (not value)}: "
            "set address, number and index in every process, or none of them"
        )
    return int(value)


def _slurm(environ: Mapping[str, str]) -> Job:
    count, index = int(environ["SLURM_NTASKS"]), int(environ["SLURM_PROCID"])
    nodes = environ.get("SLURM_STEP_NUM_NODES") or environ.get("SLURM_NNODES") or ""
    # jax would give every task one device, which wastes all others where a node has one task.
    alone = nodes == str(count) or len(environ.get("CUDA_VISIBLE_DEVICES", ",").split(",")) == 1
    port = environ.get("JAX_COORDINATOR_PORT") or str(int(environ["SLURM_JOB_ID"]) % 2**12 + 2**16 - 2**12)
    host = _first_host(environ["SLURM_STEP_NODELIST"])
    return Job("the Slurm step", f"{host}:{port}", count, index, None if alone else [int(environ["SLURM_LOCALID"])])


def _first_host(nodes: str) -> str:
    """Returns `n001` of `n001`, `n001,n002` and `n[001-008,011],m[1-2]`; a suffix after the bracket stays."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    if match is None:
        raise DeviceError(f"SLURM_STEP_NODELIST is {nodes!r}: no host in it")
    return "".join(part or "" for part in match.groups())


def _tpu_workers(environ: Mapping[str, str]) -> int:
    """Counts the machines of a TPU pod, 0 where there is no TPU."""
    platforms = environ.get("JAX_PLATFORMS") or jax.config.values["jax_platforms"] or "tpu"
    if "tpu" not in platforms or importlib.util.find_spec("libtpu") is None:
        return 0
    if not (glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")):
        return 0
    hosts = environ.get("TPU_WORKER_HOSTNAMES")
    if hosts is None:
        server = environ.get("GCE_METADATA_HOST", "metadata.google.internal")
        request = urllib.request.Request(f"http://{server}/{_METADATA}", headers={"Metadata-Flavor": "Google"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                hosts = answer.read().decode()
        except OSError:
            hosts = ""
    slices = environ.get("MEGASCALE_NUM_SLICES") or "1"
    return len([host for host in hosts.split(",") if host]) * int(slices)


def _timeout() -> int:
    value = os.environ.get(TIMEOUT_VARIABLE) or "300"
    if not value.isdecimal() or not int(value):
        raise DeviceError(f"{TIMEOUT_VARIABLE} is {value!r}; it must be a number of seconds")
    return int(value)


def _wait_for(address: str, timeout: int) -> None:
    """Waits for process 0 to listen: jax's own complaint comes late and does not name the address."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"no process 0 at {address} within {timeout} s ({error.strerror or error}): did it start, is the "
                    f"name right, is the port open between the machines? {TIMEOUT_VARIABLE}=SECONDS waits longer"
                ) from error
        time.sleep(0.2)


def _unmet(job: Job, timeout: int) -> str:
    count = "" if job.num_processes is None else f"{job.num_processes} "
    return (
        f"not all {count}processes of {job.where} met at {job.address or 'process 0'} within {timeout} s: look whether "
        f"each of them started, with the same address and number; {TIMEOUT_VARIABLE}=SECONDS waits longer"
    )


@contextlib.contextmanager
def _deadline(seconds: float, message: str) -> Iterator[None]:
    """Ends the process with a message if the block, which nothing can interrupt, takes longer."""

    def give_up() -> None:
        _LOGGER.error("%s", DeviceError(message).render(), extra={"exit_code": DeviceError.exit_code})
        _leave(DeviceError.exit_code)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _divert_stdout() -> None:
    """Gives file descriptor 1 to stderr and the old one to `sys.stdout`, so that C++ code cannot write among data."""
    try:
        is_ours = sys.stdout.fileno() == 1
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        is_ours = False
    if is_ours:
        sys.stdout.flush()
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        saved = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = open(saved, "w", encoding=encoding, errors=errors)  # noqa: SIM115 (as long as the process)


class _Rank(logging.Filter):
    """Notes the process's index in every record; the JSON formatter prints it."""

    def __init__(self, index: int):
        super().__init__()
        self._index = index

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        record.process_index = self._index
        return True


class _RankFormatter(logging.Formatter):
    """Another formatter's lines, with the process in front."""

    def __init__(self, inner: logging.Formatter, index: int):
        super().__init__()
        self._inner, self._index = inner, index

    def format(self, record: logging.LogRecord) -> str:
        """Returns the marked line."""
        return f"process {self._index}: {self._inner.format(record)}"


def _mark_console(index: int) -> None:
    """Notes the index in JSON logs; lets only errors of the others through, marked as theirs."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logs.StderrHandler):
            handler.addFilter(_Rank(index))
            if index != 0:
                handler.setLevel(logging.ERROR)
                if isinstance(handler.formatter, logs.TextFormatter):
                    handler.setFormatter(_RankFormatter(handler.formatter, index))


def _leave(code: int) -> NoReturn:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
