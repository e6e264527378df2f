"""`start`: how long a new process takes to its first train step and to its first token, without and with a cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.speed.process import ROOT, environment
from benchmarks.speed.records import Record, seconds, summary
from benchmarks.speed.settings import Settings
from benchmarks.speed.shop import Shop
from benchmarks.speed.tables import compared, spread
from benchmarks.speed.team import NOT_INSTALLED, installed, say

SIZE = "tiny"
GOALS, CACHES = ("train", "generate"), ("cold", "warm")
_ROUNDS = 3  # a round is ten processes
_TIMEOUT = 600
_NEEDS: Mapping[str, tuple[str, ...]] = {"ours": (), "hf": ("torch", "transformers")}


def run(settings: Settings, shop: Shop) -> list[Record]:
    names = [name for name in _NEEDS if name not in settings.without]
    able = [name for name in names if installed(_NEEDS[name])]
    found: dict[tuple[str, str, str], list[float]] = {
        (goal, cache, name): [] for goal in GOALS for cache in CACHES for name in names
    }
    problems: dict[tuple[str, str], str] = {}
    for number in range(min(settings.rounds, _ROUNDS)):
        for goal in GOALS:
            folder = shop.scratch(f"start-{goal}-{number}")
            for cache in CACHES:
                for name in [name for name in able if (goal, name) not in problems]:
                    say(f"start {goal}, {cache} cache, {name}, round {number + 1}")
                    try:
                        source = SIZE if name == "ours" else shop.model(SIZE)
                        env = {"HRM_CODEGEN_CACHE": str(folder)}
                        found[goal, cache, name].append(_seconds([name, goal, source], env))
                    except Exception as error:  # one contender's failure, not the run's
                        problems[goal, name] = f"failed: {type(error).__name__}"
            shutil.rmtree(folder, ignore_errors=True)
    return [
        Record(
            section="start",
            size=SIZE,
            contender=name,
            work={"goal": goal, "cache": cache},
            problem=NOT_INSTALLED if name not in able else problems.get((goal, name)),
            rounds=[{"units": 1, "seconds": [value]} for value in values],
        )
        for (goal, cache, name), values in found.items()
    ]


def show(records: Sequence[Record], peak_flops: float | None) -> str:
    del peak_flops
    note = (
        "Seconds from the start of the process to the end of the first train step, or to the first token of a prompt "
        "of 64. Cold: an empty folder for compiled programs; warm: the same command again. Transformers compiles "
        "nothing and is run twice, too. Files are in the system's cache in both.\n\n"
    )
    columns = {"seconds": lambda record: spread(summary(seconds(record)))}
    return note + compared(records, ("goal", "cache"), columns)


def _seconds(arguments: list[str], env: Mapping[str, str]) -> float:
    """Runs `first.py` until it says that it is done; its exit is not measured."""
    command = [sys.executable, "-m", "benchmarks.speed.engines.first", *arguments]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT, env=environment(env)
    ) as process:
        try:
            out, _ = process.communicate(timeout=_TIMEOUT)
        except BaseException:
            process.kill()
            raise
    end = float(out.decode().splitlines()[-1])  # the child's clock, which is the system's
    return end - start
