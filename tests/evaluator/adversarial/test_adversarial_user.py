"""The corpus as an ordinary user: root's walls are put up by other means, so both kinds of user have to be tried.

As root one interpreter is started as nobody. Interpreter and source may lie below folders that only root may enter, so
both are mounted below a folder of their own first. Not as root, the other tests are this one already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hrm_codegen
from hrm_codegen.evaluator import run_program

from .corpus import CORPUS, chosen
from .run import IDLE_SECONDS, MODES
from .surroundings import planted, settled

pytestmark = pytest.mark.sandbox

NOBODY = 65534
_IDLE = str(IDLE_SECONDS + 1)
CATEGORIES = {"A": ("escape", "source", "legit"), "B": ("escape", "legit", "limit")}
_SOURCE, _TESTS = Path(hrm_codegen.__file__).parents[1], Path(__file__).parents[1]
# Runs as root in an interpreter of its own, mounts, becomes nobody, and is replaced by the interpreter that is to be.
_ENTER = """
import ctypes, json, os, sys
nobody, places, command = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def check(result, what):
    if result: sys.exit("refused: %s: %s" % (what, os.strerror(ctypes.get_errno())))
check(libc.unshare(0x20000), "unshare")
check(libc.mount(b"none", b"/", None, ctypes.c_ulong(0x4000 | 1 << 18), None), "private mounts")
for source, target in places.items():
    check(libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(0x1000 | 0x4000), None), "mount " + source)
os.setgroups([])
os.setgid(nobody)
os.setuid(nobody)
os.execve(command[0], command, dict(os.environ))
"""
_CHILD = """
import sys
sys.path[:0] = {paths!r}
sys.argv[1:] = {arguments!r}
import runpy
runpy.run_module("adversarial.run", run_name="__main__")
"""


def as_nobody(code: str, places: dict[str, Path]) -> subprocess.CompletedProcess[str]:
    """Runs code in this interpreter as nobody, where `places` are mounted at other paths."""
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    prefix = Path(sys.base_prefix).resolve()
    command = [str(places[str(prefix)] / executable.relative_to(prefix)), "-S", "-c", code]
    mounts = {source: str(target) for source, target in places.items()}
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ENTER, json.dumps([NOBODY, mounts, command])],
        env={
            "PATH": "/usr/bin:/bin",
            "LD_LIBRARY_PATH": str(places[str(prefix)] / "lib"),  # libpython is no longer where it was linked
            "HRM_TEST_SECRET": os.environ.get("HRM_TEST_SECRET", ""),
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module", params=["/mnt", "/tmp"])
def places(request: pytest.FixtureRequest) -> Iterator[dict[str, Path]]:
    """Where an ordinary user finds interpreter, source and tests."""
    if os.geteuid() != 0:
        pytest.skip("not root: the other tests run as an ordinary user already")
    if not os.access(request.param, os.W_OK):
        pytest.skip(f"nothing can be made in {request.param}")
    folder = Path(tempfile.mkdtemp(prefix="hrm_test_places_", dir=request.param))
    folder.chmod(0o755)
    found = {}
    sources = (Path(sys.base_prefix).resolve(), _SOURCE, _TESTS)
    for name, source in zip(("python", "source", "tests"), sources, strict=True):
        (folder / name).mkdir()
        found[str(source)] = folder / name
    yield found
    for path in found.values():
        path.rmdir()
    folder.rmdir()


def program(places: dict[str, Path], *arguments: str) -> str:
    """Returns the code that runs the corpus there."""
    return _CHILD.format(paths=[str(places[str(_SOURCE)]), str(places[str(_TESTS)])], arguments=list(arguments))


@pytest.mark.parametrize(("places", "tier"), [("/mnt", "A"), ("/tmp", "B")], indirect=["places"])
def test_corpus_as_nobody(places: dict[str, Path], tier: str) -> None:
    with planted() as surroundings:
        values = json.dumps(surroundings.values | {"TIER": tier})
        code = f"import os\nos.environ.update(HRM_TEST_VALUES={values!r}, HRM_TEST_IDLE={_IDLE!r})\n"
        code += program(places, tier, "2", *CATEGORIES[tier])
        done = as_nobody(code, places)
        if "refused: " in done.stderr or "no sandbox that can hold" in done.stderr:
            pytest.skip(f"no tier {tier} for an ordinary user: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr[-2000:]
        complaints = json.loads(done.stdout)
        assert {name: text for name, text in complaints.items() if text} == {}
        assert len(complaints) == len(chosen(tier, CATEGORIES[tier]))
        assert surroundings.secret not in done.stdout
        assert surroundings.check() == []
        assert settled(_IDLE) == []


def test_public_entry_as_nobody(places: dict[str, Path]) -> None:
    code = (
        f"import sys\nsys.path[:0] = [{str(places[str(_SOURCE)])!r}]\n"
        "from hrm_codegen.evaluator.sandbox import run_program\nfrom hrm_codegen.evaluator.tiers import probe_tiers\n"
        "good, bad = 'def f(v): return v', 'import os\\ndef f(v): os._exit(0)'\n"
        "test = ['assert f(1) == 1']\n"
        "print([str(run_program(code=c, test_list=test).verdict) for c in (good, bad)], probe_tiers())\n"
    )
    done = as_nobody(code, places)
    if "refused: " in done.stderr:
        pytest.skip(done.stderr[-300:])
    assert done.stdout.startswith("['passed', 'protocol'] {'A': '', 'B': ''"), done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("tier", "AB")
def test_forks_are_limited_as_nobody(places: dict[str, Path], tier: str) -> None:
    if Path("/mnt") not in places[str(_SOURCE)].parents:
        pytest.skip("once is enough")
    case = CORPUS["forks up to 40 times"]
    code = (
        f"import os, sys\nsys.path[:0] = [{str(places[str(_SOURCE)])!r}]\n"
        f"os.environ['HRM_CODEGEN_SANDBOX'] = {MODES[tier]!r}\n"
        "from hrm_codegen.evaluator.sandbox import run_program\n"
        f"print(run_program(code={case.code!r}, test_list={list(case.tests)!r}).message)\n"
    )
    done = as_nobody(code, places)
    if "refused: " in done.stderr or "no sandbox that can hold" in done.stderr:
        pytest.skip(done.stderr[-300:])
    assert done.stdout.startswith("BlockingIOError"), done.stdout + done.stderr[-2000:]


def test_public_entry_as_whoever_runs_this() -> None:
    assert run_program(code="def f(v): return v", test_list=["assert f(1) == 1"]).verdict == "passed"
