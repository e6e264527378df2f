"""What this process gets of its machine: how many cores, and on Linux large pages for training; what it gives back.

Why large pages: XLA on CPU takes its temporary buffer anew at every step, and the kernel hands it over in pages of
4 KiB, each with a page fault: a tenth to a fifth of a step. glibc asks for pages of 2 MiB if an environment variable
says so, and reads it before Python runs: the process has to start once more. Nothing that is computed depends on it.
"""

from __future__ import annotations

import ctypes
import os
import sys

TUNABLE, VALUE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
_RESTARTED = "HRM_CODEGEN_RESTARTED"


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def restart_with_large_pages() -> None:
    """Runs this process's command again from its start, in its place, with large pages.

    Does nothing the second time, where the user has set `GLIBC_TUNABLES` (empty is enough to say no), and without
    glibc. Programs that this one starts do not inherit the variable.
    """
    if os.environ.pop(_RESTARTED, None):
        del os.environ[TUNABLE]
    elif TUNABLE not in os.environ and sys.executable and _has_glibc():
        environment = os.environ | {TUNABLE: VALUE, _RESTARTED: "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def return_free_memory() -> None:
    """Gives the system what was freed and is still held: a compiler leaves hundreds of MB of it. glibc only."""
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False
