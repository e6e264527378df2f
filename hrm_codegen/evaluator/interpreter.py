"""The interpreter that a worker is: how it is started, with which environment, modules and packages."""

from __future__ import annotations

import functools
import json
import marshal
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from hrm_codegen.errors import SandboxError
from hrm_codegen.evaluator import jail

# The worker's modules come compiled, in an open file: behind its walls there is no folder to import them from, and
# where nobody may write bytecode to disk they would be compiled again at every start.
_BOOT = """
import marshal, os, sys
from importlib.machinery import ModuleSpec

class Finder:
    codes = marshal.loads(os.pread(int(sys.argv[2]), int(sys.argv[3]), 0))

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=name == "jail") if name in self.codes else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(self.codes.pop(module.__name__)), module.__dict__)

sys.meta_path.insert(0, Finder())
import jail.worker
jail.worker.main()
"""
_ENVIRONMENT = {
    # -I would do this isolation too, but it ignores the hash seed, and sets would be ordered by chance.
    "PYTHONHASHSEED": "0",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
    "TZ": "UTC",
    "MALLOC_ARENA_MAX": "1",  # each further arena would count 64 MB of address space
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
}
# What an interpreter that is not installed where it was built may need to start; the worker drops it again.
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PACKAGES = ("numpy",)


def start(
    settings: dict[str, Any], *, folder: str | None, descriptors: Sequence[int], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Starts `jail.worker` in an interpreter of its own.

    Args:
      settings: For the worker; JSON-able.
      folder: Where its programs write, for the tiers without a root folder of their own.
      descriptors: What it inherits.
      errors: Gets its stderr.

    Raises:
      SandboxError: If there is no interpreter to start.
      OSError: If there is no room for a process.
    """
    executable = getattr(sys, "_base_executable", None) or sys.executable
    if not executable:
        raise SandboxError("no Python interpreter to run programs with: sys.executable is empty")
    code, size = _code_file()
    settings = settings | {"packages": _package_folders()}
    arguments = [_BOOT, json.dumps(settings), str(code.fileno()), str(size)]
    return subprocess.Popen(
        [*_prefix(folder), executable, "-s", "-P", "-S", "-X", "utf8", "-c", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        pass_fds=(*descriptors, code.fileno()),
        cwd="/",
        env=_ENVIRONMENT | {name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ},
        start_new_session=True,
    )


@functools.cache
def _package_folders() -> list[str]:
    """Returns the folders of the packages that programs may import besides the standard library."""
    found = [spec.submodule_search_locations for name in _PACKAGES if (spec := find_spec(name)) is not None]
    folders = [os.path.realpath(folder) for locations in found for folder in (locations or ())[:1]]
    libraries = [f"{folder}.libs" for folder in folders]
    return [folder for folder in (*folders, *libraries) if os.path.isdir(folder)]


@functools.cache
def _code_file() -> tuple[IO[bytes], int]:
    """Returns a file with the compiled modules of `jail`, by name, and its size."""
    codes = {"jail": marshal.dumps(compile("", "jail", "exec"))}
    folder = Path(jail.__file__).parent
    for path in sorted(folder.glob("[!_]*.py")):
        # The plain loader: what imports this project may have another, that adds to the code.
        codes[f"jail.{path.stem}"] = marshal.dumps(SourceFileLoader(path.stem, str(path)).get_code(path.stem))
    data = marshal.dumps(codes)
    file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as this process)
    file.write(data)
    file.flush()
    return file, len(data)


def _prefix(folder: str | None) -> list[str]:
    """Returns the command that a worker of tier C is started by on macOS: deprecated, but there is no other wall."""
    if sys.platform != "darwin":
        return []
    profile = (
        "(version 1)(allow default)(deny network*)(deny file-write*)"
        f'(allow file-write* (subpath "{folder}") (literal "/dev/null"))'
        "(deny signal)(allow signal (target same-sandbox))(deny process-info* (target others))"
    )
    return ["/usr/bin/sandbox-exec", "-p", profile]
