"""Overrides: `--set train.num_steps=20`, and the values of other flags, laid over what a file says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hrm_codegen.config.fields import FIELDS, SECTIONS, canonical
from hrm_codegen.config.tree import Issue, Leaf, Place, Tree
from hrm_codegen.config.yaml_file import parse_value, plain_scalar
from hrm_codegen.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Override:
    """One field's new value.

    Attributes:
      path: Dotted name or alias.
      value: The value; already a Python object.
      place: What the user wrote, for messages: `--data train.bin`.
    """

    path: str
    value: Any
    place: str


def parse_override(text: str) -> Override:
    """Reads `section.field=value`, the value as YAML; fields that hold strings take it as it stands.

    Raises:
      ConfigError: If there is no `=`, or the value is not YAML.
    """
    place = f"--set {text}"
    path, equals, written = text.partition("=")
    path, written = path.strip(), written.strip()
    if not equals:
        raise ConfigError(f"an override is section.field=value ({place})")
    field = FIELDS.get(canonical(path))
    if field is not None and field.kind is str and written[:1] not in ("'", '"'):
        value = None if plain_scalar(written) is None else written
    else:
        value = parse_value(written, place)
    return Override(path=path, value=value, place=place)


def apply_overrides(tree: Tree, overrides: Sequence[str | Override]) -> None:
    """Replaces leaves of `tree`, the last override winning; what is wrong with them becomes issues."""
    for item in overrides:
        try:
            override = parse_override(item) if isinstance(item, str) else item
        except ConfigError as error:
            tree.issues.extend(Issue(str(message)) for message in error.args)
            continue
        place = Place(override.place)
        name = canonical(override.path)
        if name in SECTIONS:
            tree.issues.append(Issue(f'"{name}" is a section: set its fields, as in {name}.FIELD=VALUE', place))
        elif name in FIELDS:
            tree.leaves[name] = Leaf(value=override.value, place=place)
        else:
            tree.add(override.path, override.value, place)
