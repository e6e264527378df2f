"""`Operation`: one small, typed, describable step, and the kinds of values that steps take and give.

Why: English, Python and inputs of a task are all made from the same record, so they cannot contradict each other.
How several operations become one function is in `compose.py` and `describe.py`.

Phrases and templates are `str.format` strings. `{0}`, `{1}` are the drawn constants (`{0!r}` quotes them). In code
`{x}` is the input. In phrases `{x}` is the input as a noun ("a list", "the even numbers in a list"), `{xs}` the
elements of a list ("the numbers in a list"), `{in}` a place ("in a list"). Noun phrases begin with their head ("the sum
of {x}") because then they nest without ambiguity, and those of list-valued operations are plural.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

Constants = tuple[int | str, ...]


class Kind(enum.Enum):
    """The type of a value that flows between operations; `value` is the argument's name in the solutions."""

    INT = "n"
    STR = "text"
    BOOL = "flag"
    INTS = "nums"
    WORDS = "words"


def _anything(value: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """One step of a composition; compared by identity.

    Attributes:
      key: Unique identifier; also one of the names of a function that does only this.
      takes: Kind of the input.
      gives: Kind of the output.
      expr: The Python expression of the result.
      body: Statements before it, for what no expression says well.
      nouns: Noun phrases for the result; empty where English has none that nests (such as predicates).
      verbs: Verb phrases for the action, at least one.
      names: More names of a function that does only this.
      label: The result in a composed function's name, `label_of_label`; None: the key.
      act: The action in a composed function's name, `act_and_act`; None: the key.
      var: The variable that holds the result on the way; None: the label.
      pool: The constants it can be used with; empty: it has none.
      shapes: The kinds of inputs (`inputs.SHAPES`) that show what it does; empty: those of `takes`.
      accepts: Whether a value of kind `takes` is in the domain.
    """

    key: str
    takes: Kind
    gives: Kind
    expr: str
    body: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    label: str | None = None
    act: str | None = None
    var: str | None = None
    pool: tuple[Constants, ...] = ()
    shapes: tuple[str, ...] = ()
    accepts: Callable[[Any], bool] = _anything

    @property
    def phrasings(self) -> tuple[str, ...]:
        """All phrases, nouns first."""
        return self.nouns + self.verbs

    @property
    def noun_name(self) -> str:
        """The result in a composed function's name."""
        return self.label or self.key

    @property
    def verb_name(self) -> str:
        """The action in a composed function's name."""
        return self.act or self.key

    @property
    def variable(self) -> str:
        """The name of an intermediate result."""
        return self.var or self.noun_name


def numbers(low: int, high: int) -> tuple[Constants, ...]:
    """The pool of integers from `low` to `high`, both included."""
    return tuple((value,) for value in range(low, high + 1))


def letters(alphabet: str = "aeiorntlscdmpu") -> tuple[Constants, ...]:
    """The pool of single characters; by default those that are frequent in English words."""
    return tuple((letter,) for letter in alphabet)


def checks(*clauses: str) -> tuple[str, ...]:
    """Verb phrases of a predicate: `{x} is even` becomes `check whether {x} is even`, `check if ...`."""
    return tuple(f"{verb} {clause}" for clause in clauses for verb in ("check whether", "check if"))
