"""Files larger than memory: a first batch at once, and resident memory that does not grow with what was read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hrm_codegen.data import TokenFile, token_file

GIGABYTES = 20
# In a process of its own: resident memory of a test's process is everybody's.
SCRIPT = """
import json, sys, time
from hrm_codegen.data import TokenFile, make_loader

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

import grain
start, before = time.perf_counter(), resident()
batches = iter(make_loader(TokenFile(sys.argv[1]), seq_len=256, batch_size=8, seed=0))
next(batches)
first, peak = time.perf_counter() - start, 0.0
for _ in range(int(sys.argv[2])):
    next(batches)
    peak = max(peak, resident() - before)
print(json.dumps({"first": first, "peak": peak}))
"""


def measure(path: Path, batches: int) -> dict[str, float]:
    command = [sys.executable, "-c", SCRIPT, str(path), str(batches)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """20 GB of zeros that take no room on the disk."""
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(GIGABYTES * 2**30)
    assert path.stat().st_blocks * 512 < 2**20
    return path


def resident_kilobytes(path: Path) -> int:
    """Returns how much of a mapped file is in this process's memory."""
    _, _, after = Path("/proc/self/smaps").read_text().partition(f"{path}\n")
    return int(after.partition("Rss:")[2].split()[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts pages as Linux does")
def test_pages_that_were_read_are_given_back(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_file, "_READS_KEPT", 100)
    file = TokenFile(sparse)
    for number in range(1, 400):
        assert not file.read(number * 10**6, number * 10**6 + 257).any()
        if number % 100 == 99:
            # A read brings 16 pages in, or 32 across a border; without giving back 399 reads would have 25 MB.
            assert 99 * 4 <= resident_kilobytes(sparse) <= 100 * 128
    file.release()
    assert resident_kilobytes(sparse) == 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts pages as Linux does")
@pytest.mark.parametrize("batches", [1500, 20_000])
def test_a_file_larger_than_memory_is_read_within_300_mb(batches: int, sparse: Path) -> None:
    """Without giving pages back, 1500 batches of 8 rows keep 743 MB, and 20,000 all that there is."""
    assert measure(sparse, batches)["peak"] < 300
