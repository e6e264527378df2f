"""What a source says, as `field -> value`, with the place of every entry and everything that is wrong with it.

Why: a message needs the line of what it complains about, long after the file was read, and all messages come at once.
Each loader (YAML, Python, dictionary, overrides) fills a `Tree`; `load.py` turns it into a `Config`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hrm_codegen.config.fields import FIELDS, SECTIONS, canonical, suggest


class Place(NamedTuple):
    """A file and line, or the override that gave a value."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


class Issue(NamedTuple):
    """One complete message: text, place, hint."""

    text: str
    place: Place | None = None
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.place}){self.hint}" if self.place else f"{self.text}{self.hint}"


class Branch(NamedTuple):
    """A mapping with places: (key, value, place of the key); duplicates are kept, so that they can be reported."""

    items: list[tuple[str, Any, Place | None]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
    """A given value and where it was given."""

    value: Any
    place: Place | None


@dataclasses.dataclass(kw_only=True)
class Tree:
    """The entries of one source.

    Attributes:
      end: Where something is missing whose section is missing too: the last line of a file.
      leaves: Known fields, by their own (not alias) names.
      sections: Where each section starts.
      issues: What is wrong already: unknown and duplicate names, values in place of sections.
    """

    end: Place | None = None
    leaves: dict[str, Leaf] = dataclasses.field(default_factory=dict)
    sections: dict[str, Place | None] = dataclasses.field(default_factory=dict)
    issues: list[Issue] = dataclasses.field(default_factory=list)

    def add_root(self, root: Branch) -> None:
        """Adds everything that a whole configuration says."""
        for key, value, place in root.items:
            if key not in SECTIONS:
                self.add(key, value, place)
            elif key in self.sections:
                self.issues.append(_duplicate(key, place, self.sections[key]))
            else:
                self.sections[key] = place
                if isinstance(value, Branch):
                    for name, item, line in value.items:
                        self.add(f"{key}.{name}", item, line)
                elif value is not None:  # A section whose lines are all commented out is null: all defaults.
                    text = f'field "{key}" must be a mapping, got {show(value)}'
                    self.issues.append(Issue(text, place))

    def add(self, path: str, value: Any, place: Place | None) -> None:
        """Adds one field; unknown and duplicate ones become issues."""
        name = canonical(path)
        if name not in FIELDS:
            self.issues.append(Issue(f'unknown field "{path}"', place, suggest(path)))
        elif name in self.leaves:
            self.issues.append(_duplicate(name, place, self.leaves[name].place))
        else:
            self.leaves[name] = Leaf(value=value, place=place)


def show(value: Any) -> str:
    """Returns a value as a message shows it, on one line: `"ten"`, `true`, `null`, `[1, 10]`, `a mapping`."""
    if isinstance(value, bool | str | None):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Branch | Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show, value))}]"
    return repr(value) if isinstance(value, int | float) else f"a value of type {type(value).__name__}"


def branch(mapping: Mapping[Any, Any], place_of: Callable[[str], Place | None] = lambda path: None) -> Branch:
    """Makes a `Branch` of a mapping of fields and sections.

    Args:
      mapping: Two levels of it are read, a deeper one is a value (and a wrong one).
      place_of: From a dotted name to its place.
    """
    root = Branch([])
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            inner = [(str(name), item, place_of(f"{key}.{name}")) for name, item in value.items()]
            root.items.append((str(key), Branch(inner), place_of(str(key))))
        else:
            root.items.append((str(key), value, place_of(str(key))))
    return root


def _duplicate(name: str, place: Place | None, first: Place | None) -> Issue:
    where = f", first given at {first}" if first else ""
    return Issue(f'duplicate field "{name}"', place, where)
