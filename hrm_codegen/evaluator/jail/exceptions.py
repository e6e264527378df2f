"""Exceptions of the program, raised again on the judge's side, where a test may expect them."""

from __future__ import annotations

import builtins
from typing import Any, NamedTuple

from .encoder import OWN_MODULE

_CONTROL_FLOW = {"StopIteration", "StopAsyncIteration", "GeneratorExit"}
MARKS = "marked:"
_ANCESTOR_LIMIT, _LINE_LIMIT = 64, 1 << 31


class Marked(BaseException):
    """What the program has raised, as opposed to what a test has: the base of the types that `marked_type` makes."""


class RemoteError(Exception):
    """An exception of the program that would be taken for the end of a loop or generator here."""


class Fields(NamedTuple):
    """What is known of an exception that was raised over there.

    Attributes:
      name: Of its type.
      ancestors: Names of the type and its bases, as far as they are built in or (after `solution:`) the program's own.
      text: What `str` says.
      line: Of the program; 0 if unknown.
      args: Its arguments; None if they cannot be sent.
      handle: Itself, where its type is the program's own; None elsewhere.
    """

    name: str
    ancestors: list[str]
    text: str
    line: int
    args: tuple[Any, ...] | None
    handle: Any


def as_fields(value: Any) -> Fields | None:
    """Returns the fields that a solver has sent; None if they are none."""
    match value:
        case (str(), list() as ancestors, str(), int() as line, (tuple() | None), _) if (
            type(line) is int
            and 0 <= line < _LINE_LIMIT
            and len(ancestors) <= _ANCESTOR_LIMIT
            and all(type(name) is str for name in ancestors)
        ):
            return Fields(*value)
    return None


def local_exception(fields: Fields, own_types: dict[str, type]) -> BaseException:
    """Returns an exception to raise here.

    It has the same built-in type, or a local one for a type of the program's own, so that a test may expect it; a type
    that ends loops or generators becomes a `RemoteError`, or a program could end a test's loop early and be praised.

    Args:
      fields: Of the exception over there.
      own_types: The local types so far; extended.
    """
    kind = local_type(fields.ancestors, own_types)
    if MARKS in own_types and kind.__module__ == "builtins":
        kind = marked_type(kind, own_types)
    try:
        error: BaseException = kind.__new__(kind, fields.text)
    except TypeError:  # an exception group, which wants more
        error = RemoteError()
    error.args = (fields.text,) if fields.args is None else fields.args
    error.remote = fields  # type: ignore[attr-defined]
    return error


def marked_type(kind: type[BaseException], own_types: dict[str, type]) -> type[BaseException]:
    """Returns a type for what the program raises of a built-in type: all of it is of that type, too.

    A program may have a name of its own for `Exception`, and a test may catch by that name. It then catches what the
    program has raised, and not the failure that the test itself raises.

    Args:
      kind: Built in.
      own_types: The local types so far; extended.
    """
    if kind is BaseException:
        return Marked
    key = f"{MARKS}{kind.__name__}"
    own_types[MARKS] = Marked
    if key not in own_types:
        base = marked_type(kind.__base__, own_types) if kind.__base__ is not None else Marked
        own_types[key] = type(kind.__name__, (base, kind), {})
    return own_types[key]


def local_type(ancestors: list[str], own_types: dict[str, type]) -> type[BaseException]:
    """Returns the local type for a type of these ancestors."""
    if _CONTROL_FLOW & set(ancestors):
        return RemoteError
    for place, ancestor in enumerate(ancestors):
        home, _, name = ancestor.rpartition(":")
        if home == OWN_MODULE:
            if ancestor not in own_types:
                base = local_type(ancestors[place + 1 :], own_types)
                own_types[ancestor] = type(name, (base,), {"__getattr__": _ask_handle})
            return own_types[ancestor]
        kind = getattr(builtins, ancestor, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            return kind
    return RemoteError


def _ask_handle(self: Any, name: str) -> Any:
    fields = self.__dict__.get("remote")
    if name.startswith("__") or fields is None or fields.handle is None:
        raise AttributeError(name)
    return getattr(fields.handle, name)
