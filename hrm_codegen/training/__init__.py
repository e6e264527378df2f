"""Training: state, optimizer, losses, steps, checkpoints, metric writers, and the `Trainer` around them."""

from hrm_codegen.training.checkpoints import CheckpointStore
from hrm_codegen.training.losses import TokenSums, token_sums
from hrm_codegen.training.metrics import ConsoleWriter, JsonlWriter, MetricWriter, MetricWriters
from hrm_codegen.training.optimizer import make_optimizer, make_schedule, scale_by_adam_atan2
from hrm_codegen.training.state import TrainState, create_state
from hrm_codegen.training.step import make_eval_step, make_train_step
from hrm_codegen.training.trainer import Callback, Trainer

__all__ = [
    "Callback",
    "CheckpointStore",
    "ConsoleWriter",
    "JsonlWriter",
    "MetricWriter",
    "MetricWriters",
    "TokenSums",
    "TrainState",
    "Trainer",
    "create_state",
    "make_eval_step",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "scale_by_adam_atan2",
    "token_sums",
]
