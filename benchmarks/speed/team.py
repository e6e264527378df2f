"""The contenders of one comparison: started one by one, checked to have the same model, then measured in turns.

A contender that is not installed, or fails, is a line of the table and never the end of the run. Only one computes at a
time, but anything else on the machine is met as well: torch's threads wait for each other, and when one of them has to
share its core they lose far more than half of their speed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.speed.process import Worker, WorkerError
from benchmarks.speed.records import OURS, Record

NOT_INSTALLED = "not installed"
TOLERANCE = 1e-3  # of logits: float32 in another order
PREPARE_TIMEOUT, MEASURE_TIMEOUT = 900.0, 900.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """Who takes part.

    Attributes:
      name: In the tables; ours begin with `ours`.
      engine: `module:Class` for its worker.
      needs: Packages that must be installed.
      env: Added to the worker's environment.
      options: Gives the options of the engine's `prepare`; called only if the packages are there.
    """

    name: str
    engine: str
    needs: tuple[str, ...] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    options: Callable[[], dict[str, Any]] = dict


def say(text: str) -> None:
    """Reports progress."""
    print(text, file=sys.stderr, flush=True)


def installed(packages: Sequence[str]) -> bool:
    """Says whether all of the packages can be imported, without doing so."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


class Team:
    """Live workers, as a context manager that ends them.

    Attributes:
      facts: What `prepare` of each contender returned.
    """

    def __init__(self, section: str, size: str, contenders: Sequence[Contender]) -> None:
        self.section, self.size = section, size
        self.facts: dict[str, dict[str, Any]] = {contender.name: {} for contender in contenders}
        self._contenders = contenders
        self._workers: dict[str, Worker] = {}
        self._problems: dict[str, str] = {}

    def __enter__(self) -> Team:
        try:
            for contender in self._contenders:
                self._start(contender)
            self._compare_models()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def alternate(self, rounds: int, work: Mapping[str, Any], **options: Any) -> list[Record]:
        """Measures everyone once without counting it (which compiles), then everyone in each round.

        Args:
          rounds: How many.
          work: As in `Record`; also passed to `measure`.
          **options: Passed to `measure` only.
        """
        results: dict[str, list[Any]] = {name: [] for name in self.facts}
        for number in range(rounds + 1):
            for name in [name for name in self._workers if name not in self._problems]:
                say(f"{self._label(name)} {dict(work) or ''} {f'round {number}/{rounds}' if number else 'warm-up'}")
                found = self._ask(name, "measure", MEASURE_TIMEOUT, **work, **options)
                if number and found is not None:
                    results[name].append(found)
        return [
            Record(
                section=self.section,
                size=self.size,
                contender=name,
                work=dict(work),
                problem=self._problems.get(name),
                facts=self.facts[name],
                rounds=results[name],
            )
            for name in self.facts
        ]

    def _start(self, contender: Contender) -> None:
        name = contender.name
        if not installed(contender.needs):
            self._problems[name] = NOT_INSTALLED
            return
        say(f"{self._label(name)} starts")
        try:
            options = contender.options()
        except WorkerError as error:
            self._fail(name, str(error))
            return
        self._workers[name] = Worker(contender.engine, contender.env)
        self.facts[name] = self._ask(name, "prepare", PREPARE_TIMEOUT, **options) or {}

    def _compare_models(self) -> None:
        """Takes out whoever computes other logits than the first of ours; `prepare` gives those of a short probe."""
        logits = {name: np.asarray(facts.pop("logits")) for name, facts in self.facts.items() if "logits" in facts}
        reference = next((value for name, value in logits.items() if name.startswith(OURS)), None)
        for name, value in logits.items():
            if reference is None or value is reference:
                continue
            difference = float(np.abs(value - reference).max()) if value.shape == reference.shape else np.inf
            self.facts[name]["logits_difference"] = difference
            say(f"{self._label(name)}: its logits are ours within {difference:.1e}")
            if not difference <= TOLERANCE:
                self._fail(name, f"another model: logits differ by {difference:.1e}")

    def _ask(self, name: str, method: str, timeout: float, /, **options: Any) -> Any:
        try:
            return self._workers[name].call(method, timeout, **options)
        except WorkerError as error:
            self._fail(name, str(error))
            return None

    def _fail(self, name: str, problem: str) -> None:
        self._problems[name] = "failed: " + " ".join(problem.split())[:120]
        say(f"{self._label(name)} {self._problems[name]}")

    def _label(self, name: str) -> str:
        return " ".join(part for part in (self.section, self.size, name) if part)

    def _close(self) -> None:
        for worker in self._workers.values():
            worker.close()


def agreement(records: Sequence[Record]) -> str:
    """Returns a sentence about the checks of `Team`, "" if there were none."""
    found = [record.facts["logits_difference"] for record in records if "logits_difference" in record.facts]
    if not found:
        return ""
    return f"Checked at the start: logits of the others are ours within {max(found):.0e} (allowed {TOLERANCE:g}). "
