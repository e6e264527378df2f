"""docs/security.md claims nothing that no test backs."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from . import test_adversarial_escape, test_adversarial_verdicts
from .corpus import chosen

PAGE = (Path(__file__).parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
CLAIMING = ("Why a verdict cannot be forged", "Tier A", "Tier B", "Tier C")
_ID = re.compile(r"`(\w+)::(\w+)(?:\[([^`]*)\])?`")


def claims() -> list[str]:
    """The list items of the sections that promise something, each in one line."""
    sections = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
    items = [item for name in CLAIMING for item in sections[name].split("\n- ")[1:]]
    return [" ".join(item.split("\n\n")[0].split()) for item in items]


def known(module: str, function: str) -> set[str]:
    """The parameters that a test of the corpus has, as pytest writes them."""
    runs = {
        "test_verdict": test_adversarial_verdicts.RUNS,
        "test_denied": test_adversarial_escape.RUNS,
        "test_next_program": [(tier, case.name) for tier in "AB" for case in chosen(tier, ["persistence"])],
        "test_corpus_as_nobody": [("/mnt", "A"), ("/tmp", "B")],
    }
    if function in runs:
        return {"-".join(run) for run in runs[function]}
    found = importlib.import_module(f"{__package__}.test_adversarial_{module}")
    marks = getattr(getattr(found, function, None), "pytestmark", None)
    assert inspect.isfunction(getattr(found, function, None)) or hasattr(found, function), f"no {module}::{function}"
    return {"A", "B"} if marks and any(mark.name == "parametrize" for mark in marks) else {""}


def test_there_are_claims() -> None:
    assert len(claims()) > 30


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim[:50])
def test_every_claim_names_tests_that_exist(claim: str) -> None:
    ids = _ID.findall(claim)
    assert ids, f"no test backs: {claim}"
    for module, function, parameters in ids:
        assert parameters in known(module, function), f"{module}::{function}[{parameters}] does not exist"
        importlib.import_module(f"{__package__}.test_adversarial_{module}")


@pytest.mark.parametrize("word", ["best-effort", "namespaces", "landlock", "posix", "auto"])
def test_modes_are_explained(word: str) -> None:
    assert f"`--sandbox {word}`" in PAGE


def test_the_way_to_choose_is_told() -> None:
    assert "`HRM_CODEGEN_SANDBOX`" in PAGE
    assert "`hrm-codegen doctor`" in PAGE
