"""Chooses the inputs of a task's tests, so that they tell the right program from its neighbours.

The neighbours (*rivals*) of a composition leave steps out, use another constant, or use another operation of the same
type in one place. Inputs are drawn, run, and chosen greedily by the number of rivals that they expose. A composition
in which steps can be left out unnoticed (sorting twice, counting up to n and taking the largest) or whose outcome does
not vary is no task at all.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from hrm_codegen.data.basics.compose import Chain, Step, step_function
from hrm_codegen.data.basics.inputs import draw_input
from hrm_codegen.data.basics.library import BY_INPUT
from hrm_codegen.data.basics.operation import Operation

NUM_TESTS = 3
_DRAWS = 8
_MAX_INT = 100_000
_MAX_TEXT = 40
_MAX_LENGTH = 12


class Example(NamedTuple):
    """An input and the outcome of the composition on it."""

    value: Any
    outcome: Any


class _Rival(NamedTuple):
    """A neighbour of a composition: the same steps up to `place`, then `rest`; `group` as in `_rivals`."""

    place: int
    rest: Chain
    group: int


class _Undefined:
    """The outcome outside a step's domain: different from every value."""


_UNDEFINED = _Undefined()


def _is_small(value: Any) -> bool:
    if isinstance(value, int):
        return -_MAX_INT <= value <= _MAX_INT
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return len(value) <= _MAX_LENGTH and all(map(_is_small, value))


def trace_chain(chain: Chain, value: Any) -> list[Any]:
    """Applies the steps one by one.

    Returns:
      The input, every intermediate value and the outcome; what follows a step that rejects its input, or whose result
      is too large for a test, is a value that equals no other.
    """
    values = [value]
    for step in chain:
        value = _UNDEFINED if value is _UNDEFINED else _apply(step, value)
        values.append(value)
    return values


def _apply(step: Step, value: Any) -> Any:
    if not step.operation.accepts(value):
        return _UNDEFINED
    try:
        value = step_function(step)(value)
    except (ValueError, IndexError):  # the maximum of an empty list, an index past the end
        return _UNDEFINED
    return value if _is_small(value) else _UNDEFINED


def draw_step(operation: Operation, rng: random.Random) -> Step:
    """The operation with constants from its whole pool."""
    return Step(operation, rng.choice(operation.pool) if operation.pool else ())


def _rivals(chain: Chain, rng: random.Random) -> tuple[list[_Rival], int]:
    """The neighbours to expose, and the number of groups of which at least one member must be exposed (0, 1, ...).

    Operations other than the right one are in no group (-1): some are equal to it on most inputs.
    """
    rivals = []
    groups = 0
    for place, (operation, constants) in enumerate(chain):
        rest = chain[place + 1 :]
        for stop in range(place + 1, len(chain) + 1):
            if operation.takes is chain[stop - 1].operation.gives:
                rivals.append(_Rival(place, chain[stop:], groups))
                groups += 1
        if operation.pool:
            others = rng.sample([other for other in operation.pool if other != constants], k=2)
            rivals += [_Rival(place, (Step(operation, other), *rest), groups) for other in others]
            groups += 1
        of_type = [other for other in BY_INPUT[operation.takes] if other.gives is operation.gives]
        for other in rng.sample(of_type, k=min(len(of_type), 3 if len(chain) == 1 else 1)):
            if other is not operation:
                rivals.append(_Rival(place, (draw_step(other, rng), *rest), -1))
    return rivals, groups


def _draw_traces(chain: Chain, rng: random.Random) -> list[list[Any]]:
    first = chain[0]
    hint = first.constants[0] if first.constants else None
    found: dict[str, list[Any]] = {}
    for _ in range(_DRAWS):
        value = draw_input(rng, first.operation.takes, first.operation.shapes, hint)
        trace = trace_chain(chain, value)
        if trace[-1] is not _UNDEFINED:
            found[repr(value)] = trace
    return list(found.values())


def choose_examples(chain: Chain, rng: random.Random) -> tuple[Example, ...] | None:
    """Returns `NUM_TESTS` informative examples, or None if this draw has not so many."""
    traces = _draw_traces(chain, rng)
    outcomes = [trace[-1] for trace in traces]
    if len(traces) < NUM_TESTS or all(outcome == outcomes[0] for outcome in outcomes):
        return None
    rivals, groups = _rivals(chain, rng)
    exposed = [
        {number for number, rival in enumerate(rivals) if trace_chain(rival.rest, trace[rival.place])[-1] != trace[-1]}
        for trace in traces
    ]
    chosen: list[int] = []
    covered: set[int] = set()

    def worth(index: int) -> tuple[bool, bool, int]:
        is_new = all(outcomes[index] != outcomes[other] for other in chosen)
        return is_new, bool(outcomes[index]), len(exposed[index] - covered)

    while len(chosen) < NUM_TESTS:
        chosen.append(max((index for index in range(len(traces)) if index not in chosen), key=worth))
        covered |= exposed[chosen[-1]]
    if not {rivals[number].group for number in covered} >= set(range(groups)):
        return None
    rng.shuffle(chosen)
    empty = sum(outcomes[index] in (0, "", []) and outcomes[index] is not False for index in chosen)
    return tuple(Example(traces[index][0], outcomes[index]) for index in chosen) if empty <= 1 else None
