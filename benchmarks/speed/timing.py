"""Seconds of repeated work, and the memory of this process. Used inside of workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path


def repeat(work: Callable[[], object], at_least: float, *, times: int = 1) -> list[float]:
    """Returns the seconds of each repetition: `times`, and more until they take `at_least` seconds together."""
    seconds: list[float] = []
    while len(seconds) < times or sum(seconds) < at_least:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


# Steps of training: the first ones after others had the memory are slower, and one in three of them does not count.
STEPS = 3


def resident_bytes() -> int | None:
    """Memory of this process now; None where the system does not say (not Linux)."""
    return _status("VmRSS")


def peak_bytes() -> int | None:
    """The most it has been. Not `getrusage`: its maximum includes the parent at the time of the fork."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Forgets the most so far, so that `peak_bytes` is that of what comes next, without compilation."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_above(start: int | None) -> int | None:
    """How far above `start`, an earlier `resident_bytes()`, the most was."""
    peak = peak_bytes()
    return None if peak is None or start is None else peak - start


def _status(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None)
