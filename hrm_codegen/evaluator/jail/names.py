"""Which names of the tests mean the program's things, and which mean our own.

The tests were written for one namespace with the program in it. Here a program gets to define what it is asked for,
and no more: a program that redefines `abs`, `math` or `isclose` must not be asked what a right answer is.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from typing import Any

from .remote import RemoteCallable
from .session import Session
from .testcode import TestCode

# Modules whose names stand in tests without an import of the tests' own, because the solutions import them.
_HELPER_MODULES = ("math", "copy", "collections", "fractions", "decimal", "datetime", "functools", "itertools")


def bind_names(namespace: dict[str, Any], code: TestCode, session: Session, entry_point: str | None) -> None:
    """Puts what the tests need into their namespace.

    A name is the program's if the program defines it and nothing of ours has the better claim: the problem's own stub
    (already in `namespace`), a standard module of that name whose attributes are used, or, where the program also
    defines another name that the tests use, a built-in or a standard helper such as `isclose`.

    Args:
      namespace: Of the tests; has what the problem's stub defines.
      code: The tests.
      session: With the loaded program.
      entry_point: The function under test, if known; always the program's.
    """
    wanted = {name: kind for name, kind in session.names.items() if name in code.names}
    own = set(namespace)
    ours = {name: value for name in wanted for value in _helper(name)}
    main = {entry_point} & set(wanted) or {name for name in wanted if name not in ours and name not in own}
    main &= code.called
    for name, kind in wanted.items():
        if name == entry_point:
            namespace[name] = RemoteCallable(session, name, name)
        elif name in own:
            continue
        elif (module := _standard_module(name, kind, code)) is not None:
            namespace[name] = module
        elif main and name not in main and name in ours:
            namespace[name] = ours[name]
        elif kind == "callable":
            namespace[name] = RemoteCallable(session, name, name)
        else:
            namespace[name] = session.request("global", name)


def _standard_module(name: str, kind: str, code: TestCode) -> Any:
    """Returns our own copy of a standard module that the program has imported, or of whose name it uses attributes."""
    home = kind.partition("module:")[2]
    if not home and name in code.attribute_bases and name in sys.stdlib_module_names:
        home = name
    if home.partition(".")[0] not in sys.stdlib_module_names:
        return None
    try:
        return importlib.import_module(home)
    except ImportError:
        return None


def _helper(name: str) -> list[Any]:
    """Returns what the name means without the program, in a list; an empty one for nothing."""
    if hasattr(builtins, name):
        return [getattr(builtins, name)]
    homes = (importlib.import_module(home) for home in _HELPER_MODULES)
    return [getattr(home, name) for home in homes if name in getattr(home, "__all__", dir(home))][:1]
