"""All cases, by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path

from .case import Case

_HERE = Path(__file__).parent


def _load() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules([str(_HERE)])):
        if module.startswith("cases_"):
            for case in importlib.import_module(f"{__package__}.{module}").CASES:
                assert case.name not in found, f"two cases are called {case.name!r}"
                found[case.name] = case
    return found


CORPUS = _load()


def chosen(tier: str, categories: Iterable[str]) -> list[Case]:
    """Returns the cases of some categories that a tier must withstand."""
    wanted = set(categories)
    return [case for case in CORPUS.values() if tier in case.tiers and case.category in wanted]
