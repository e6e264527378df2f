"""Takes the code out of what a model wrote: Markdown fences, prose around it, end-of-text marks.

The text is hostile, so it is never parsed or compiled (a deep expression overflows the C stack), every rule is linear
in its length, and one of more than 256 KB is left alone. Outside of fences, only text that cannot be Python is cut: a
program that runs is never changed. What was done is said, in words, since extraction changes scores. Not a repair of
code: nothing is added here.
"""

from __future__ import annotations

import dataclasses
import functools
import keyword
import re
from collections.abc import Collection, Iterator

MAX_LENGTH = 1 << 18
# Of tildes only alone or with Python's label: `~~~x` is an expression.
_FENCE = re.compile(
    r"^[ ]{0,3}(`{3,}|~{3,}(?=[ \t]*(?:python|py)?[ \t\r]*$))[ \t]*([\w+#.-]*)[^\n]*$", re.MULTILINE | re.IGNORECASE
)
_PYTHON = {"python", "python3", "py", "py3"}
_STRING_OR_COMMENT = re.compile(
    r"""\"{3}|'{3}|\#[^\n]*|"(?:[^"\\\n]++|\\(?:\r\n|.))*+"?|'(?:[^'\\\n]++|\\(?:\r\n|.))*+'?""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE_OR_END = {quotes: re.compile(rf"\\.|{quotes}", re.DOTALL) for quotes in ('"""', "'''")}
_START_OF_CODE = re.compile(r"(?:async[ \t]+def|def|class)[ \t]+\w|import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b|@\w")
_BEFORE_STRING = re.compile(r"[^'\"#\n]*")
_WORD_PAIR = re.compile(r"\b([^\W\d]\w*)(?=[ \t]+([^\W\d]\w*))")
_LAST_WORD = re.compile(r"\w+\Z")
_LINE = re.compile(r"^[^\n]*\n?", re.MULTILINE)
_STRING_PREFIXES = frozenset(["r", "u", "b", "f", "t", "br", "rb", "fr", "rf", "tr", "rt"])
_KEYWORDS = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist)
# Lines that belong to the prose after them: headings and items of lists. Alone they are no reason to cut.
_PROSE_START = re.compile(r"(?!else|try|finally)\w+:(?:\s*$| [A-Z])|[*>-]|\d+[.)] ")
_END_MARK = re.compile(r"<\|\w{0,40}(?:\|>|\Z)|</s>|<｜[^｜\n]{0,40}(?:｜>|\Z)")


@dataclasses.dataclass(frozen=True)
class _Block:
    label: str
    text: str


def extract_code(text: str, names: Collection[str] = ()) -> tuple[str, tuple[str, ...]]:
    """Returns the code in a text and what was cut off to get it, in words.

    A fence inside a triple-quoted string is left alone. Among several blocks the first that defines one of `names`
    wins, else the first that is labelled Python, else the first. A closing fence alone ends code that began at the
    start of the text. Code is never cut to nothing.

    Args:
      text: As the model wrote it.
      names: Functions that the tests call.
    """
    if len(text) > MAX_LENGTH:
        return text, ()
    changes = []
    for step in (functools.partial(_from_fences, names=names), _before_end_mark, _without_prose):
        code, change = step(text)
        if change and code.strip():
            text = code
            changes.append(change)
    return text, tuple(changes)


def defines(code: str, names: Collection[str]) -> bool:
    """Whether a text defines a function, at its margin, of one of these names."""
    found = (match[1] for match in re.finditer(r"^(?:async[ \t]+)?def[ \t]+(\w+)", code, re.MULTILINE))
    return any(name in names for name in found)


def begins_definition(line: str) -> bool:
    """Whether a line at the margin is the beginning of a function, a class or an import."""
    return _START_OF_CODE.match(line) is not None


