"""The other end of `worker.py`: starts a process, asks it, gives up after a timeout."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_codegen.machine import TUNABLE, VALUE

ROOT = Path(__file__).resolve().parents[2]
# What would give one contender other threads, flags or caches than the next.
_DROPPED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES")
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    # Fewer page faults for large temporary buffers; for every contender, so that it is equal.
    TUNABLE: VALUE,
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
_CLOSE_TIMEOUT = 10.0


class WorkerError(Exception):
    """A worker failed, ended or did not answer in time."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment of every process that is measured."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return {**kept, **_ENVIRONMENT, **(extra or {})}


class Worker:
    """One live worker process.

    Args:
      engine: `module:Class`.
      env: Added to `environment()`.
    """

    def __init__(self, engine: str, env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.worker", engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=ROOT,
            env=environment(env),
        )
        self._rest = b""

    def call(self, method: str, timeout: float, /, **options: Any) -> Any:
        """Returns what the engine's method returns.

        Raises:
          WorkerError: It raised, its process ended, or the answer did not come in time (the process is then ended).
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"call": method, "options": options}).encode() + b"\n")
            answer = json.loads(self._line(time.monotonic() + timeout))
        except OSError as error:
            raise WorkerError(f"the process ended: {error}") from error
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["result"]

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self._process.kill()
                raise WorkerError("no answer in time")
            piece = self._process.stdout.read(1 << 16)
            if not piece:
                raise WorkerError(f"the process ended with code {self._process.wait()}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def close(self) -> None:
        """Ends the process: politely by the end of its input, else by force."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._process.wait(_CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
