"""Programs as syntax trees: parsed without complaint, and in a form that is equal for programs that are alike.

For trusted code (reference solutions): a hostile text can overflow the C stack of the parser. Compares programs by
their syntax only; two ways to write one function are two programs.
"""

from __future__ import annotations

import ast
import warnings

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parse(code: str) -> ast.Module | None:
    """Returns the tree of a program, None if it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in somebody's solution is not this user's concern
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def dump(code: str) -> str | None:
    """Returns a text that is equal for programs equal up to layout and comments; None for what is no program."""
    tree = parse(code)
    try:
        return None if tree is None else ast.dump(tree)
    except RecursionError:
        return None


def normalise(code: str, *, constants: bool = True) -> str:
    """Returns a text that is equal for programs equal up to names, annotations and docstrings.

    The names that a program binds (functions, arguments, variables) are numbered in the order of their first
    appearance; called builtins, attributes and the order of statements count.

    Args:
      code: The program; what does not parse stands for itself.
      constants: Whether the values of numbers and texts count too, not only their types.
    """
    tree = parse(code)
    if tree is None:
        return code.strip()
    try:
        return ast.dump(_Normaliser(_bound_names(tree), constants=constants).visit(tree))
    except RecursionError:
        return code.strip()


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """Returns the statements of a body after its docstring."""
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


class _Normaliser(ast.NodeTransformer):
    """Renames bound names to v0, v1, ... in the order in which a traversal meets them."""

    def __init__(self, bound: set[str], *, constants: bool) -> None:
        self._bound = bound
        self._constants = constants
        self._names: dict[str, str] = {}

    def _rename(self, name: str) -> str:
        return self._names.setdefault(name, f"v{len(self._names)}") if name in self._bound else name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._rename(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._rename(node.arg)
        node.annotation = None
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if not self._constants and isinstance(node.value, str | bytes | int | float | complex):
            node.value = type(node.value).__name__
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self._rename(node.name)
        node.returns = None
        node.body = without_docstring(node.body) or [ast.Pass()]
        self.generic_visit(node)
        return node


def _bound_names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, _DEFINITIONS):
            names.add(node.name)
    return names
