"""Finds programs of one set of problems in another, whatever their names.

Two programs are the same if their syntax trees are equal after every name that they bind (functions, arguments,
variables) is renamed by the order of its first appearance and docstrings are dropped. Constants, called builtins,
attributes and the order of statements count. Works on any problems, not just those of this suite.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from hrm_codegen.data.problem import Problem

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class _Renamer(ast.NodeTransformer):
    """Renames bound names to v0, v1, ... in the order in which a traversal meets them."""

    def __init__(self, bound: set[str]) -> None:
        self.bound = bound
        self.names: dict[str, str] = {}

    def _rename(self, name: str) -> str:
        return self.names.setdefault(name, f"v{len(self.names)}") if name in self.bound else name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._rename(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._rename(node.arg)
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self._rename(node.name)
        node.returns = None
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
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


def normalise(code: str) -> str:
    """Returns a text that is equal for programs equal up to names; code that does not parse stands for itself."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return code.strip()
    return ast.dump(_Renamer(_bound_names(tree)).visit(tree))


def overlap(train: Iterable[Problem], test: Iterable[Problem]) -> list[Problem]:
    """Returns the problems of `test` whose program, after normalisation, is a program of `train`."""
    known = {normalise(code) for code in {problem.code for problem in train}}
    return [problem for problem in test if normalise(problem.code) in known]
