"""YAML 1.2 with places: nodes from PyYAML's composer, their meaning resolved here.

Why not `yaml.safe_load`: it reads YAML 1.1, where `1e-4` is a string, `on` is true and `012` is ten, keeps the last of
two equal keys without a word, and forgets the lines. Here plain scalars follow the YAML 1.2 core schema, keys that
occur twice and tags other than `!!str` are errors, and every entry knows its line. Anchors work, `<<` does not exist.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import yaml

from hrm_codegen.config.tree import Branch, Place
from hrm_codegen.errors import ConfigError

_At = Callable[[int], Place]
_PLAIN = "plain"
_STRING = "tag:yaml.org,2002:str"
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}")  # Python refuses to read longer ones.
_BASES = re.compile(r"0o[0-7]{1,4000}|0x[0-9a-fA-F]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class _Composer(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer):
    """PyYAML's composer with a resolver that only says whether a scalar was plain."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Path resolvers are not used; the composer calls this."""

    def ascend_resolver(self) -> None:
        """Path resolvers are not used; the composer calls this."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> str:
        """Returns the tag of a node without one."""
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _STRING
        return kind.__name__


def plain_scalar(text: str) -> Any:
    """Resolves an unquoted scalar: null, true, 12, 0o17, 0x1F, 1e-4, .inf, and else a string."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASES.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[inIN])", "", text))  # .inf and .nan are inf and nan in Python.
    return text


def parse_file(text: str, source: str) -> tuple[Branch, Place]:
    """Reads the text of a configuration file.

    Args:
      text: YAML.
      source: The file's name for messages.

    Returns:
      Its entries, and the place of its last line.

    Raises:
      ConfigError: If it is not YAML, or not a mapping.
    """
    node = _compose(text, at := functools.partial(Place, source))
    end = Place(source, max(1, text.count("\n") + (not text.endswith("\n"))))
    if node is None:
        return Branch([]), end
    value = _value(node, at, depth=0)
    if not isinstance(value, Branch):
        raise ConfigError(f"a configuration is a mapping of sections ({_place(node, at)})")
    return value, end


def parse_value(text: str, source: str) -> Any:
    """Reads the value of an override: a scalar or a list in YAML's flow style.

    Raises:
      ConfigError: If it is not YAML.
    """
    node = _compose(text, at := lambda line: Place(source))
    return None if node is None else _value(node, at, depth=1)


def _compose(text: str, at: _At) -> yaml.Node | None:
    try:
        return _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason, line = error.problem or error.context, mark.line + 1 if mark else 1
    except yaml.reader.ReaderError as error:
        reason, line = f"character {chr(error.character)!r} is not allowed", text.count("\n", 0, error.position) + 1
    except RecursionError:
        reason, line = "nested too deeply", 1
    raise ConfigError(f"not valid YAML: {reason} ({at(line)})")


def _place(node: yaml.Node, at: _At) -> Place:
    return at(node.start_mark.line + 1)


def _value(node: yaml.Node, at: _At, *, depth: int) -> Any:
    """Converts a node; the schema is three levels deep (section, field, list), deeper ones stay empty.

    The bound also stops a node that contains itself through an anchor.
    """
    if isinstance(node, yaml.ScalarNode) and node.tag in (_PLAIN, _STRING):
        return plain_scalar(node.value) if node.tag == _PLAIN else node.value
    if isinstance(node, yaml.SequenceNode) and node.tag == "SequenceNode":
        return [_value(item, at, depth=depth + 1) for item in node.value] if depth < 3 else []
    if isinstance(node, yaml.MappingNode) and node.tag == "MappingNode":
        pairs = node.value if depth < 2 else []
        return Branch([
            (_key(key, at), _value(value, at, depth=depth + 1), _place(key, at))
            for key, value in pairs
        ])  # fmt: skip
    raise ConfigError(f"the tag {node.tag} is not supported ({_place(node, at)})")


def _key(node: yaml.Node, at: _At) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    raise ConfigError(f"a field's name must be a word ({_place(node, at)})")
