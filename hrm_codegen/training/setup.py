"""From a configuration and data to compiled-to-be steps, shardings and iterators: what the loop runs on.

Nothing large is allocated here but in `Setup.fresh_state`: shapes and shardings are derived from abstract parameters,
so that a checkpoint can be read straight into place, on any mesh.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import grain
import jax
from flax import nnx
from jax.sharding import Mesh

from hrm_codegen.config import Config
from hrm_codegen.data import TokenFile, make_loader
from hrm_codegen.errors import ConfigError
from hrm_codegen.model import abstract, bp_schedule
from hrm_codegen.parallel import make_mesh, put_tree, shardings
from hrm_codegen.training import checkpoints
from hrm_codegen.training.optimizer import make_optimizer
from hrm_codegen.training.state import TrainState, create_state
from hrm_codegen.training.step import make_eval_step, make_train_step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """The parts of a run that do not change while it runs.

    Attributes:
      config: Everything.
      mesh: Where it runs.
      train_step: See `make_train_step`.
      eval_step: See `make_eval_step`.
      create: Parameters to the first state, placed on the mesh.
      abstract_state: Shapes and shardings of the state.
      train_data: Endless batches of the rows of all processes.
      eval_data: Validation batches, each document once; None: no validation.
      bp_schedule: (first step, K) pairs, ascending.
    """

    config: Config
    mesh: Mesh
    train_step: Callable[..., Any]
    eval_step: Callable[..., Any]
    create: Callable[[Any], TrainState]
    abstract_state: TrainState
    train_data: grain.IterDataset
    eval_data: grain.IterDataset | None
    bp_schedule: list[tuple[int, int | None]]

    def fresh_state(self, params: Any) -> TrainState:
        """Returns the state before the first step, on the mesh; `params` stay usable."""
        return self.create(put_tree(params, shardings(params, self.mesh)))

    def bp_passes(self, step: int) -> int | None:
        """Returns K at a step (counted from 0)."""
        return [passes for first, passes in self.bp_schedule if first <= step][-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepOnMesh:
    """The train step, and where its state lives.

    Attributes:
      train_step: See `make_train_step`.
      create: Parameters on the mesh to the first state, compiled.
      shapes: Of the state.
      placement: Its shardings.
    """

    train_step: Callable[..., Any]
    create: Callable[[Any], TrainState]
    shapes: TrainState
    placement: TrainState


def make_step(config: Config, graphdef: nnx.GraphDef, params: Any, mesh: Mesh) -> StepOnMesh:
    """Prepares the train step; of `params` only the shapes are used."""
    tx, schedule = make_optimizer(config.optim, config.train.num_steps, params)
    create = functools.partial(create_state, tx=tx, ema=config.optim.ema_decay > 0)
    shapes = jax.eval_shape(create, params)
    placement = shardings(shapes, mesh)
    return StepOnMesh(
        train_step=make_train_step(graphdef, tx, schedule, config, state_shardings=placement),
        create=jax.jit(create, out_shardings=placement),
        shapes=shapes,
        placement=placement,
    )


def make_setup(config: Config, train_file: TokenFile, eval_file: TokenFile | None) -> Setup:
    """Prepares a run.

    Raises:
      ConfigError: The batch does not divide into microbatches or devices.
      DatasetError: A data file has no usable document.
    """
    train = config.train
    if train.batch_size % train.grad_accum:
        raise ConfigError(f"train.batch_size {train.batch_size} does not divide by train.grad_accum {train.grad_accum}")
    mesh = make_mesh(config.mesh, microbatch=train.batch_size // train.grad_accum)
    graphdef, params = abstract(config.model)
    step = make_step(config, graphdef, params, mesh)
    loader = functools.partial(make_loader, seq_len=config.data.seq_len, packing=config.data.packing)
    return Setup(
        config=config,
        mesh=mesh,
        train_step=step.train_step,
        eval_step=make_eval_step(graphdef, mesh=mesh),
        create=step.create,
        abstract_state=checkpoints.abstract(step.shapes, step.placement),
        # Every process reads all rows and `put_batch` takes its own: the batches, and the position that a checkpoint
        # keeps, then do not depend on the number of processes. Reading is cheap next to a step.
        train_data=loader(
            train_file,
            batch_size=train.batch_size,
            seed=train.seed,
            loss_on_prompt=config.data.loss_on_prompt,
        ),
        eval_data=None
        if eval_file is None
        else loader(
            eval_file,
            batch_size=train.batch_size // train.grad_accum,
            seed=0,
            loss_on_prompt=config.data.loss_on_prompt,
            shuffle=False,
            repeat=False,
        ),
        bp_schedule=bp_schedule(config.model, train),
    )
