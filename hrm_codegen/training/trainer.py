"""`Trainer`: the object that users hold; it checks everything early, then hands over to the loop.

Not a framework: there are no hooks into the step. Whoever wants another step writes a loop around `make_train_step`,
which is what `loop.py` is.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import jax

from hrm_codegen.config import Config, from_dict, load, to_yaml, validate
from hrm_codegen.config.files import atomic_write
from hrm_codegen.errors import CheckpointError, ConfigError
from hrm_codegen.model import abstract
from hrm_codegen.parallel import distributed
from hrm_codegen.training import memory, runs
from hrm_codegen.training.checkpoints import CheckpointStore
from hrm_codegen.training.export import adopt_best
from hrm_codegen.training.loop import Loop, Progress
from hrm_codegen.training.metrics import ConsoleWriter, JsonlWriter, MetricWriter, MetricWriters
from hrm_codegen.training.setup import Setup, make_setup
from hrm_codegen.training.sources import Source, find_tokenizer, open_eval, open_train
from hrm_codegen.training.stop import StopRequest
from hrm_codegen.training.wandb_writer import open_wandb

if TYPE_CHECKING:
    from hrm_codegen.codegen import HRMCodeGen

_log = logging.getLogger("hrm_codegen.training")


@runtime_checkable
class Callback(Protocol):
    """Something to measure at every validation, for example pass@k."""

    def on_eval(self, step: int, model: HRMCodeGen, metrics: Mapping[str, float]) -> Mapping[str, float] | None:
        """Returns more metrics to record.

        Args:
          step: Optimizer steps done.
          model: The averaged weights, ready to generate.
          metrics: `eval_loss` and `eval_accuracy`, if there is validation data.
        """


class Trainer:
    """Trains a model on problems.

    Args:
      model: The model whose weights to start from; None: a new one. After `fit` it is the best one (as in
        `best.pt`: averaged weights, the configuration of the run).
      train_dataset: Token file or raw problems (a path, or rows in memory); None: `data.train`.
      eval_dataset: The same for the validation loss; None: `data.eval`, or no validation.
      config: A path or bundled name, a dict, a `ConfigDict`, or a `Config`.
      callbacks: Called at every validation.

    Attributes:
      config: The resolved configuration.
      model: The model being trained.

    Raises:
      ConfigError: The configuration contradicts itself, the model or the tokenizer.
      DatasetError: Data that is missing, malformed or of another tokenizer; the message has the way out.
    """

    def __init__(
        self,
        model: HRMCodeGen | None,
        train_dataset: Source | None,
        eval_dataset: Source | None,
        config: Any,
        *,
        callbacks: Sequence[Callback] = (),
    ):
        from hrm_codegen.codegen import HRMCodeGen

        self.config = _resolve(config)
        self.callbacks = tuple(callbacks)
        tokenizer = find_tokenizer(train_dataset, self.config) if model is None else model.tokenizer
        # Raw problems are tokenized into this folder, which lives as long as the trainer.
        self._workdir = tempfile.TemporaryDirectory(prefix="hrm-codegen-")
        self._train_file = open_train(train_dataset, self.config, tokenizer, Path(self._workdir.name))
        self._eval_file = open_eval(eval_dataset, self.config, tokenizer, Path(self._workdir.name))
        if model is None:
            model = HRMCodeGen.from_config(self.config, tokenizer, seed=self.config.train.seed)
        _check_fit(model, self.config)
        self.model = model

    def fit(self, resume: bool | str | os.PathLike[str] = False) -> dict[str, float]:
        """Trains, saving as it goes; SIGTERM and Ctrl-C finish the step, save, and return as usual.

        Args:
          resume: True goes on with the latest run of this configuration, a path with the run in that folder.

        Returns:
          train_loss and train_accuracy (of the last line of metrics), eval_loss, eval_accuracy, best_loss, best_step,
          steps, tokens, tokens_per_sec, seconds; what was not measured is left out.

        Raises:
          CheckpointError: Nothing to resume, a checkpoint of another model, or a folder that holds a run already.
          TrainingError: Loss or gradient became infinite or not a number.
          OutOfMemoryError: With settings that need less.
        """
        config = self.config
        paths = runs.find_run(config, resume) if resume else runs.new_run(config)
        distributed.barrier("run")  # nobody writes before all have looked: they must find the same run
        distributed.log_to(paths.run_dir / "logs")
        while True:
            try:
                results = self._fit(config, paths, resume=bool(resume))
                break
            except jax.errors.JaxRuntimeError as error:
                if not memory.is_out_of_memory(error):
                    raise
                smaller = memory.smaller_microbatch(config)
                if config.train.oom_fallback != "auto" or smaller is None:
                    raise memory.out_of_memory(config) from error
                config, resume = smaller, paths.last_step() is not None
                _log.warning("out of memory: retrying with train.grad_accum=%d", config.train.grad_accum)
        if paths.best.exists():
            adopt_best(self.model, paths)
        return results

    def _fit(self, config: Config, paths: runs.RunPaths, *, resume: bool) -> dict[str, float]:
        setup = make_setup(config, self._train_file, self._eval_file)
        stop = StopRequest(time_limit_minutes=config.train.time_limit_minutes)
        with stop, CheckpointStore(paths.state, keep=config.train.keep_checkpoints) as store:
            loop = self._make_loop(setup, paths, store, resume=resume)
            if jax.process_index() == 0:
                with atomic_write(paths.config) as file:
                    file.write(to_yaml(config))
            try:
                return loop.run(stop)
            finally:
                loop.writers.close()

    def _make_loop(self, setup: Setup, paths: runs.RunPaths, store: CheckpointStore, *, resume: bool) -> Loop:
        """Puts a loop at the start of a run, or where its latest checkpoint left off."""
        config, data = setup.config, iter(setup.train_data)
        step, progress, run_id = 0, Progress(), None
        if resume:
            step, state, info = store.restore(setup.abstract_state, data, check=self._check_resume)
            progress, run_id = Progress(**info["progress"]), info["wandb_run_id"]
            _log.info("resuming %s at step %d", paths.run_dir, step, extra={"step": step})
        else:
            state = setup.fresh_state(self.model.params)
            _log.info("run %s on %d %s device(s)", paths.run_dir, setup.mesh.size, jax.default_backend())
        writers: list[MetricWriter] = []
        if jax.process_index() == 0:
            writers += [JsonlWriter(paths.metrics), ConsoleWriter(num_steps=config.train.num_steps, first_step=step)]
            if (wandb := open_wandb(config, run_name=paths.name, run_id=run_id)) is not None:
                writers.append(wandb)
                run_id = wandb.run_id
        return Loop(
            setup=setup,
            state=state,
            data=data,
            step=step,
            progress=progress,
            store=store,
            writers=MetricWriters(writers),
            paths=paths,
            tokenizer=self.model.tokenizer,
            callbacks=self.callbacks,
            view=self._view,
            wandb_run_id=run_id,
        )

    def _view(self, params: Any) -> HRMCodeGen:
        """Returns a model of its own with these weights."""
        return type(self.model)(
            config=self.config, tokenizer=self.model.tokenizer, params=params, device=self.model.device
        )

    def _check_resume(self, info: dict[str, Any]) -> None:
        """Refuses a checkpoint whose arrays or tokens do not fit."""
        saved = from_dict(info["config"])
        if not _same_shapes(saved, self.config):
            changed = _differences(saved.model, self.config.model)
            raise CheckpointError(
                f"the run to resume has another model ({changed}): use its config.yaml, or start afresh"
            )
        for field in ("name", "ema_decay"):
            old, new = getattr(saved.optim, field), getattr(self.config.optim, field)
            if old != new and (field == "name" or not old or not new):
                raise CheckpointError(f"the run to resume has optim.{field}={old}, the configuration {new}")
        if info["tokenizer_sha256"] != self.model.tokenizer.sha256:
            raise CheckpointError("the run to resume was trained with another tokenizer: use its data, or start afresh")


def _resolve(config: Any) -> Config:
    if isinstance(config, Config):
        validate(config)
        return config
    return load(config) if isinstance(config, str | os.PathLike) else from_dict(config)


def _check_fit(model: HRMCodeGen, config: Config) -> None:
    """Raises unless the weights of `model` are weights of `config.model`; says which other fields change."""
    changed = _differences(model.config.model, config.model)
    if not _same_shapes(model.config, config):
        raise ConfigError(f"the given model does not fit the configuration: {changed}")
    if changed:
        _log.warning("training the given model with another configuration: %s", changed)


def _same_shapes(first: Config, second: Config) -> bool:
    def shapes(config: Config) -> Any:
        return [(path, leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(abstract(config.model)[1])]

    return first.model == second.model or shapes(first) == shapes(second)


def _differences(first: Any, second: Any) -> str:
    pairs = [
        (field.name, getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(first)
    ]
    return ", ".join(f"model.{name} is {old}, not {new}" for name, old, new in pairs if old != new)
