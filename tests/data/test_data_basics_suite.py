"""The promises of the generated suite, on the whole of `basics-v1`."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

from hrm_codegen.data.basics import LEVELS, OPERATIONS, generate
from hrm_codegen.data.basics.compose import Composition
from hrm_codegen.data.basics.splits import EVAL_SPLITS, contains_any, draw_holdout
from hrm_codegen.data.basics.suite import LEVEL_MIX
from hrm_codegen.data.problem import Problem
from hrm_codegen.data.readers.basics import READER
from hrm_codegen.errors import DatasetError, UsageError

# A changed hash is a changed benchmark: old scores would no longer compare. Make a new version instead.
V1_TEST_SHA256 = "a391f680e8ff87a967f66b99acf930da4426fd45be8bb6d258ea3d6a0d3a1a29"
V1_VALIDATION_SHA256 = "8824e2dd0becf77b8f1821f30b9a0e0c02e652ec443ead098f8feaf906600971"


# Generates in a process of its own: the type checks of a test run make it twenty times slower, and the other hash seed
# shows that the order of sets does not matter. Problems do not carry their composition, so it listens to the writer.
SCRIPT = """
import dataclasses, json, sys
from hrm_codegen.data.basics import overlap, suite

write = suite._Writer.write
compositions = {}

def listening(self, chain, described, split, rng):
    problem = write(self, chain, described, split, rng)
    if problem is not None:
        keys = [step.operation.key for step in chain]
        compositions.setdefault(split, []).append((keys, [step.constants for step in chain], problem.text))
    return problem

