"""From what a model wrote to a program that can be run.

Three kinds of text: a `completion` continues the problem's code stub, a `solution` stands alone, an `answer` is a whole
program that may lean on the stub's imports and helpers. Nothing is compiled or run here: the text is hostile.
The raw text stays with the sample; what was cut off is reported, since extraction changes scores.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from hrm_codegen.data.problem import Problem

Kind = Literal["completion", "solution", "answer"]
_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assembled:
    """A program.

    Attributes:
      code: The text to run.
      changes: What extraction did to the raw text, in words; empty if nothing.
    """

    code: str
    changes: tuple[str, ...] = ()


def assemble_program(problem: Problem, text: str, kind: Kind) -> Assembled:
    """Returns the program that `text` stands for.

    Args:
      problem: Gives the stub (`prompt_code`) and the name to look for among several fenced blocks.
      text: As the model wrote it.
      kind: What the text is; see the module's docstring.
    """
    body, changes = extract_code(text, problem.entry_point)
    if not problem.prompt_code or kind == "solution":
        return Assembled(code=body, changes=changes)
    if kind == "answer" or (changes and _defines(body, problem.entry_point)):
        return Assembled(code=f"{_closed_stub(problem.prompt_code)}\n\n{body}", changes=changes)
    return Assembled(code=problem.prompt_code + body, changes=changes)


def extract_code(text: str, entry_point: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Takes code out of Markdown fences.

    A fence inside a triple-quoted string is left alone. Among several blocks the first that defines `entry_point`
    wins, else the first. A lone closing fence ends code that began at the start of the text.

    Returns:
      The code and what was changed, in words.
    """
    fences = [match for match in _FENCE.finditer(text) if not _inside_string(text[: match.start()])]
    if not fences:
        return text, ()
    if len(fences) == 1 and not fences[0][2] and text[: fences[0].start()].strip():
        return text[: fences[0].start()], ("cut at a closing fence",)
    ends = [fence.start() for fence in fences[1::2]] + [len(text)] * (len(fences) % 2)
    blocks = [text[start.end() + 1 : end] for start, end in zip(fences[::2], ends, strict=True)]
    chosen = next((block for block in blocks if _defines(block, entry_point)), blocks[0])
    return chosen, (f"took one of {len(blocks)} fenced blocks",)


def _inside_string(before: str) -> bool:
    return before.count('"""') % 2 == 1 or before.count("'''") % 2 == 1


def _defines(code: str, name: str | None) -> bool:
    return name is not None and re.search(rf"^(async )?def {re.escape(name)}\b", code, re.MULTILINE) is not None


def _closed_stub(stub: str) -> str:
    """Ends a stub's open function, so that code at the margin may follow."""
    lines = [line for line in stub.splitlines() if line.strip()]
    indent = re.match(r"[ \t]*", lines[-1] if lines else "")
    return f"{stub.rstrip()}\n{(indent[0] if indent else '') or '    '}pass\n"
