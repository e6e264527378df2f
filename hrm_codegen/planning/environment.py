"""Environment variables that jax and the compilers' libraries must see before they are loaded. Imports neither."""

from __future__ import annotations

import os
import sys

from hrm_codegen.planning.targets import Target

_ALWAYS = {
    "JAX_PLATFORMS": "cpu",  # The accelerators of this machine, if any, are left alone.
    "TPU_SKIP_MDS_QUERY": "1",  # libtpu would wait for the metadata server of a cloud machine.
}
_IF_UNSET = {
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",  # Any: what is compiled for is said by the topology.
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def prepare_environment(target: Target) -> None:
    """Keeps jax on the CPU and the compilers quiet; call it before jax is imported."""
    os.environ.update(_ALWAYS)
    for name, value in _IF_UNSET.items():
        os.environ.setdefault(name, value)
    if target.chip.platform == "cpu" and "jax" not in sys.modules:
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(target.num_devices))