suite._Writer.write = listening
splits = suite.generate()
suite._Writer.write = write
pairs = [("train", "test"), ("train", "validation"), ("validation", "test")]
json.dump({
    "overlaps": [[problem.task_id for problem in overlap(splits[one], splits[other])] for one, other in pairs],
    "self_overlaps": len(overlap(splits["test"], splits["test"])),
    "same_test": suite.generate(train_size=3)["test"] == splits["test"],
    "splits": {split: [dataclasses.asdict(problem) for problem in problems] for split, problems in splits.items()},
    "compositions": compositions,
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def generated() -> dict:
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def suite(generated) -> dict[str, list[Problem]]:
    def problem(row: dict) -> Problem:
        return Problem(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})

    return {split: [problem(row) for row in rows] for split, rows in generated["splits"].items()}


@pytest.fixture(scope="module")
def compositions(generated) -> dict[str, list[tuple[Composition, list[list], str]]]:
    return {
        split: [(tuple(keys), c, text) for keys, c, text in rows] for split, rows in generated["compositions"].items()
    }


def digest(problems: list[Problem]) -> str:
    rows = [[p.task_id, p.text, p.code, list(p.test_list), p.entry_point, p.level] for p in problems]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_v1_is_v1(suite):
    assert digest(suite["test"]) == V1_TEST_SHA256
    assert digest(suite["validation"]) == V1_VALIDATION_SHA256


def test_sizes_levels_and_fields(suite):
    assert list(suite) == ["train", "validation", "test"]
    levels = {split: collections.Counter(p.level for p in problems) for split, problems in suite.items()}
    assert levels["train"] == {1: 10_000, 2: 7_000, 3: 3_000}
    assert levels["validation"] == levels["test"] == {1: 50, 2: 50, 3: 50}
    for split, problems in suite.items():
        assert [p.task_id for p in problems] == [f"basics/{split}/{n}" for n in range(1, len(problems) + 1)]
        assert {(p.source, p.split) for p in problems} == {("basics", split)}


def test_every_reference_passes_its_tests_and_a_stub_fails_each(suite):
    for problem in [*suite["train"][::5], *suite["validation"], *suite["test"]]:
        assert len(problem.test_list) == 3
        scope: dict = {}
        exec(problem.code, scope)
        assert callable(scope[problem.entry_point])
        for test in problem.test_list:
            exec(test, scope)
            with pytest.raises(AssertionError):
                exec(test, {problem.entry_point: lambda value: None})


def test_a_constant_answer_passes_no_task(suite):
    for problems in suite.values():
        for problem in problems:
            assert len({test.split(" == ", 1)[1] for test in problem.test_list}) > 1, problem


def test_no_program_of_validation_or_test_is_in_another_split(generated):
    assert generated["overlaps"] == [[], [], []]
    assert generated["self_overlaps"] == 150  # the audit does find programs


def test_no_two_rows_have_the_same_description_and_tests(suite):
    rows = [(p.text, p.test_list) for problems in suite.values() for p in problems]
    assert len(set(rows)) == len(rows)


def test_texts_and_programs_are_short_and_clean(suite):
    limits = {1: 110, 2: 180, 3: 250}
    for problem in (p for problems in suite.values() for p in problems):
        everything = "\n".join((problem.text, problem.code, *problem.test_list))
        assert everything.isascii()
        assert "\t" not in everything
        assert "  " not in problem.text
        assert len(problem.text) < 160
        assert len(problem.code) <= limits[problem.level]
        assert re.fullmatch(r"Write a (python )?function (to|that returns) .*[^ .,]?\.", problem.text)
        assert max(map(len, problem.test_list)) < 200


def test_level_one_holds_out_constants(compositions):
    used = {
        split: [(keys[0], tuple(constants[0])) for keys, constants, _ in rows if len(keys) == 1]
        for split, rows in compositions.items()
    }
    at_any_level = {
        (key, tuple(drawn))
        for keys, constants, _ in compositions["train"]
        for key, drawn in zip(keys, constants, strict=True)
    }
    familiar = {value for _, drawn in at_any_level for value in drawn}
    for split in EVAL_SPLITS:
        assert len(set(used[split])) == 50
        assert all(drawn for _, drawn in used[split])
        assert not set(used[split]) & at_any_level
        assert all(value in familiar for _, drawn in used[split] for value in drawn)  # met with other operations
    assert not set(used["validation"]) & set(used["test"])


def test_held_out_compositions_are_nowhere_in_training(compositions):
    deep = {split: {keys for keys, _, _ in rows if len(keys) > 1} for split, rows in compositions.items()}
    assert len(deep["validation"]) == len(deep["test"]) == 100
    assert not deep["validation"] & deep["test"]
    held_out = deep["validation"] | deep["test"]
    assert not [keys for keys in deep["train"] if contains_any(keys, held_out)]


def test_training_has_every_operation_often_enough(compositions):
    for level, least in {1: 40, 2: 3}.items():
        counts = collections.Counter(key for keys, _, _ in compositions["train"] if len(keys) == level for key in keys)
        assert set(counts) == {operation.key for operation in OPERATIONS}
        assert min(counts.values()) >= least


def test_level_one_wording_is_partly_held_out(compositions):
    """The reserved phrasing of an operation words half of the held-out tasks and no training task of level 1."""
    holdout = draw_holdout(0)
    frames = r"Write a (python )?function (to find|to get|that returns|to)"

    def is_reserved(key: str, drawn: list, text: str) -> bool:
        phrase = holdout.phrasings.get(key)
        if phrase is None:
            return False
        filled = phrase.format(*drawn, x="SUBJECT", xs="SUBJECT", **{"in": "SUBJECT"})
        return re.fullmatch(rf"{frames} {re.escape(filled).replace('SUBJECT', '.+')}[.]", text) is not None

    counts = {
        split: sum(is_reserved(keys[0], drawn[0], text) for keys, drawn, text in rows if len(keys) == 1)
        for split, rows in compositions.items()
    }
    assert counts["train"] == 0
    assert 22 <= counts["validation"] <= 28
    assert 22 <= counts["test"] <= 28


def test_runs_of_neighbours_are_found():
    assert contains_any(("a", "b", "c"), {("b", "c")})
    assert contains_any(("a", "b"), {("a", "b")})
    assert not contains_any(("a", "b", "c"), {("a", "c"), ("b",)})


def test_pools_are_cut_into_three():
    holdout = draw_holdout(0)
    for operation in OPERATIONS:
        parts = [holdout.constants[split].get(operation.key, ()) for split in ("train", "validation", "test")]
        assert sorted(map(repr, sum(parts, ()))) == sorted(map(repr, operation.pool))
        assert all(parts) or not operation.pool


def test_test_split_does_not_depend_on_the_size_of_training(generated):
    assert generated["same_test"]


def test_same_seed_same_suite_other_seed_other_suite():
    one, again, other = (generate(train_size=60, eval_size=7, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert one["train"] != other["train"]
    assert one["test"] != other["test"]
    assert collections.Counter(p.level for p in one["test"]) == {1: 3, 2: 2, 3: 2}


def test_level_mix_covers_all_levels():
    assert tuple(LEVEL_MIX) == LEVELS
    assert sum(LEVEL_MIX.values()) == pytest.approx(1)


@pytest.mark.parametrize("sizes", [{"train_size": -1}, {"eval_size": -1}])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(UsageError, match=next(iter(sizes))):
        generate(**sizes)


def test_reader_generates_and_refuses_files():
    splits = READER.load(train_size=10, eval_size=3, seed=1)
    assert splits == generate(train_size=10, eval_size=3, seed=1)
    assert (READER.name, READER.splits) == ("basics", tuple(splits))
    with pytest.raises(DatasetError, match="reads no file"):
        READER.load(source="basics.json")
