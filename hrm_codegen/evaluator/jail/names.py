"""Which names of the tests mean the program's things, and which mean our own.

The tests were written for one namespace with the program in it. Here a program gets to define what it is asked for,
and no more: a program that redefines `abs`, `math` or `isclose` must not be asked what a right answer is.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from typing import Any

from .exceptions import local_type, marked_type
from .remote import RemoteCallable
from .session import Session
from .testcode import TestCode
from .zygote import WARM

# Names that stand in tests without an import of the tests' own, because the solutions import them: what a right
# answer is measured with.
_HELPERS = {
    "math": (
        "isclose",
        "sqrt",
        "pi",
        "e",
        "inf",
        "nan",
        "tau",
        "floor",
        "ceil",
        "fabs",
        "isnan",
        "isinf",
        "gcd",
        "prod",
    ),
    "copy": ("deepcopy", "copy"),
    "functools": ("reduce",),
}
# Classes among them: a program may have a `Counter` of its own that is no such thing, but not as an expected value.
_HELPER_CLASSES = {
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "datetime": ("date", "datetime", "timedelta"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
}
# Names that nobody gives to a function, and that tests use without an import where every solution has one.
_ALIASES = {"np": "numpy", "numpy": "numpy", "pytest": "pytest", "pd": "pandas", "pandas": "pandas", "torch": "torch"}
# Only what is loaded anyway is lent to the tests on a program's word: importing a module runs it.
_KNOWN_MODULES = frozenset((*WARM, "sys", "os", "io"))


class Namespace(dict[str, Any]):
    """The tests' global names. A value that the program may change is asked for each time that it is read."""

    def __init__(self, session: Session) -> None:
        """Makes an empty one."""
        super().__init__()
        self._session = session
        self.live: set[str] = set()

    def __missing__(self, name: str) -> Any:
        if name not in self.live:
            raise KeyError(name)
        return self._session.request("global", name)


def bind_names(namespace: Namespace, code: TestCode, session: Session, entry_point: str | None) -> None:
    """Puts what the tests need into their namespace.

    A name is the program's if the program defines it and nothing of ours has the better claim: the problem's own stub
    (already in `namespace`), a standard module of that name whose attributes are used, or, where the program also
    defines another name that the tests use, a built-in or a standard helper such as `isclose`. Plain data of the
    program's (a list `log`) is its own even so: who calls it gets an error.

    Args:
      namespace: Of the tests; has what the problem's stub defines.
      code: The tests.
      session: With the loaded program.
      entry_point: The function under test, if known; always the program's.
    """
    if entry_point is not None:
        namespace.pop(entry_point, None)  # the stub's: a program without one must not be judged by it
    wanted = session.names if set(session.names) <= {entry_point} else _without(session.names, code.assigned)
    own = set(namespace)
    ours = {name: value for name in wanted if name != entry_point for value in _helper(name, code)}
    main = {entry_point} & set(wanted) or {name for name in wanted if name not in ours and name not in own}
    for name, kind in wanted.items():
        if name == entry_point:
            namespace[name] = RemoteCallable(session, name, name)
        elif name in own:
            continue
        elif (module := _standard_module(name, kind, code)) is not None:
            namespace[name] = module
        elif main and name in ours and (kind != "value" or not callable(ours[name])):
            namespace[name] = ours[name]
        elif kind.startswith("exception:"):
            exception = local_type(kind.partition(":")[2].split(","), session.exception_types)
            if exception.__module__ == "builtins":  # another name for one of Python's
                exception = marked_type(exception, session.exception_types)
            namespace[name] = exception
        elif kind == "callable":
            namespace[name] = RemoteCallable(session, name, name)
        else:
            namespace.live.add(name)


def _standard_module(name: str, kind: str, code: TestCode) -> Any:
    """Returns our own copy of a module that the program has imported, or of whose name the tests use attributes."""
    home = kind.partition("module:")[2]
    if name in _ALIASES and name in code.attribute_bases:
        return importlib.import_module(_ALIASES[name])
    if not home and name in sys.stdlib_module_names and name in code.attribute_bases:
        home = name
    return importlib.import_module(home) if home in _KNOWN_MODULES else None


def _helper(name: str, code: TestCode) -> list[Any]:
    """Returns what the name means without the program, in a list; an empty one for nothing."""
    if hasattr(builtins, name):
        return [getattr(builtins, name)]
    if name in _named(_HELPERS):
        return [_named(_HELPERS)[name]]
    return [_named(_HELPER_CLASSES)[name]] if name in _named(_HELPER_CLASSES) and name in code.compared else []


def _named(helpers: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    return {name: getattr(importlib.import_module(home), name) for home, names in helpers.items() for name in names}


def _without(names: dict[str, str], assigned: frozenset[str]) -> dict[str, str]:
    return {name: kind for name, kind in names.items() if name not in assigned}