def _from_fences(text: str, names: Collection[str]) -> tuple[str, str]:
    closed = (string for string in _strings(text) if string[2])  # a string that never ends is none
    fences = list(_outside(_FENCE.finditer(text), closed))
    if not fences:
        return text, ""
    before = text[: fences[0].start()]
    if not fences[0][2] and (_begins_as_code(before) or (len(fences) == 1 and before.strip())):
        return before, "cut at a closing fence"
    blocks = [block for block in _blocks(text, fences) if block.text.strip()]
    if not blocks:
        return text, ""
    python = next((block for block in blocks if block.label.lower() in _PYTHON), blocks[0])
    chosen = next((block for block in blocks if defines(block.text, names)), python)
    return chosen.text, f"took one of {len(blocks)} fenced blocks"


def _blocks(text: str, fences: list[re.Match[str]]) -> Iterator[_Block]:
    opening: re.Match[str] | None = None
    for fence in fences:
        if opening is None:
            opening = fence
            continue
        closes = fence[1].startswith(opening[1]) and not fence[2]
        if closes or fence[2]:  # a labelled fence opens a block, also where the one before it was left open
            yield _Block(opening[2], text[opening.end() + 1 : fence.start()])
            opening = None if closes else fence
    if opening is not None:
        yield _Block(opening[2], text[opening.end() + 1 :])


def _before_end_mark(text: str) -> tuple[str, str]:
    """Cuts at `<|endoftext|>` and the like, also at half of one at the very end."""
    mark = next(_outside(_END_MARK.finditer(text), _strings(text)), None)
    return (text, "") if mark is None else (text[: mark.start()], "cut at an end-of-text mark")


def _without_prose(text: str) -> tuple[str, str]:
    """Cuts prose before the first definition or import, and from the first prose after it to the end."""
    lines = ((line.start(), line[0]) for line in _outside(_LINE.finditer(text), _strings(text)) if line[0].strip())
    begin, first = next(lines, (0, ""))
    change = ""
    if _is_prose(first):
        begin = next((start for start, line in lines if begins_definition(line)), len(text))
        change = "cut prose before the code"
    leads_to_prose: int | None = None
    for start, line in lines:
        if _is_prose(line):
            end = start if leads_to_prose is None else leads_to_prose
            return text[begin:end], "cut prose around the code" if change else "cut prose after the code"
        if not _PROSE_START.match(line):
            leads_to_prose = None
        elif leads_to_prose is None:
            leads_to_prose = start
    return (text[begin:], change) if change else (text, "")


def _begins_as_code(text: str) -> bool:
    line = next((line for line in text.split("\n") if line.strip()), "")
    return line[:1] in (" ", "\t") or begins_definition(line)


def _is_prose(line: str) -> bool:
    """Whether a line at the margin has what Python's grammar never has there: two words, or a word and a quote."""
    code = _BEFORE_STRING.match(line)
    assert code is not None  # it matches the empty text
    if line[:1].isspace():
        return False
    if any(not _KEYWORDS & {pair[1], pair[2]} for pair in _WORD_PAIR.finditer(code[0])):
        return True
    word = _LAST_WORD.search(code[0][-20:])  # as long as any keyword
    quoted = line[code.end() : code.end() + 1] in ("'", '"')
    return quoted and word is not None and word[0] not in _KEYWORDS and word[0].lower() not in _STRING_PREFIXES


def _outside(matches: Iterator[re.Match[str]], strings: Iterator[tuple[int, int, bool]]) -> Iterator[re.Match[str]]:
    """Yields the matches that do not begin inside of a string or comment."""
    string = next(strings, None)
    for match in matches:
        while string is not None and string[1] <= match.start():
            string = next(strings, None)
        if string is None or match.start() <= string[0]:
            yield match


def _strings(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yields where strings and comments begin and end, and whether they are closed."""
    position = 0
    while match := _STRING_OR_COMMENT.search(text, position):
        start, position = match.span()
        closed = True
        if match[0] in _ESCAPE_OR_END:
            ends = (m.end() for m in _ESCAPE_OR_END[match[0]].finditer(text, position) if m[0] == match[0])
            end = next(ends, None)
            closed, position = end is not None, len(text) if end is None else end
        yield start, position, closed
