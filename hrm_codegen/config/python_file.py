"""Configurations in Python: `get_config()` returns an `ml_collections.ConfigDict` (or a dict).

Lines for messages come from the syntax tree. The file is run: a configuration in Python is a program, so run
only those you would run. ml_collections is imported by the file itself, never here.
"""

from __future__ import annotations

import ast
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from typing import Any

from hrm_codegen.config.tree import Branch, Place, branch
from hrm_codegen.errors import ConfigError

_FUNCTION = "get_config"


def run_file(text: str, source: str, argument: str | None) -> tuple[Branch, Place]:
    """Runs a configuration file.

    Args:
      text: The program.
      source: The file's name for messages.
      argument: What `get_config` is called with; None: nothing.

    Returns:
      Its entries, and the place of `get_config`.

    Raises:
      ConfigError: If the file cannot be parsed or run, or gives no configuration; names the line.
    """
    try:
        program = ast.parse(text, source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigError(f"not valid Python: {reason} ({source}:{line})") from None
    lines = dict(_lines(program.body, ()))
    definitions = [node for node in program.body if isinstance(node, ast.FunctionDef) and node.name == _FUNCTION]
    end = Place(source, definitions[-1].lineno if definitions else 1)
    module = types.ModuleType("hrm_codegen_config_file")
    module.__file__ = source
    try:
        exec(compile(program, source, "exec"), module.__dict__)
        if not hasattr(module, _FUNCTION):
            raise ConfigError(f"no function {_FUNCTION}() ({end})")
        config = module.get_config(*([] if argument is None else [argument]))
        mapping = plain(config)
    except ConfigError:
        raise
    except Exception as error:
        inside = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == source]
        place = Place(source, inside[-1]) if inside else end
        raise ConfigError(f"{_FUNCTION}() failed: {type(error).__name__}: {_one_line(error)} ({place})") from error
    if mapping is None:
        raise ConfigError(f"{_FUNCTION}() must return a ConfigDict or a dict, got {type(config).__name__} ({end})")
    places = {".".join(path): Place(source, line) for path, line in lines.items()}
    return branch(mapping, lambda path: places.get(path, end)), end


def plain(config: Any) -> dict[str, Any] | None:
    """Copies a dict or ConfigDict, at any depth, to dicts; required placeholders that nobody filled are left out.

    Returns:
      The copy; None if `config` is neither.
    """
    module = sys.modules.get("ml_collections.config_dict.config_dict")
    if module is not None and isinstance(config, module.ConfigDict):
        given = [key for key in config if not _is_unfilled(config, key, module)]
    elif isinstance(config, Mapping):
        given = list(config)
    else:
        return None
    copied = {key: plain(config[key]) for key in given}
    return {str(key): config[key] if copied[key] is None else copied[key] for key in given}


def _is_unfilled(config: Any, key: str, module: types.ModuleType) -> bool:
    try:
        config[key]
    except module.RequiredValueError:
        return True
    return False


def _lines(nodes: list[ast.stmt] | list[ast.expr], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yields (names, line) of everything that looks like setting a field: assignments, keywords, dict keys.

    It reads, it does not run: for `config.model.hidden_dim = 64` the first name is taken for the variable, and also for
    the section, as in `model.hidden_dim = 64`. What it misses is reported at `def get_config`.
    """
    for node in nodes:
        yield from _lines_of(node, path)


def _lines_of(node: ast.AST, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            names = _names(target)
            for prefix in {names, names[1:]}:
                if prefix:
                    yield prefix, target.lineno
                if node.value is not None:
                    yield from _lines_of(node.value, prefix)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                yield (*path, str(key.value)), key.lineno
                yield from _lines_of(value, (*path, str(key.value)))
    elif isinstance(node, ast.Call):
        yield from _lines(node.args, path)
        for keyword in node.keywords:
            if keyword.arg is not None:
                yield (*path, keyword.arg), keyword.lineno
                yield from _lines_of(keyword.value, (*path, keyword.arg))
    else:
        for child in ast.iter_child_nodes(node):
            yield from _lines_of(child, path)


def _names(target: ast.expr) -> tuple[str, ...]:
    """Returns the names of `config.model["hidden_dim"]`, outermost first; empty for other targets."""
    if isinstance(target, ast.Name):
        return (target.id,)
    if isinstance(target, ast.Attribute):
        return (*_names(target.value), target.attr)
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return (*_names(target.value), str(target.slice.value))
    return ()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
