"""Tests as code objects: parsed once, with each `assert left == right` taken apart so that both sides can be shown.

Tests are trusted: they come with the data set. Nothing of a program is parsed here.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from types import CodeType, TracebackType

COMPARE, HOLDS = "@compare", "@holds"  # no identifiers, so no test can name them by accident
_TEST, _SETUP, _PRELUDE = "<test {}>", "<setup>", "<prelude>"


class TestCode:
    """The trusted part of a case, compiled.

    No dataclass: importing their module would be a tenth of a worker's start.

    Attributes:
      setup: What runs before the tests; a code object.
      texts: Of the tests.
      tests: Their code objects.
      names: Every global name that they may load or store.
    """

    __test__ = False

    def __init__(self, setup_text: str, texts: tuple[str, ...], tests: tuple[CodeType, ...]) -> None:
        """Compiles the setup; the tests are compiled by `compile_tests`."""
        self._setup_text = setup_text
        self.setup = compile(setup_text, _SETUP, "exec", dont_inherit=True)
        self.texts, self.tests = texts, tests
        self.names = tuple(sorted(set().union(*map(_names, (self.setup, *tests)))))

    @functools.cached_property
    def assigned(self) -> frozenset[str]:
        """Names that the tests assign or define themselves."""
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        named = {node.name for node in self._nodes if isinstance(node, kinds)}
        stored = {n.id for n in self._nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        aliases = [
            alias for node in self._nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
        ]
        arguments = {node.arg for node in self._nodes if isinstance(node, ast.arg)}
        return frozenset(named | stored | arguments | {(a.asname or a.name).partition(".")[0] for a in aliases})

    @functools.cached_property
    def attribute_bases(self) -> frozenset[str]:
        """Names of which attributes are taken."""
        found = (node.value for node in self._nodes if isinstance(node, ast.Attribute))
        return frozenset(value.id for value in found if isinstance(value, ast.Name))

    @functools.cached_property
    def compared(self) -> frozenset[str]:
        """Names that stand within a comparison."""
        comparisons = [node for node in self._nodes if isinstance(node, ast.Compare)]
        return frozenset(n.id for node in comparisons for n in ast.walk(node) if isinstance(n, ast.Name))

    @functools.cached_property
    def catches_assertions(self) -> bool:
        """Whether the tests themselves expect an assertion to fail."""
        return any("except AssertionError" in text for text in self.texts)

    @functools.cached_property
    def _nodes(self) -> list[ast.AST]:
        return [node for text in (self._setup_text, *self.texts) for node in ast.walk(ast.parse(text))]


@functools.lru_cache(maxsize=256)
def compile_tests(texts: tuple[str, ...], setup: str, entry_point: str | None) -> TestCode:
    """Compiles a case's tests; samples of one problem share the result.

    Raises:
      ValueError: If they do not compile, or have no statement at all.
    """
    try:
        trees = [_parse(text, _TEST.format(i)) for i, text in enumerate(texts)]
        call = _missing_call(trees, entry_point)
        if call is not None:
            texts = (*texts, call)
            trees.append(_parse(call, _TEST.format(len(trees))))
        if not any(tree.body for tree in trees):
            raise ValueError("the tests have no statement")
        for tree in trees:
            _take_apart_below(tree)
        tests = tuple(compile(t, _TEST.format(i), "exec", dont_inherit=True) for i, t in enumerate(trees))
        return TestCode(setup, texts, tests)
    except (SyntaxError, UnicodeError, RecursionError, MemoryError) as error:
        raise ValueError(f"the tests cannot be compiled: {type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=256)
def compile_prelude(text: str) -> CodeType:
    """Compiles a problem's own stub; raises SyntaxError or ValueError."""
    return compile(text, _PRELUDE, "exec", dont_inherit=True)


def _names(code: CodeType) -> set[str]:
    """Returns the global names (and attributes) in a code object and in those within it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _take_apart_below(node: ast.AST) -> None:
    """Takes the asserts below a statement apart; looks at no expression."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, field, ()):
            if isinstance(statement, ast.Assert):
                _take_apart(statement)
            else:
                _take_apart_below(statement)


def failing_line(code: TestCode, trace: TracebackType | None) -> str | None:
    """Returns the line of a test that failed; the whole test if it is one statement, None if the setup failed."""
    places = {_TEST.format(i): text for i, text in enumerate(code.texts)}
    found = [(places[name], line) for name, line in _frames(trace) if name in places]
    if not found:
        return None
    text, number = found[-1]
    lines = text.strip().splitlines()
    whole = len(lines) == 1 or (len(_parse(text, "<text>").body) == 1 and lines[0].startswith("assert"))
    return text.strip() if whole else text.splitlines()[number - 1].strip()


def _parse(text: str, name: str) -> ast.Module:
    return ast.parse(text, name)


def _missing_call(trees: list[ast.Module], entry_point: str | None) -> str | None:
    """Returns HumanEval's call where the tests define `check(candidate)` and nothing calls it: it would always pass."""
    if entry_point is None:
        return None
    body = [node for tree in trees for node in tree.body]
    defined = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in body)
    kinds = ast.Expr | ast.Assert | ast.For | ast.With | ast.Try
    called = any(isinstance(n, kinds) and not isinstance(getattr(n, "value", None), ast.Constant) for n in body)
    return f"check({entry_point})" if defined and not called else None


def _take_apart(node: ast.Assert) -> None:
    compare = node.test
    if not isinstance(compare, ast.Compare) or len(compare.ops) != 1 or not isinstance(compare.ops[0], ast.Eq | ast.Is):
        holds = ast.copy_location(ast.Name(id=HOLDS, ctx=ast.Load()), compare)
        node.test = ast.copy_location(ast.Call(func=holds, args=[compare], keywords=[]), compare)
        return
    left, right = compare.left, compare.comparators[0]
    swapped = not isinstance(left, ast.Call | ast.Name | ast.Attribute) and _is_literal(left) and not _is_literal(right)
    flags = (isinstance(compare.ops[0], ast.Is), swapped)
    arguments = [left, right, *(ast.copy_location(ast.Constant(value=flag), compare) for flag in flags)]
    function = ast.copy_location(ast.Name(id=COMPARE, ctx=ast.Load()), compare)
    node.test = ast.copy_location(ast.Call(func=function, args=arguments, keywords=[]), compare)


def _is_literal(node: ast.AST) -> bool:
    return not any(isinstance(item, ast.Call | ast.Name) for item in ast.walk(node))


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
