"""Large pages: the command starts again with glibc told so, once, and children are not told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hrm_codegen import machine

pytestmark = pytest.mark.skipif(not machine._has_glibc(), reason="another C library than glibc")

SCRIPT = """
import os, pathlib, sys
from hrm_codegen.machine import restart_with_large_pages
print("start", flush=True)
restart_with_large_pages()
told = b"glibc.malloc.hugetlb=1" in pathlib.Path("/proc/self/environ").read_bytes()
print(told, os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


def run(**environ: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if name != machine.TUNABLE}
    command = [sys.executable, "-c", SCRIPT, "a b", "--c"]
    return subprocess.run(command, env=clean | environ, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_command_starts_once_more_with_large_pages_that_children_do_not_inherit():
    assert run() == ["start", "start", "True None ['a b', '--c']"]


def test_what_the_user_set_stays():
    assert run(GLIBC_TUNABLES="") == ["start", "False  ['a b', '--c']"]


FREE = """
from pathlib import Path
from hrm_codegen.machine import return_free_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
pieces = [bytes(1000) for _ in range(200_000)]
last = bytes(1000)  # above them, so that free() alone cannot shrink the heap
before = resident()
del pieces
return_free_memory()
print(before - resident())
"""


def test_freed_memory_goes_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", FREE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150e6
