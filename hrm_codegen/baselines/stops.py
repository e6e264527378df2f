"""Where a program ends in what a language model goes on writing.

Why: base models never stop by themselves; after the function come calls, more exercises, other files. A text is only
cut, never repaired, and never parsed: it may be anything. Not the extraction of code from an answer, which is the
evaluator's (`evaluator/extraction.py`) and the same for every model.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_FENCE = re.compile(r"^ {0,3}```", re.MULTILINE)
_DEFINITION = re.compile(r"(?:async[ \t]+def|def|class)[ \t]+(\w+)")
_MAY_LEAD = re.compile(r"[#@]|(?:import|from)\b|\w+[ \t]*(?::[^=]+)?=(?!=)")  # comments, decorators, imports, constants
_CLOSING = (")", "]", "}")


def end_of_block(text: str) -> int | None:
    """Returns where the program in a fenced block ends: at the closing fence, or where its demonstration begins.

    Chat models call what they wrote, with prints and asserts of their own, which would fail the program. Functions
    after the one that is asked for may be its helpers, and are kept.
    """
    fence = _FENCE.search(text)
    demonstration = end_of_program(text if fence is None else text[: fence.start()])
    if demonstration is not None:
        return demonstration
    return None if fence is None else fence.start()


def end_of_program(text: str, names: Collection[str] = (), *, inside: bool = False) -> int | None:
    """Returns where a program ends that is written without a frame.

    It ends at the first line at the margin that is none of its own: anything after the function that is asked for; as
    long as only others were defined, what is neither a definition nor may lead to one (a comment, an import, a
    constant). A last line without a newline counts only where any line would do.

    Args:
      text: What follows the prompt.
      names: Functions that are asked for; empty: not known.
      inside: Whether the text begins inside of the function that is asked for.

    Returns:
      An index into the text; None: it goes on, so far.
    """
    start, complete, begun = 0, inside, inside
    for line in text.splitlines(keepends=True):
        at_margin = line.strip() != "" and not line[0].isspace() and not line.startswith(_CLOSING)
        if at_margin and complete:
            return start
        if at_margin and line.endswith("\n"):
            definition = _DEFINITION.match(line)
            if definition is not None:
                begun, complete = True, definition[1] in names
            elif line.startswith("```") or (begun and _MAY_LEAD.match(line) is None):
                return start
        start += len(line)
    return None
