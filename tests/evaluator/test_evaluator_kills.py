"""The evaluator is killed at random moments and started again: the same report, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hrm_codegen.evaluator import probe_tiers

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]
TASKS = [
    {"task_id": f"k/{i}", "text": f"Add {i}.", "test_list": [f"assert add(1) == {i + 1}", f"assert add(2) == {i + 2}"]}
    for i in range(8)
]
KINDS = (
    "def add(x):\n    return x + {i}\n",
    "import time\ntime.sleep(0.05)\ndef add(x):\n    return x + {i}\n",
    "def add(x):\n    return x + {i} + (x == 2)\n",
    "def add(x):\n    return x.y\n",
    "import os, time\nif os.fork() == 0:\n    time.sleep(5)\ndef add(x):\n    return x + {i}\n",
    "def add(x)\n",
    "import os\nos._exit(0)\n",
)
LOOP = "def add(x):\n    while True:\n        pass\n"


class Evaluator:
    """Command lines of one evaluation, and what their processes leave."""

    def __init__(self, home: Path, mode: str) -> None:
        self.home, self.mode = home, mode
        (home / "tmp").mkdir()
        (home / "d.jsonl").write_text("".join(json.dumps(task) + "\n" for task in TASKS))
        samples = [
            {"task_id": task["task_id"], "solution": kind.replace("{i}", str(i))}
            for i, task in enumerate(TASKS)
            for kind in KINDS
        ]
        samples += [{"task_id": f"k/{i}", "solution": LOOP} for i in range(2)]
        (home / "s.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))

    def start(self, out: str) -> subprocess.Popen:
        words = ["eval", "--samples", "s.jsonl", "--data", "d.jsonl", "--k", "1", "--timeout", "0.3", "--workers", "2"]
        return subprocess.Popen(
            [sys.executable, "-m", "hrm_codegen", *words, "--out", out, "--no-cache", "--sandbox", self.mode, "--json"],
            cwd=self.home,
            env=os.environ | {"TMPDIR": str(self.home / "tmp")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def finish(self, out: str) -> bytes:
        """Runs it to its end; returns the report."""
        process = self.start(out)
        _, err = process.communicate(timeout=50)
        assert process.returncode == 0, err.decode()
        return (self.home / out / "report.json").read_bytes()


def processes() -> dict[int, tuple[int, str]]:
    """Returns the parent and the start time of every process that is not dead."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                found[int(path.parent.name)] = (int(fields[1]), fields[19])
    return found


def descendants(pid: int) -> set[tuple[int, str]]:
    """Returns pid and start time of all that a process has started, and they."""
    table = processes()
    found = {pid}
    while more := {child for child, (parent, _) in table.items() if parent in found} - found:
        found |= more
    return {(child, table[child][1]) for child in found - {pid}}


def wait_until_gone(started: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Returns those that are still there after some seconds."""
    for _ in range(100):
        left = started & {(pid, begun) for pid, (_, begun) in processes().items()}
        if not left:
            break
        time.sleep(0.05)
    return left


def kill_and_finish(evaluator: Evaluator, *, kills: int, seed: int) -> None:
    begun = time.monotonic()
    whole = evaluator.finish("whole")
    length = time.monotonic() - begun
    draw = random.Random(seed)
    unfinished, folder = 0, 0
    for _ in range(kills):
        process = evaluator.start(f"killed-{folder}")
        seen: set[tuple[int, str]] = set()
        until = time.monotonic() + draw.uniform(0.3, 1.0) * length
        while time.monotonic() < until and process.poll() is None:
            seen |= descendants(process.pid)
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)  # so that none is started between looking and killing
        seen |= descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert wait_until_gone(seen) == set()
        if (evaluator.home / f"killed-{folder}" / "report.json").exists():
            assert evaluator.finish(f"killed-{folder}") == whole
            folder += 1
        else:
            unfinished += 1
    assert unfinished  # or the kills came too late to prove anything
    assert evaluator.finish(f"killed-{folder}") == whole
    for out in evaluator.home.glob("killed-*"):
        assert {path.name for path in out.iterdir()} == {"run.json", "results.jsonl", "report.json"}
        keys = [(row["task_id"], row["sample"]) for row in map(json.loads, (out / "results.jsonl").open())]
        assert len(keys) == len(set(keys)) == len(TASKS) * len(KINDS) + 2
    for _ in range(100):
        if not any((evaluator.home / "tmp").iterdir()):
            break
        time.sleep(0.05)
    assert list((evaluator.home / "tmp").iterdir()) == []


def require(mode: str) -> None:
    reason = probe_tiers()[{"namespaces": "A", "landlock": "B"}[mode]]
    if reason:
        pytest.skip(f"{mode}: {reason}")


def test_three_kills_change_nothing(tmp_path):
    require("namespaces")
    kill_and_finish(Evaluator(tmp_path, "namespaces"), kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["namespaces", "landlock"])
def test_twenty_kills_change_nothing(tmp_path, mode):
    require(mode)
    kill_and_finish(Evaluator(tmp_path, mode), kills=20, seed=2)
