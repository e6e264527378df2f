"""Landlock rules of tier B: read the system, write one folder, reach nobody."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from . import linux

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READ = _EXECUTE | _READ_FILE | _READ_DIR
# Rights on files by the version of Landlock that brought them; the last one is ioctl on devices.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_VERSION, _TCP = 4, 3
_SCOPE_VERSION, _SCOPES = 6, 3
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")


def restrict(folder: str, readable: Sequence[str]) -> None:
    """Restricts the process to reading the system, the interpreter and `readable`, and to writing below `folder`."""
    version = linux.landlock_version()
    rights = max(value for since, value in _FILE_RIGHTS.items() if since <= version)
    ruleset = linux.landlock_create(
        rights, _TCP if version >= _TCP_VERSION else 0, _SCOPES if version >= _SCOPE_VERSION else 0
    )
    try:
        interpreter = [
            f"{prefix}/{name}" for prefix in {sys.base_prefix, sys.base_exec_prefix} for name in ("bin", "lib")
        ]
        for path in (*_SYSTEM, *interpreter, *readable):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                linux.landlock_allow(ruleset, path, _READ)
        for device in ("null", "zero", "full", "random", "urandom"):
            with contextlib.suppress(FileNotFoundError):
                linux.landlock_allow(ruleset, f"/dev/{device}", (_READ_FILE | _WRITE_FILE) & rights)
        linux.landlock_allow(ruleset, folder, rights)
        linux.landlock_enter(ruleset)
    finally:
        os.close(ruleset)
