"""Finds programs of one set of problems in another, whatever their names (`syntax.normalise`).

Works on any problems, not just those of this suite. `contamination.py` looks for more than equal programs.
"""

from __future__ import annotations

from collections.abc import Iterable

from hrm_codegen.data.problem import Problem
from hrm_codegen.data.syntax import normalise


def overlap(train: Iterable[Problem], test: Iterable[Problem]) -> list[Problem]:
    """Returns the problems of `test` whose program, after normalisation, is a program of `train`."""
    known = {normalise(code) for code in {problem.code for problem in train}}
    return [problem for problem in test if normalise(problem.code) in known]
