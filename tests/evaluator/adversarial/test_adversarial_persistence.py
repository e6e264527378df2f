"""What one program leaves, the next one in the same worker does not find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hrm_codegen.evaluator import JailSandbox, Program, probe_tiers

from .cases_persistence import NEXT, NEXT_TESTS
from .corpus import CORPUS, chosen
from .run import complaint, opened, run_case
from .surroundings import Surroundings, planted

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Surroundings]:
    with planted() as found:
        yield found
        assert found.check() == []


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[dict[str, JailSandbox]]:
    """One sandbox a tier; each is asked by one thread, so it has one worker for all."""
    with opened("A") as a, opened("B") as b:
        yield {"A": a, "B": b}


@pytest.mark.parametrize(("tier", "name"), [(t, case.name) for t in "AB" for case in chosen(t, ["persistence"])])
def test_next_program(sandboxes: dict[str, JailSandbox], surroundings: Surroundings, tier: str, name: str) -> None:
    if reason := probe_tiers()[tier]:
        pytest.skip(f"tier {tier}: {reason}")
    case = CORPUS[name].filled(surroundings.values)
    assert complaint(case, run_case(sandboxes[tier], case)) == ""
    result = sandboxes[tier].run(Program(code=NEXT, test_list=NEXT_TESTS))
    assert (result.verdict, result.message) == ("passed", "")
    assert result.stdout_bytes == 300_001
    assert set(result.stdout) == {"x"}
