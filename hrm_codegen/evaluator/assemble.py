"""From what a model wrote to a program that can be run.

Three kinds of text: a `completion` continues the problem's code stub, a `solution` stands alone, an `answer` is a whole
program that may lean on the stub's imports and helpers. Nothing is compiled or run here: the text is hostile.
The raw text stays with the sample; what was changed is reported, since it changes scores.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from hrm_codegen.data.problem import Problem
from hrm_codegen.evaluator.extraction import MAX_LENGTH, begins_definition, defines, extract_code

Kind = Literal["completion", "solution", "answer"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assembled:
    """A program.

    Attributes:
      code: The text to run.
      changes: What was done to the raw text, in words; empty if nothing.
    """

    code: str
    changes: tuple[str, ...] = ()


def assemble_program(problem: Problem, text: str, kind: Kind) -> Assembled:
    """Returns the program that `text` stands for.

    Args:
      problem: Gives the stub (`prompt_code`) and the names to look for among several fenced blocks.
      text: As the model wrote it.
      kind: What the text is; see the module's docstring.
    """
    body, changes = extract_code(text, _tested_names(problem))
    stub = problem.prompt_code
    if not stub or kind == "solution":
        return Assembled(code=body, changes=changes)
    if kind == "answer":
        return Assembled(code=f"{closed_stub(stub)}\n\n{body}", changes=changes)
    if _redefines(body, problem.entry_point):
        return Assembled(code=f"{closed_stub(stub)}\n\n{body}", changes=(*changes, "began anew after the stub"))
    indent = open_indent(stub)
    repaired = _indented(body, indent) if indent and len(body) <= MAX_LENGTH else body
    if repaired != body:
        changes = (*changes, "repaired the first indentation")
    return Assembled(code=stub + repaired, changes=changes)


def closed_stub(stub: str) -> str:
    """Ends a stub's open function, so that code at the margin may follow."""
    indent = open_indent(stub)
    return f"{stub.rstrip()}\n{indent}pass\n" if indent else f"{stub.rstrip()}\n"


def open_indent(stub: str) -> str:
    """Returns the indentation that continues a stub; empty if it leaves nothing open (a docstring alone)."""
    lines = [line.rstrip() for line in stub.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return _indent_of(last) or ("    " if last.endswith(":") else "")


def _tested_names(problem: Problem) -> frozenset[str]:
    if problem.entry_point is not None:
        return frozenset({problem.entry_point})
    return frozenset(name for test in problem.test_list for name in re.findall(r"\b([^\W\d]\w*)\(", test))


def _redefines(body: str, entry_point: str | None) -> bool:
    """Whether a completion is no continuation: it begins at the margin and has the whole function."""
    if entry_point is None or not body.strip() or _indent_of(body.lstrip("\r\n")):
        return False
    return defines(body, {entry_point}) or re.search(rf"^{re.escape(entry_point)}\s*=", body, re.MULTILINE) is not None


def _indented(body: str, indent: str) -> str:
    """Returns a continuation with the indentation that its beginning has lost.

    The first line alone if the lines after it have theirs, else the whole block that it begins. What is changed here
    could not have been right: the function would end before its first statement, or not be Python at all.
    """
    lines = body.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled or "\t" in "".join(_indent_of(lines[number]) for number in filled):
        return body
    first = filled[0]
    depth, wanted = len(_indent_of(lines[first])), len(indent)
    margin = next((number for number in filled[1:] if not _indent_of(lines[number])), len(lines))
    block = [number for number in filled if number < margin or number == first]
    rest = [len(_indent_of(lines[number])) for number in block[1:]]
    shallow = bool(rest) and lines[first].rstrip().endswith(":") and rest[0] <= wanted
    goes_on = margin in filled[1:2] and not begins_definition(lines[margin])
    returns = re.search(r"^(?:return|yield)\b", "\n".join(lines[first + 1 :]), re.MULTILINE)
    if depth == 0 and (shallow or goes_on or returns):
        block = filled  # the body of a function, all of it at the margin
    elif not shallow and min(rest, default=wanted) >= wanted and not wanted < depth <= min(rest, default=0):
        block = [first]
    for number in block:
        line = lines[number]
        lines[number] = " " * max(0, len(_indent_of(line)) + wanted - depth) + line.lstrip(" ")
    return "\n".join(lines)


def _indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]
