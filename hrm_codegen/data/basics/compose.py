"""Composes operations into one Python function.

The style follows from the operations alone, so that equal compositions always give equal programs up to names: a
result goes straight into the next expression if it is short, is a call or subscript without a comprehension, and is
needed there once (`len(text.split())`); otherwise it gets a variable.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import Any, NamedTuple

from hrm_codegen.data.basics.operation import Constants, Operation

MAX_INLINE = 30
_LAZY = (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp, ast.Lambda)


class Step(NamedTuple):
    """An operation with its drawn constants."""

    operation: Operation
    constants: Constants


Chain = tuple[Step, ...]
Composition = tuple[str, ...]


def composition(chain: Chain) -> Composition:
    """The operations' keys in the order of application; constants do not count."""
    return tuple(step.operation.key for step in chain)


@cache
def _local_names(body: tuple[str, ...]) -> frozenset[str]:
    tree = ast.parse("\n".join(body).replace("{x}", "[]"))
    return frozenset(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


@cache
def _inlines(expr: str) -> bool:
    """Whether an expression template, as a part of a larger expression, needs no parentheses and reads well."""
    if expr.startswith("list("):  # a copy made only to be read is no idiom
        return False
    tree = ast.parse(expr.format("c", "c", x="x"), mode="eval").body
    plain = isinstance(tree, (ast.Call, ast.Subscript))
    return plain and not any(isinstance(node, _LAZY) for node in ast.walk(tree))


def write_solution(chain: Chain, name: str) -> str | None:
    """Returns the source of a function that applies the steps in order; None if two of its variables would clash."""
    argument = chain[0].operation.takes.value
    taken = {argument}
    lines: list[str] = []
    value = argument
    for position, (operation, constants) in enumerate(chain):
        last = position == len(chain) - 1
        bound = _local_names(operation.body)
        lines += [line.format(*constants, x=value) for line in operation.body]
        value = operation.expr.format(*constants, x=value)
        if not last and not value.isidentifier():
            following = chain[position + 1].operation
            once = "".join((*following.body, following.expr)).count("{x}") == 1
            if not (once and _inlines(operation.expr) and len(value) <= MAX_INLINE):
                lines.append(f"{operation.variable} = {value}")
                bound |= {operation.variable}
                value = operation.variable
        if bound & taken:
            return None
        taken |= bound
    return "\n    ".join([f"def {name}({argument}):", *lines, f"return {value}"])


def run_solution(source: str, name: str) -> Any:
    """Executes a solution and returns its function."""
    scope: dict[str, Any] = {}
    exec(source, scope)  # our own text, made from the operations
    return scope[name]


_functions: dict[tuple[str, Constants], Any] = {}


def step_function(step: Step) -> Any:
    """The step alone as a Python function of one argument."""
    key = (step.operation.key, step.constants)
    if key not in _functions:
        source = write_solution((step,), step.operation.key)
        assert source is not None, f"{step.operation.key} rebinds its argument"
        _functions[key] = run_solution(source, step.operation.key)
    return _functions[key]
