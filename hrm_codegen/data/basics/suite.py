"""Generates the suite: `generate()` is `basics-v1`, other arguments give other sizes and draws.

What the splits promise (tests prove each of it, `audit.overlap` the last):

- Level 1 (one operation) of validation and test uses only operations with constants ("add 7 to a number"), with
  constants that this operation never has in training, at any level. So their programs are new, yet a model that
  copies constants from the description can write them: other operations have shown it the same constants. Every
  second one is also worded by a phrasing of the operation that no level-1 training task uses (deeper ones do).
  Operations without constants have only one program; at level 1 they are training tasks only.
- Level 2 and deeper: no training composition (the operations in order, whatever the constants) is one of validation
  or test, or contains one as a run of neighbours. Constants are those of training.
- Every operation is in training from `train_size = 2 * len(OPERATIONS)` on, as level 1 has each in turn.
- No validation or test program is in training or in the other split after AST normalisation, and no two tasks agree in
  description and tests.

Validation and test depend on `eval_size` and `seed`, never on `train_size`. Everything is drawn from
`random.Random` seeded with strings: no hash order, no clock.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
from collections.abc import Iterator

from hrm_codegen.data.basics.compose import Chain, Composition, Step, composition, run_solution, write_solution
from hrm_codegen.data.basics.describe import Description, describe_chain, describe_step
from hrm_codegen.data.basics.examples import choose_examples
from hrm_codegen.data.basics.library import OPERATIONS
from hrm_codegen.data.basics.operation import Operation
from hrm_codegen.data.basics.splits import (
    EVAL_SPLITS,
    Holdout,
    all_pairs,
    contains_any,
    draw_holdout,
    level_one_chains,
    random_operations,
)
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.syntax import normalise
from hrm_codegen.errors import UsageError

LEVEL_MIX = {1: 0.50, 2: 0.35, 3: 0.15}
LEVELS = tuple(LEVEL_MIX)
TRAIN_SIZE = 20_000
EVAL_SIZE = 150
MAX_CODE = {1: 110, 2: 180, 3: 250}
_MAX_FAILURES = 5_000


_program = functools.lru_cache(maxsize=4096)(normalise)  # level 1 writes the same thousand programs again and again
_function = functools.lru_cache(maxsize=4096)(functools.partial(run_solution, name="f"))


@dataclasses.dataclass(kw_only=True)
class _Writer:
    """Turns chains into problems; remembers what was written, so that nothing is written twice.

    Attributes:
      rows: Texts and tests of all problems so far.
      programs: Normalised programs that must not be written (again).
      simple: Normalised programs of single steps: a deeper composition that equals one of them is no deeper.
    """

    rows: set[tuple[str, tuple[str, ...]]]
    programs: set[str]
    simple: frozenset[str]

    def write(self, chain: Chain, described: Description, split: str, rng: random.Random) -> Problem | None:
        """Returns the problem, without a task_id; None if the chain has no good one in this draw."""
        level = len(chain)
        code = write_solution(chain, described.name)
        if code is None or len(code) > MAX_CODE[level]:
            return None
        plain = str(write_solution(chain, "f"))
        examples = choose_examples(chain, rng)
        if examples is None:
            return None
        program = _program(plain)
        if program in self.programs or (level > 1 and program in self.simple):
            return None
        function = _function(plain)
        assert all(function(value) == outcome for value, outcome in examples), code
        tests = tuple(f"assert {described.name}({value!r}) == {function(value)!r}" for value, _ in examples)
        if (described.text, tests) in self.rows:
            return None
        self.rows.add((described.text, tests))
        return Problem(
            task_id="",
            text=described.text,
            code=code,
            test_list=tests,
            entry_point=described.name,
            source="basics",
            split=split,
            level=level,
        )


def generate(*, train_size: int = TRAIN_SIZE, eval_size: int = EVAL_SIZE, seed: int = 0) -> dict[str, list[Problem]]:
    """Generates all splits.

    Args:
      train_size: Problems of the training split, mixed by `LEVEL_MIX`.
      eval_size: Problems each of validation and test, the same number of every level (the first ones get the rest).
      seed: Another seed holds out other constants, phrasings and compositions.

    Returns:
      Problems by split: `train` (shuffled), `validation`, `test` (by level).

    Raises:
      UsageError: A size is negative or no whole number.
    """
    for name, size in (("train_size", train_size), ("eval_size", eval_size)):
        if not isinstance(size, int) or size < 0:
            raise UsageError(f"basics: {name} must be a whole number, at least 0, got {size!r}")
    holdout = draw_holdout(seed)
    writer = _Writer(rows=set(), programs=set(), simple=_simple_programs())
    held_out: set[Composition] = set()
    splits = {}
    for split in EVAL_SPLITS:
        splits[split] = _write_eval(split, eval_size, seed, holdout, writer, held_out)
        writer.programs |= {normalise(problem.code) for problem in splits[split]}
    splits["train"] = _write_train(train_size, seed, holdout, writer, held_out)
    return {split: _number(splits[split], split) for split in ("train", *EVAL_SPLITS)}


@functools.cache
def _simple_programs() -> frozenset[str]:
    """The normalised programs of all single steps."""
    steps = [Step(operation, constants) for operation in OPERATIONS for constants in operation.pool or ((),)]
    return frozenset(normalise(str(write_solution((step,), "f"))) for step in steps)


def _number(problems: list[Problem], split: str) -> list[Problem]:
    return [
        dataclasses.replace(problem, task_id=f"basics/{split}/{number}") for number, problem in enumerate(problems, 1)
    ]


def _sizes(total: int, weights: dict[int, float]) -> dict[int, int]:
    """Shares of `total` by weight; what rounding leaves goes to the first levels."""
    sizes = {level: int(total * weight + 1e-9) for level, weight in weights.items()}
    for level in itertools.islice(itertools.cycle(weights), total - sum(sizes.values())):
        sizes[level] += 1
    return sizes


def _collect(size: int, drafts: Iterator[Problem | None]) -> list[Problem]:
    problems: list[Problem] = []
    failures = 0
    while len(problems) < size:
        problem = next(drafts)
        failures = failures + 1 if problem is None else 0
        assert failures < _MAX_FAILURES, "the library gives no more problems"
        if problem is not None:
            problems.append(problem)
    return problems


def _phrasing(operation: Operation, holdout: Holdout, reserved: bool, rng: random.Random) -> str:
    kept_back = holdout.phrasings.get(operation.key)
    if reserved and kept_back:
        return kept_back
    return rng.choice([phrasing for phrasing in operation.phrasings if phrasing != kept_back])


def _write_eval(
    split: str, size: int, seed: int, holdout: Holdout, writer: _Writer, held_out: set[Composition]
) -> list[Problem]:
    """Writes a held-out split and adds its compositions to `held_out`."""
    rng = random.Random(f"basics:{seed}:{split}")
    sizes = _sizes(size, dict.fromkeys(LEVELS, 1 / len(LEVELS)))

    def singles() -> Iterator[Problem | None]:
        chains = level_one_chains(holdout, split, rng)
        for number in itertools.count():
            step = next(chains)[0]
            phrasing = _phrasing(step.operation, holdout, number % 2 == 0, rng)
            yield writer.write((step,), describe_step(step, phrasing, rng), split, rng)

    def deeper(level: int) -> Iterator[Problem | None]:
        while True:
            operations = random_operations(level, rng)
            chain = tuple(holdout.step(operation, "train", rng) for operation in operations)
            described = describe_chain(chain, rng)
            if described is None or composition(chain) in held_out:
                yield None
                continue
            problem = writer.write(chain, described, split, rng)
            if problem is not None:
                held_out.add(composition(chain))
            yield problem

    problems = _collect(sizes[1], singles())
    for level in LEVELS[1:]:
        problems += _collect(sizes[level], deeper(level))
    return problems


def _write_train(size: int, seed: int, holdout: Holdout, writer: _Writer, held_out: set[Composition]) -> list[Problem]:
    rng = random.Random(f"basics:{seed}:train")
    sizes = _sizes(size, LEVEL_MIX)

    def singles() -> Iterator[Problem | None]:
        with_constants = [operation for operation in OPERATIONS if operation.pool]
        while True:  # those with constants twice: they have more to learn
            for group in (OPERATIONS, with_constants):
                for operation in rng.sample(group, k=len(group)):
                    step = holdout.step(operation, "train", rng)
                    phrasing = _phrasing(operation, holdout, False, rng)
                    yield writer.write((step,), describe_step(step, phrasing, rng), "train", rng)

    def deeper(level: int) -> Iterator[Problem | None]:
        for operations in _compositions(level, rng):
            chain = tuple(holdout.step(operation, "train", rng) for operation in operations)
            described = None if contains_any(composition(chain), held_out) else describe_chain(chain, rng)
            yield writer.write(chain, described, "train", rng) if described else None

    problems = _collect(sizes[1], singles())
    for level in LEVELS[1:]:
        problems += _collect(sizes[level], deeper(level))
    rng.shuffle(problems)
    return problems


def _compositions(level: int, rng: random.Random) -> Iterator[tuple[Operation, ...]]:
    """Endless compositions: every pair in turn, random ones of deeper levels."""
    while True:
        if level == 2:
            pairs = all_pairs()
            yield from rng.sample(pairs, k=len(pairs))
        else:
            yield random_operations(level, rng)
