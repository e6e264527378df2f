"""The schema seen as a flat table: every field by its dotted name, with its type and how to read a value into it.

Why: files, dictionaries and overrides all end up as `section.field -> value`, so one table serves every loader, the
did-you-mean and the absl flags. It is derived from `schema.py`, never written by hand. Ranges are in `checks.py`.
"""

from __future__ import annotations

import dataclasses
import difflib
import numbers
import os
import types
import typing
from typing import Any

from hrm_codegen.config import schema

ALIASES = {
    "model.H_cycles": "model.h_cycles",
    "model.L_cycles": "model.l_cycles",
    "train.lr": "optim.lr",
    "train.steps": "train.num_steps",
}
_NOUNS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple: "an integer or a list of integers",
}
_INT_LIMIT = 2**63


class WrongType(ValueError):
    """The value does not fit the field; the message is what the field must be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """One configurable value.

    Attributes:
      path: Dotted name, `model.hidden_dim`.
      kind: bool, int, float, str or tuple (of ints).
      choices: The allowed strings; empty: any.
      optional: Whether None is a value.
      required: Whether it has no default.
      default: The default; None if required.
    """

    path: str
    kind: type
    choices: tuple[str, ...]
    optional: bool
    required: bool
    default: Any

    def describe(self) -> str:
        """Returns what the field must be, for messages: `an integer or null`."""
        noun = f"one of {', '.join(self.choices)}" if self.choices else _NOUNS[self.kind]
        return f"{noun} or null" if self.optional else noun

    def convert(self, value: Any) -> Any:
        """Reads a value into the field's type; whole numbers do for floats, booleans for neither.

        Raises:
          WrongType: With what the field must be.
        """
        if value is None and self.optional:
            return None
        if self.kind is tuple:
            items = value if isinstance(value, list | tuple) else [value]
            return tuple(self._convert_one(int, item) for item in items)
        return self._convert_one(self.kind, value)

    def _convert_one(self, kind: type, value: Any) -> Any:
        if kind is bool and isinstance(value, bool):
            return value
        if kind is str and isinstance(value, str | os.PathLike):
            value = os.fspath(value)
            if isinstance(value, str) and (not self.choices or value in self.choices):
                return value
        number = {int: numbers.Integral, float: numbers.Real}.get(kind)
        if number is not None and isinstance(value, number) and not isinstance(value, bool):
            if isinstance(value, numbers.Integral) and abs(int(value)) >= _INT_LIMIT:
                raise WrongType(f"{self.describe()} below 2**63")
            return kind(value)
        raise WrongType(self.describe())


def _fields_of(section: type, prefix: str) -> dict[str, Field]:
    hints = typing.get_type_hints(section)
    fields: dict[str, Field] = {}
    for field in dataclasses.fields(section):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            continue
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        (kind,) = [option for option in options if option is not types.NoneType]
        literal = typing.get_origin(kind) is typing.Literal
        required = field.default is dataclasses.MISSING
        path = f"{prefix}{field.name}"
        fields[path] = Field(
            path=path,
            kind=str if literal else typing.get_origin(kind) or kind,
            choices=typing.get_args(kind) if literal else (),
            optional=types.NoneType in options,
            required=required,
            default=None if required else field.default,
        )
    return fields


SECTIONS: dict[str, type] = {
    name: hint
    for name, hint in typing.get_type_hints(schema.Config).items()
    if isinstance(hint, type) and dataclasses.is_dataclass(hint)
}
FIELDS: dict[str, Field] = _fields_of(schema.Config, "")
for _name, _section in SECTIONS.items():
    FIELDS |= _fields_of(_section, f"{_name}.")


def canonical(path: str) -> str:
    """Returns the field's own name for an alias, anything else as it is."""
    return ALIASES.get(path, path)


def suggest(path: str) -> str:
    """Returns ` — did you mean "model.hidden_dim"?` for a name close to `path`, else an empty string."""
    section, _, leaf = path.rpartition(".")
    leaves = {**{name: canonical(name) for name in (*ALIASES, *FIELDS)}, **{name: name for name in SECTIONS}}
    everywhere = {name.rpartition(".")[2]: meant for name, meant in reversed(leaves.items())}  # The first one wins.
    here = {name.rpartition(".")[2]: meant for name, meant in leaves.items() if name.rpartition(".")[0] == section}
    for known, cutoff in ((everywhere, 1.0), (here, 0.6), (everywhere, 0.7)):
        if close := difflib.get_close_matches(leaf, known, n=1, cutoff=cutoff):
            return f' — did you mean "{known[close[0]]}"?'
    return ""
