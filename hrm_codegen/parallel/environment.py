"""Which processes belong to this run, told from the environment: our launcher's variables, Kubernetes, Slurm, TPU pods.

Reads variables (and, on a TPU, the machine's metadata) and decides nothing else: joining is `distributed.py`'s.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple

import jax

from hrm_codegen.errors import DeviceError

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_METADATA = "computeMetadata/v1/instance/attributes/worker-network-endpoints"


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
