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
        self._made: dict[Layout, tuple[nnx.State, nnx.State]] = {}  # the parameters, and what was made of them

    def get(self, params: nnx.State, *, num_sequences: int, rounded: bool) -> nnx.State | None:
        """Returns the parameters for decode steps of so many sequences; None: as they are.

        Args:
          params: The model's.
          num_sequences: All that are asked for.
          rounded: They are on the grid of eight bits.
        """
        make = _layout(params, num_sequences, rounded)
        if make is None:
            return None
        if self._made.get(make, (None, None))[0] is not params:
            self._made[make] = (params, make(params))
        return self._made[make][1]


def _layout(params: nnx.State, num_sequences: int, rounded: bool) -> Layout | None:
    if num_sequences > 1:
        return lay_out
    if rounded and bytes_pay(params):
        return lay_out_for_one
    return lay_out if drafts_pay(params) else None  # drafts make several rows of one sequence
