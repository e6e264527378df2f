"""Several processes as one run: who the others are, one call that joins them, and what they have to agree on.

`maybe_initialize` finds the other processes (`environment.py`) and does nothing where there are none. Collectives
between CPUs are gloo's, whose C++ code prints to stdout: file descriptor 1 becomes stderr first, and `sys.stdout` keeps
the old one in process 0, alone. Not here: meshes and batches, which look the same for any number of processes; starting
processes, which is `hrm_codegen/launch.py`'s work.

JAX's preemption service stays off: it swallows SIGTERM until a step asks for it, and `Agreement` does its work.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hrm_codegen import logs
from hrm_codegen.errors import DeviceError, TrainingError
from hrm_codegen.parallel.environment import Job, detect

TIMEOUT_VARIABLE = "HRM_CODEGEN_START_TIMEOUT"
_LOGGER = logging.getLogger("hrm_codegen.parallel")


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
