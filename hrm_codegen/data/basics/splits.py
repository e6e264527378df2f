"""Decides what validation and test hold out, from the seed alone.

Level 1 holds out constants and phrasings, deeper levels hold out compositions; `suite.py` says why.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from hrm_codegen.data.basics.compose import Chain, Composition, Step
from hrm_codegen.data.basics.library import BY_INPUT, OPERATIONS
from hrm_codegen.data.basics.operation import Constants, Operation

EVAL_SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holdout:
    """What training must not see.

    Attributes:
      constants: By split and operation key: the pool, cut into three. An operation without constants has none here.
      phrasings: By operation key: the phrasing that no level-1 training task uses.
    """

    constants: dict[str, dict[str, tuple[Constants, ...]]]
    phrasings: dict[str, str]

    def step(self, operation: Operation, split: str, rng: random.Random) -> Step:
        """The operation with constants of a split."""
        return Step(operation, rng.choice(self.constants[split][operation.key]) if operation.pool else ())


def draw_holdout(seed: int) -> Holdout:
    """Cuts every pool: one constant each for validation and test, two of pools of ten or more."""
    constants: dict[str, dict[str, tuple[Constants, ...]]] = {"train": {}, "validation": {}, "test": {}}
    phrasings = {}
    for operation in OPERATIONS:
        if operation.pool:
            rng = random.Random(f"basics:{seed}:holdout:{operation.key}")
            pool = rng.sample(operation.pool, k=len(operation.pool))
            size = 2 if len(pool) >= 10 else 1
            constants["validation"][operation.key] = tuple(pool[:size])
            constants["test"][operation.key] = tuple(pool[size : 2 * size])
            constants["train"][operation.key] = tuple(pool[2 * size :])
            phrasings[operation.key] = rng.choice(operation.phrasings)
    return Holdout(constants=constants, phrasings=phrasings)


def random_operations(depth: int, rng: random.Random) -> tuple[Operation, ...]:
    """Draws `depth` different operations, each of which takes what the one before gives."""
    while True:
        operations = [rng.choice(OPERATIONS)]
        while len(operations) < depth:
            following = [operation for operation in BY_INPUT[operations[-1].gives] if operation not in operations]
            if not following:
                break
            operations.append(rng.choice(following))
        if len(operations) == depth:
            return tuple(operations)


def all_pairs() -> list[tuple[Operation, ...]]:
    """All compositions of two different operations."""
    return [(first, second) for first in OPERATIONS for second in BY_INPUT[first.gives] if first is not second]


def contains_any(keys: Composition, held_out: set[Composition]) -> bool:
    """Whether a held-out composition is `keys` or a run of neighbours in it."""
    runs = ((start, stop) for start in range(len(keys)) for stop in range(start + 2, len(keys) + 1))
    return any(keys[start:stop] in held_out for start, stop in runs)


def level_one_chains(holdout: Holdout, split: str, rng: random.Random) -> Iterator[Chain]:
    """Endless single steps for a held-out split: each operation with constants in turn, one of its held-out ones."""
    pools = holdout.constants[split]
    operations = [operation for operation in OPERATIONS if operation.pool]
    turn = 0
    while True:
        for operation in rng.sample(operations, k=len(operations)):
            pool = pools[operation.key]
            yield (Step(operation, pool[turn % len(pool)]),)
        turn += 1
