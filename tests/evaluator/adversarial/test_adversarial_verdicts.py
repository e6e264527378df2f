"""Every program of the corpus gets the verdict that it must get, in every tier that has to withstand it.

Without xdist the programs run two at a time, ahead of the tests that look at their results.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from hrm_codegen.evaluator import ProgramResult, probe_tiers

from .case import Case
from .corpus import CORPUS, chosen
from .run import complaint, opened, run_case

pytestmark = pytest.mark.sandbox

CATEGORIES = {
    "A": ("forging", "resources", "source", "legit", "limit", "numpy"),
    "B": ("forging", "resources", "source", "legit", "limit"),
    "C": ("forging",),
}
RUNS = [(tier, case.name) for tier, categories in CATEGORIES.items() for case in chosen(tier, categories)]

Judge = Callable[[str, str], ProgramResult]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """Returns the result of a case in a tier."""
    missing = probe_tiers()
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    pools = {True: ThreadPoolExecutor(2), False: ThreadPoolExecutor(2)}
    with opened("A") as a, opened("B") as b, opened("C") as c, pools[True], pools[False]:
        sandboxes = {"A": a, "B": b, "C": c}

        def submit(tier: str, name: str) -> Future[ProgramResult]:
            case = CORPUS[name]
            sleeps = case.allowed == {"timeout_wall"}  # these use no processor: they need not wait for one
            return pools[sleeps].submit(run_case, sandboxes[tier], case)

        items = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")] if alone else []
        asked = [(p["tier"], p["name"]) for p in items if {"tier", "name"} <= set(p) and p["name"] in CORPUS]
        asked = [run for run in asked if run in RUNS]
        ahead = {run: submit(*run) for run in asked if not missing[run[0]]}

        def result(tier: str, name: str) -> ProgramResult:
            if missing[tier]:
                pytest.skip(f"tier {tier}: {missing[tier]}")
            return (ahead.get((tier, name)) or submit(tier, name)).result()

        yield result
        for future in ahead.values():
            future.cancel()


@pytest.mark.parametrize(("tier", "name"), RUNS)
def test_verdict(judge: Judge, tier: str, name: str) -> None:
    assert complaint(CORPUS[name], judge(tier, name)) == ""


def test_no_case_may_blame_the_harness() -> None:
    blamed = [case.name for case in CORPUS.values() if "harness_error" in case.allowed]
    assert all("nobody imported" in name for name in blamed)


def test_the_corpus_is_as_large_as_it_says() -> None:
    counts = {category: sum(case.category == category for case in CORPUS.values()) for category in _kinds()}
    assert counts["forging"] >= 250
    assert counts["escape"] >= 150
    assert counts["resources"] >= 60
    assert counts["legit"] >= 70


def _kinds() -> set[str]:
    return {case.category for case in CORPUS.values() if isinstance(case, Case)}
