"""`best.pt`: the shipped weights with config and tokenizer, written at every improvement, read back at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
from jax.experimental import multihost_utils

from hrm_codegen.config import Config
from hrm_codegen.data import Tokenizer
from hrm_codegen.interop import Bundle, from_state_dict, load_bundle, save_bundle, to_state_dict
from hrm_codegen.training.runs import RunPaths

if TYPE_CHECKING:
    from hrm_codegen.codegen import HRMCodeGen


def save_best(
    paths: RunPaths, params: Any, *, config: Config, tokenizer: Tokenizer, metadata: Mapping[str, Any]
) -> None:
    """Writes `best.pt` of a run, and publishes it; all processes take part, the first one writes.

    Args:
      paths: Of the run.
      params: The weights, on any mesh.
      config: Of the run.
      tokenizer: Of the model.
      metadata: JSON-able facts: step, losses.
    """
    params = multihost_utils.process_allgather(params, tiled=True)
    if jax.process_index() != 0:
        return
    bundle = Bundle(
        config=config,
        tokenizer_json=tokenizer.to_json(),
        state_dict=to_state_dict(config.model, params),
        metadata=dict(metadata),
    )
    save_bundle(paths.best, bundle)
    paths.publish()


def adopt_best(model: HRMCodeGen, paths: RunPaths) -> None:
    """Gives a model the weights, configuration and facts of `best.pt`; it stays on its device."""
    bundle = load_bundle(paths.best)
    best = type(model)(
        config=bundle.config,
        tokenizer=model.tokenizer,
        params=from_state_dict(bundle.config.model, bundle.state_dict),
        metadata=bundle.metadata | {"path": str(paths.best.resolve())},
        device=model.device,
    )
    model.config, model.graphdef = best.config, best.graphdef
    model.params, model.metadata = best.params, best.metadata
