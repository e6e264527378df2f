"""The loop: steps, lines of metrics, validations, checkpoints, in that order, until done or told to stop.

Reading a step's metrics waits for the device, so it happens after the next step was dispatched. Everything that needs
exact numbers (validation, saving, the end) first catches up. Not here: building the parts (`setup.py`), deciding what
an exception means (`trainer.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hrm_codegen.config import to_dict
from hrm_codegen.data import Tokenizer
from hrm_codegen.errors import TrainingError
from hrm_codegen.machine import return_free_memory
from hrm_codegen.parallel import put_batch
from hrm_codegen.training.checkpoints import CheckpointStore
from hrm_codegen.training.export import save_best
from hrm_codegen.training.metrics import LateMetrics, Meter, MetricWriters
from hrm_codegen.training.runs import RunPaths
from hrm_codegen.training.setup import Setup
from hrm_codegen.training.state import TrainState
from hrm_codegen.training.stop import SIGNALS, StopRequest

_log = logging.getLogger("hrm_codegen.training")


@dataclasses.dataclass(kw_only=True)
class Progress:
    """Numbers that survive a restart.

    Attributes:
      tokens: Inputs that were not padding, so far.
      train_loss: Mean over the last line of metrics.
      train_accuracy: The same.
      eval_loss: Of the last validation; None: none yet.
      eval_accuracy: The same.
      best_loss: Lowest validation loss (training loss without validation).
      best_step: Where it was reached; None: `best.pt` was not written yet.
    """

    tokens: float = 0.0
    train_loss: float | None = None
    train_accuracy: float | None = None
    eval_loss: float | None = None
    eval_accuracy: float | None = None
    best_loss: float | None = None
    best_step: int | None = None


@dataclasses.dataclass(kw_only=True)
class Loop:
    """One process's training loop.

    Attributes:
      setup: Steps, shardings and data.
      state: The train state.
      data: Iterator of the training batches.
      step: Optimizer steps done.
      progress: Numbers that survive a restart.
      store: Where checkpoints go.
      writers: Where metrics go.
      paths: Files of the run.
      tokenizer: Goes into `best.pt`.
      callbacks: Objects with `on_eval(step, model, metrics) -> dict`.
      view: Parameters to the model that callbacks get.
      wandb_run_id: Goes into checkpoints.
    """

    setup: Setup
    state: TrainState
    data: Any
    step: int
    progress: Progress
    store: CheckpointStore
    writers: MetricWriters
    paths: RunPaths
    tokenizer: Tokenizer
    callbacks: Sequence[Any]
    view: Callable[[Any], Any]
    wandb_run_id: str | None

    def __post_init__(self) -> None:
        self._late = LateMetrics()
        self._window, self._total = Meter(), Meter()
        self._compiled: set[int | None] = set()
        self._mark = time.perf_counter()
        self._saved_step: int | None = None

    def run(self, stop: StopRequest) -> dict[str, float]:
        """Trains to `train.num_steps`, or until `stop` has a reason, and saves.

        Returns:
          The metrics of the run, see `Trainer.fit`.

        Raises:
          TrainingError: Loss or gradient is not finite.
        """
        train = self.setup.config.train
        started = time.monotonic()
        reason = stop.poll()
        while self.step < train.num_steps and not reason:
            self._train_step()
            reason = stop.poll()
            if reason in SIGNALS:
                break  # whoever sent it may not wait for a validation
            last = reason is not None or self.step == train.num_steps
            if last or self.step % train.eval_every == 0:
                self._evaluate()
            if last or self.step % train.checkpoint_every == 0:
                self._save()
        if reason:
            self._save()
            _log.info("stopped at step %d of %d by %s; --resume continues", self.step, train.num_steps, reason)
        return self._results(time.monotonic() - started)

    def _train_step(self) -> None:
        bp_passes = self.setup.bp_passes(self.step)
        compiling = bp_passes not in self._compiled
        if compiling:
            self._catch_up()
            depth = "all passes" if bp_passes is None else f"K={bp_passes}"
            _log.info("compiling train step (%s) ...", depth, extra={"step": self.step})
            self._compiled.add(bp_passes)
        batch = put_batch(next(self.data), self.setup.mesh)
        self.state, metrics = self.setup.train_step(self.state, batch, bp_passes=bp_passes)
        self.step += 1
        self._record(self._late.push(self.step, metrics))
        if compiling:
            self._record(self._late.flush(), timed=False)
            return_free_memory()

    def _catch_up(self) -> None:
        """Waits for the device and records the step that is still out."""
        self._record(self._late.flush())

    def _record(self, entry: tuple[int, dict[str, float]] | None, *, timed: bool = True) -> None:
        if entry is None:
            return
        step, metrics = entry
        if not metrics["finite"]:
            raise TrainingError(self._not_finite(step, metrics))
        now = time.perf_counter()
        for meter in (self._window, self._total):
            meter.add(metrics, seconds=now - self._mark, timed=timed)
        self._mark = now
        self.progress.tokens += metrics["num_tokens"]
        if step % self.setup.config.train.log_every == 0:
            self._write_window(step)

    def _write_window(self, step: int) -> None:
        if self._window.steps:
            line = self._window.summary()
            self.progress.train_loss, self.progress.train_accuracy = line["loss"], line["accuracy"]
            self.writers.write(step, line)
            self._window = Meter()

    def _evaluate(self) -> None:
        """Measures the averaged weights, keeps the best, and lets callbacks measure more."""
        self._catch_up()
        metrics = self._validate()
        if metrics:
            self.progress.eval_loss, self.progress.eval_accuracy = metrics["eval_loss"], metrics["eval_accuracy"]
        for callback in self.callbacks:
            more = callback.on_eval(self.step, self.view(self.state.eval_params), dict(metrics))
            metrics |= {name: float(value) for name, value in (more or {}).items()}
        if metrics:
            self.writers.write(self.step, metrics)
        if self.setup.eval_data is not None:
            self._keep_if_best(metrics["eval_loss"])
        self._mark = time.perf_counter()

    def _validate(self) -> dict[str, float]:
        if self.setup.eval_data is None:
            return {}
        loss = correct = count = 0.0
        for batch in itertools.islice(self.setup.eval_data, self.setup.config.train.eval_batches):
            sums = self.setup.eval_step(self.state.eval_params, put_batch(batch, self.setup.mesh))
            loss, correct, count = (
                loss + float(sums.loss),
                correct + float(sums.num_correct),
                count + float(sums.num_targets),
            )
        return {"eval_loss": loss / max(count, 1.0), "eval_accuracy": correct / max(count, 1.0)}

    def _save(self) -> None:
        """Writes a full-state checkpoint of this step, once; and a `best.pt` where nothing else decides on it."""
        self._catch_up()
        if self._saved_step == self.step:
            return
        self._write_window(self.step)
        if self.progress.train_loss is not None and (self.setup.eval_data is None or self.progress.best_step is None):
            # Without validation the training loss decides; and a run that is stopped before its first validation
            # still leaves weights, which any validation then replaces.
            self._keep_if_best(self.progress.train_loss, provisional=self.setup.eval_data is not None)
        info = {
            "config": to_dict(self.setup.config),
            "tokenizer_sha256": self.tokenizer.sha256,
            "progress": dataclasses.asdict(self.progress),
            "wandb_run_id": self.wandb_run_id,
        }
        self.store.save(self.step, self.state, self.data, info)
        self._saved_step = self.step
        self._mark = time.perf_counter()

    def _keep_if_best(self, loss: float, *, provisional: bool = False) -> None:
        if self.progress.best_loss is not None and not loss < self.progress.best_loss:
            return
        self.progress.best_step = self.step
        self.progress.best_loss = None if provisional else loss
        config = self.setup.config
        facts = {
            "step": self.step,
            "weights": "raw" if self.state.ema is None else "ema",
            "train_loss": self.progress.train_loss,
            "eval_loss": self.progress.eval_loss,
            "tokens": self.progress.tokens,
        }
        params = self.state.eval_params
        save_best(self.paths, params, config=config, tokenizer=self.tokenizer, metadata=facts)
        _log.debug("best so far at step %d: %s", self.step, self.paths.best)

    def _results(self, seconds: float) -> dict[str, float]:
        numbers = {
            **dataclasses.asdict(self.progress),
            "steps": self.step,
            "tokens_per_sec": self._total.tokens_per_sec,
            "seconds": seconds,
        }
        return {name: float(value) for name, value in numbers.items() if value is not None}

    def _not_finite(self, step: int, metrics: Mapping[str, float]) -> str:
        optim = self.setup.config.optim
        saved = self.store.latest
        which = "loss" if not math.isfinite(metrics["loss"]) else "gradient"
        tries = [f"--set optim.lr={optim.lr / 2:g}"]
        if optim.clip_norm is None:
            tries.append("--set optim.clip_norm=1.0")
        tries.append(f"--set optim.warmup_steps={max(2 * optim.warmup_steps, 100)}")
        where = "no checkpoint was saved yet" if saved is None else f"the checkpoint of step {saved} is good"
        return (
            f"{which} is not finite at step {step} (loss {metrics['loss']:g}, gradient norm {metrics['grad_norm']:g}); "
            f"the update was not made, {where}\ntry: {' or '.join(tries)}"
            + (" with --resume" if saved is not None else "")
        )
