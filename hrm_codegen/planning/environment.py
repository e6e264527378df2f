"""What jax and the compilers' libraries must find when they are loaded: a CPU, no metadata server, no chatter.

Light at import: jax itself is loaded by `prepare_environment`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from hrm_codegen.planning.targets import Target

_ALWAYS = {
    "JAX_PLATFORMS": "cpu",  # The accelerators of this machine, if any, are left alone.
    "TPU_SKIP_MDS_QUERY": "1",  # libtpu would wait for the metadata server of a cloud machine.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # Its lock is for the chips, which are not opened.
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
    """Loads jax, on the CPU and quietly; call it before anything else does.

    Args:
      target: Whose compiler will be used.
    """
    os.environ.update(_ALWAYS)
    for name, value in _IF_UNSET.items():
        os.environ.setdefault(name, value)
    if target.chip.platform == "cpu" and "jax" not in sys.modules:
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(target.num_devices))
    with _muted_stderr():
        import jax

        jax.devices("cpu")


@contextlib.contextmanager
def _muted_stderr() -> Iterator[None]:
    """Keeps native libraries from writing to stderr: the CUDA plugin reports, four times, that there is no GPU."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
