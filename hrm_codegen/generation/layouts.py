"""Which layout of a model's parameters decode steps read, each made once and kept beside the parameters.

Not the layouts themselves: `model/tiles.py` for several sequences, `model/slabs.py` for one of rounded weights.
"""

from __future__ import annotations

from collections.abc import Callable

from flax import nnx

from hrm_codegen.generation.lookup import drafts_pay
from hrm_codegen.model.slabs import bytes_pay, lay_out_for_one
from hrm_codegen.model.tiles import lay_out

Layout = Callable[[nnx.State], nnx.State]


class Layouts:
    """What was laid out of a model's parameters; forgotten when they are replaced."""

    def __init__(self) -> None:
        self._params: nnx.State | None = None
        self._made: dict[Layout, nnx.State] = {}

    def get(self, params: nnx.State, *, num_sequences: int, rounded: bool) -> nnx.State | None:
        """Returns the parameters for decode steps of so many sequences; None: as they are.

        Args:
          params: The model's.
          num_sequences: All that are asked for.
          rounded: They are on the grid of eight bits.
        """
        if self._params is not params:  # other layouts of the old ones would hold twice their memory
            self._params, self._made = params, {}
        make = _layout(params, num_sequences, rounded)
        if make is not None and make not in self._made:
            self._made[make] = make(params)
        return None if make is None else self._made[make]


def _layout(params: nnx.State, num_sequences: int, rounded: bool) -> Layout | None:
    if num_sequences > 1:
        return lay_out
    if rounded and bytes_pay(params):
        return lay_out_for_one
    return lay_out if drafts_pay(params) else None  # drafts make several rows of one sequence
