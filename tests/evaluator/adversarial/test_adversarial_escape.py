"""Programs that reach for the outside are denied, and the outside, looked at from outside, is as it was."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hrm_codegen.evaluator import Program, ProgramResult, probe_tiers

from .corpus import CORPUS, chosen
from .run import complaint, opened, run_case
from .surroundings import Surroundings, planted, processes_left, settled

pytestmark = pytest.mark.sandbox

RUNS = [(tier, case.name) for tier in "AB" for case in chosen(tier, ["escape"])]
DAEMON = """
import os, time
def f(v):
    if not os.fork():
        try: os.setsid()
        except OSError: pass
        if os.fork(): os._exit(0)
        os.execv("/bin/sleep", ["sleep", "@MARKER@"])
    time.sleep(0.2)
    return 7
"""


@dataclasses.dataclass(kw_only=True)
class Outside:
    """What a tier's run of all the programs has left outside."""

    secret: str
    touched: list[str]
    results: dict[str, ProgramResult]
    processes: list[str]
    folders: list[str]
    daemons: list[str]


@pytest.fixture(scope="module")
def outsides() -> dict[str, Outside]:
    """Runs of the tiers, made when they are asked for."""
    return {}


def outside(outsides: dict[str, Outside], tier: str) -> Outside:
    """Runs all programs of a tier, once, and looks around."""
    if tier not in outsides:
        if reason := probe_tiers()[tier]:
            pytest.skip(f"tier {tier}: {reason}")
        before = tempfile.tempdir
        folder = tempfile.mkdtemp(prefix="hrm_test_temporary_")
        os.chmod(folder, 0o755)
        tempfile.tempdir = folder
        try:
            with planted() as surroundings:
                outsides[tier] = _look(tier, surroundings, folder)
        finally:
            tempfile.tempdir = before
            os.rmdir(folder)
    return outsides[tier]


def _look(tier: str, surroundings: Surroundings, folder: str) -> Outside:
    values = surroundings.values | {"TIER": tier}
    with opened(tier) as sandbox, ThreadPoolExecutor(2) as pool:
        cases = [case.filled(values) for case in chosen(tier, ["escape"])]
        results = dict(zip([c.name for c in cases], pool.map(lambda c: run_case(sandbox, c), cases), strict=True))
        code = DAEMON.replace("@MARKER@", surroundings.marker)
        sandbox.run(Program(code=code, test_list=("assert f(1) == 7",)))
        daemons = processes_left(surroundings.marker)
    return Outside(
        secret=surroundings.secret,
        touched=surroundings.check(),
        results=results,
        processes=settled(),
        folders=[path for path in os.listdir(folder) if path != Path(surroundings.folder).name],
        daemons=daemons,
    )


@pytest.mark.parametrize(("tier", "name"), RUNS)
def test_denied(outsides: dict[str, Outside], tier: str, name: str) -> None:
    assert complaint(CORPUS[name], outside(outsides, tier).results[name]) == ""


@pytest.mark.parametrize("tier", "AB")
def test_no_file_or_listener_was_touched(outsides: dict[str, Outside], tier: str) -> None:
    assert outside(outsides, tier).touched == []


@pytest.mark.parametrize("tier", "AB")
def test_no_secret_was_printed(outsides: dict[str, Outside], tier: str) -> None:
    seen = outside(outsides, tier)
    assert [name for name, result in seen.results.items() if seen.secret in result.stdout] == []


@pytest.mark.parametrize("tier", "AB")
def test_no_process_is_left(outsides: dict[str, Outside], tier: str) -> None:
    assert outside(outsides, tier).processes == []


@pytest.mark.parametrize("tier", "AB")
def test_no_daemon_outlives_its_program(outsides: dict[str, Outside], tier: str) -> None:
    assert outside(outsides, tier).daemons == []


@pytest.mark.parametrize("tier", "AB")
def test_no_temporary_folder_is_left(outsides: dict[str, Outside], tier: str) -> None:
    assert outside(outsides, tier).folders == []
