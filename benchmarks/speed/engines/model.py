"""Our model of a size, with the weights that everyone gets: those of key 0."""

from __future__ import annotations

import jax

from benchmarks.speed.sizes import config_of
from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.data import Tokenizer
from hrm_codegen.model import init


def make_model(size: str) -> HRMCodeGen:
    """Returns it; the tokenizer is the default one, and small enough for all sizes."""
    config = config_of(size)
    _, params = init(config.model, jax.random.key(0))
    return HRMCodeGen(config=config, tokenizer=Tokenizer.load("default"), params=params)
