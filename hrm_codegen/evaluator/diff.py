"""A failing test, shown: the unified diff of what was expected and what came.

Works on the `repr` texts of a `ProgramResult`; runs nothing of the program.
"""

from __future__ import annotations

import ast
import difflib
import pprint

from hrm_codegen.evaluator.table import visible
from hrm_codegen.evaluator.verdicts import ProgramResult

_COLOURS = {"-": "\033[31m", "+": "\033[32m", "@": "\033[36m"}
_RESET = "\033[0m"


def render_diff(result: ProgramResult, *, color: bool = False) -> str:
    """Returns the failing test, the call in it, and `--- expected / +++ got`; without both sides, the message instead.

    A model chose much of this text: control characters in it are shown, not sent.

    Args:
      result: Of a program; a pass renders as the empty text.
      color: ANSI colours, for a terminal.
    """
    test, call = result.failing_test or "", result.call or ""
    head = [test] if test else []
    if call and call not in test:  # where the test itself says it, as in `assert f(1) == 2`, once is enough
        head.append(f"call: {call}")
    if result.expected is None or result.got is None:
        return visible("\n".join([*head, result.message] if result.message else head), lines=True)
    expected, got = _lines(result.expected), _lines(result.got)
    body = list(difflib.unified_diff(expected, got, "expected", "got", lineterm=""))
    if not body:  # different values with the same text, such as nan and nan
        body = ["--- expected", "+++ got", *(f"-{line}" for line in expected), *(f"+{line}" for line in got)]
    head, body = ([visible(line, lines=True) for line in part] for part in (head, body))
    if color:
        body = [f"{_COLOURS[line[0]]}{line}{_RESET}" if line[:1] in _COLOURS else line for line in body]
    return "\n".join([*head, *body])


def _lines(text: str) -> list[str]:
    """Lays a literal out over lines, so that a diff of long values points at the element that differs."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text.splitlines() or [""]
    if isinstance(value, str) and "\n" in value:
        return [repr(line) for line in value.splitlines(keepends=True)]
    return pprint.pformat(value, width=80, sort_dicts=False).splitlines()
