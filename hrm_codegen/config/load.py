"""From a file or a dictionary to a `Config`, and back: defaults < file < overrides, all errors at once."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from hrm_codegen.config import names, python_file, yaml_file
from hrm_codegen.config.checks import find_problems
from hrm_codegen.config.fields import FIELDS, SECTIONS, WrongType
from hrm_codegen.config.overrides import Override, apply_overrides
from hrm_codegen.config.schema import Config
from hrm_codegen.config.tree import Issue, Leaf, Place, Tree, branch, show
from hrm_codegen.errors import ConfigError


def load(name_or_path: str | os.PathLike[str], overrides: Sequence[str | Override] = ()) -> Config:
    """Loads a configuration file.

    Args:
      name_or_path: A .yaml or .py file, or the name of a bundled one; `file.py:ARG` calls `get_config("ARG")`.
      overrides: `section.field=value` strings; they win over the file, later ones over earlier ones.

    Returns:
      The checked configuration, named after the file unless it names itself.

    Raises:
      ConfigError: With one message, and its place, for each thing that is wrong.
    """
    tree, stem = read_file(name_or_path)
    return build(tree, name=stem, overrides=overrides)


def from_dict(tree: object, *, name: str = "run", overrides: Sequence[str | Override] = ()) -> Config:
    """Makes a configuration of a nested dictionary or ConfigDict.

    Args:
      tree: A mapping or ConfigDict: sections of fields, as `to_dict` returns them; defaults need not be there.
      name: The configuration's name if `tree` has none.
      overrides: As in `load`.

    Raises:
      ConfigError: With one message for each thing that is wrong.
    """
    mapping = python_file.plain(tree)
    if mapping is None:
        raise ConfigError(f"a configuration is a mapping of sections, got {show(tree)}")
    entries = Tree()
    entries.add_root(branch(mapping))
    return build(entries, name=name, overrides=overrides)


def to_dict(config: Config) -> dict[str, Any]:
    """Returns sections of plain values; tuples become lists, as in JSON and YAML."""

    def plain(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in items}

    return dataclasses.asdict(config, dict_factory=plain)


def to_yaml(config: Config) -> str:
    """Returns every field as YAML that `load` reads back to an equal configuration."""
    return yaml.dump(to_dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31)


def read_file(name_or_path: str | os.PathLike[str]) -> tuple[Tree, str]:
    """Reads what a file says, without types, ranges and defaults; returns it and the file's stem.

    Raises:
      ConfigError: If there is no such file, or it cannot be parsed or run.
    """
    given, argument = os.fspath(name_or_path), None
    if not os.path.isfile(given) and (parts := re.fullmatch(r"(.+\.py):(.*)", given, re.DOTALL)):
        given, argument = parts.groups()
    path = names.resolve_path(given)
    source = given if os.path.isfile(given) else str(path)  # Path drops a leading "./"; a message should not.
    if path.suffix not in names.SUFFIXES:
        raise ConfigError(f"a configuration is a {', '.join(names.SUFFIXES)} file ({source})")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read the file: {reason} ({source})") from None
    if path.suffix == ".py":
        root, end = python_file.run_file(text, source, argument)
    else:
        root, end = yaml_file.parse_file(text, source)
    tree = Tree(end=end)
    tree.add_root(root)
    return tree, path.stem


def convert_leaves(tree: Tree) -> tuple[dict[str, Any], list[Issue]]:
    """Reads the given values into their types; returns those that fit, and messages for those that don't."""
    values, issues = {}, []
    for path, leaf in tree.leaves.items():
        try:
            values[path] = FIELDS[path].convert(leaf.value)
        except WrongType as error:
            issues.append(Issue(f'field "{path}" must be {error}, got {show(leaf.value)}', leaf.place))
    return values, issues


def build(tree: Tree, *, name: str, overrides: Sequence[str | Override] = ()) -> Config:
    """Makes the configuration that `tree` and the overrides describe.

    Raises:
      ConfigError: With one message for each thing that is wrong, in the order of the lines.
    """
    apply_overrides(tree, overrides)
    tree.leaves.setdefault("name", Leaf(value=name, place=None))
    values, issues = convert_leaves(tree)
    defaults = {path: field.default for path, field in FIELDS.items() if not field.required}
    missing = [path for path, field in FIELDS.items() if field.required and path not in tree.leaves]
    unreadable = set(tree.leaves) - set(values)
    known = {path: value for path, value in (defaults | values).items() if path not in unreadable}
    issues = [Issue(f'missing field "{path}"', _section_place(tree, path)) for path in missing] + tree.issues + issues
    for problem in find_problems(known):
        given = [tree.leaves[path].place for path in (problem.path, *problem.related) if path in tree.leaves]
        issues.append(Issue(problem.text, next(filter(None, given), None)))
    if issues:
        raise ConfigError(*map(str, sorted(issues, key=_order)))
    sections = {
        section: cls(**{field.name: known[f"{section}.{field.name}"] for field in dataclasses.fields(cls)})
        for section, cls in SECTIONS.items()
    }
    return Config(name=known["name"], **sections)


def _section_place(tree: Tree, path: str) -> Place | None:
    return tree.sections.get(path.partition(".")[0], tree.end)


def _order(issue: Issue) -> tuple[bool, int]:
    line = issue.place.line if issue.place else None
    return line is None, line or 0


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that YAML 1.2 reads as something else (`1e4`), besides those of YAML 1.1 (`on`).

    And those with control characters, some of which PyYAML writes as they are and reads back as spaces.
    """


def _represent_string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    unclear = not isinstance(yaml_file.plain_scalar(text), str) or not text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if unclear else None)


_Dumper.add_representer(str, _represent_string)
