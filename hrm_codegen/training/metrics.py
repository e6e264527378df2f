"""Where numbers go during training: a JSONL file always, lines on stderr, and W&B (in `wandb_writer.py`).

`LateMetrics` hands out a step's numbers when the next step has been started, so that reading them never makes the
device wait. Not the evaluation report: that is the evaluator's.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax

_log = logging.getLogger("hrm_codegen.training")


@runtime_checkable
class MetricWriter(Protocol):
    """Takes numbers by step."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records the metrics of one step."""

    def close(self) -> None:
        """Flushes; nothing is written afterwards."""


class MetricWriters:
    """Several writers as one.

    Args:
      writers: Written in this order.
    """

    def __init__(self, writers: Sequence[MetricWriter]):
        self._writers = tuple(writers)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Passes the metrics to every writer."""
        for writer in self._writers:
            writer.write(step, metrics)

    def close(self) -> None:
        """Closes every writer."""
        for writer in self._writers:
            writer.close()


class JsonlWriter:
    """Appends one object a call to a file: `{"step": 10, "time": 1754000000.0, "loss": 2.5, ...}`.

    Append-only: after a crash, a resumed run repeats the steps since its checkpoint, and the later line of a step is
    the valid one. Numbers that are not finite become null, because JSON has none.

    Args:
      path: `metrics.jsonl`; missing folders are made.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (closed by close)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends a line."""
        numbers = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, "time": round(time.time(), 3), **numbers}) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class ConsoleWriter:
    """Logs one line a call: step, loss, tokens/s, learning rate, time left; validation on a line of its own.

    Args:
      num_steps: Length of the run, for the time left.
      first_step: Where this process started, for the same.
    """

    def __init__(self, *, num_steps: int, first_step: int = 0):
        self._num_steps, self._first_step = num_steps, first_step
        self._started, self._warm = time.monotonic(), False

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the line; the metrics themselves are the record's `extra` fields, for JSON logs."""
        head = f"step {step}/{self._num_steps}"
        if "loss" in metrics:
            now = time.monotonic()
            left = (now - self._started) / max(step - self._first_step, 1) * (self._num_steps - step)
            if not self._warm:  # Later estimates leave out what came before the first line: compilation.
                self._warm, self._started, self._first_step = True, now, step
            line = (
                f"{head}  loss {metrics['loss']:.4f}  accuracy {metrics['accuracy']:.3f}  "
                f"{metrics['tokens_per_sec']:,.0f} tokens/s  lr {metrics['lr']:.2e}  "
                f"grad norm {metrics['grad_norm']:.2f}  {format_duration(left)} left"
            )
        else:
            line = f"{head}  " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        _log.info("%s", line, extra={"step": step, **metrics})

    def close(self) -> None:
        """Has nothing to flush."""


class LateMetrics:
    """Keeps the device metrics of the last step until the next one has been dispatched."""

    def __init__(self) -> None:
        self._waiting: tuple[int, Mapping[str, Any]] | None = None

    def push(self, step: int, metrics: Mapping[str, jax.Array]) -> tuple[int, dict[str, float]] | None:
        """Takes the metrics of a step just dispatched and returns the previous step's, as floats."""
        previous = self.flush()
        self._waiting = (step, metrics)
        return previous

    def flush(self) -> tuple[int, dict[str, float]] | None:
        """Returns what is waiting (and waits for the device), or None."""
        if self._waiting is None:
            return None
        step, metrics = self._waiting
        self._waiting = None
        return step, {name: float(value) for name, value in jax.device_get(dict(metrics)).items()}


class Meter:
    """Means over a stretch of steps, weighted by the tokens that count, and the throughput over the timed ones."""

    def __init__(self) -> None:
        self.steps = 0
        self._loss = self._correct = self._targets = self._tokens = 0.0
        self._timed_tokens = self._timed_seconds = self._seconds = 0.0
        self._last: Mapping[str, float] = {}

    def add(self, metrics: Mapping[str, float], *, seconds: float, timed: bool) -> None:
        """Adds a step that took `seconds`; `timed=False` if it compiled, which is not throughput."""
        self.steps += 1
        self._loss += metrics["loss"] * metrics["num_targets"]
        self._correct += metrics["accuracy"] * metrics["num_targets"]
        self._targets += metrics["num_targets"]
        self._tokens += metrics["num_tokens"]
        self._seconds += seconds
        if timed:
            self._timed_tokens += metrics["num_tokens"]
            self._timed_seconds += seconds
        self._last = metrics

    @property
    def loss(self) -> float:
        """Mean loss, nats a token."""
        return self._loss / max(self._targets, 1.0)

    @property
    def tokens_per_sec(self) -> float:
        """Inputs that are not padding a second, without compilation unless nothing else was seen."""
        if self._timed_seconds > 0:
            return self._timed_tokens / self._timed_seconds
        return self._tokens / max(self._seconds, 1e-9)

    def summary(self) -> dict[str, float]:
        """Returns one line of metrics: means of loss and accuracy, last gradient norm and learning rate."""
        return {
            "loss": self.loss,
            "accuracy": self._correct / max(self._targets, 1.0),
            "grad_norm": self._last["grad_norm"],
            "lr": self._last["lr"],
            "num_tokens": self._tokens,
            "tokens_per_sec": self.tokens_per_sec,
        }


def format_duration(seconds: float) -> str:
    """Returns `42s`, `3m 05s` or `2h 07m`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
