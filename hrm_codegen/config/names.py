"""From what the user calls a configuration to its file: a path, or the name of a bundled one."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from hrm_codegen.errors import ConfigError

SUFFIXES = (".yaml", ".yml", ".py")
_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_bundled" / "configs", _PACKAGE.parent / "configs")  # In a wheel; in a work tree.


def resolve_path(name_or_path: str | os.PathLike[str]) -> Path:
    """Finds a configuration file.

    Args:
      name_or_path: A path; or a bundled name (`mbpp_dev` is the .yaml, `mbpp_dev.py`, `configs/mbpp_dev.yaml`), which
        counts only if there is no such file.

    Returns:
      The path of a file, as given or of the bundled one.

    Raises:
      ConfigError: If there is none, with the bundled names; or for a URL, because a configuration may be a program.
    """
    text = os.fspath(name_or_path)
    if re.match(r"\w[\w+.-]+://", text):
        raise ConfigError(f"configurations are not loaded from URLs: download {text} and give the path")
    path = Path(text)
    if path.is_file():
        return path
    stem, suffix = (path.stem, path.suffix) if path.suffix in SUFFIXES else (path.name, ".yaml")
    if path.parent in (Path(), Path("configs")):
        for folder in _FOLDERS:
            if (folder / (stem + suffix)).is_file():
                return folder / (stem + suffix)
    names = bundled_names()
    close = difflib.get_close_matches(stem, names, n=1)
    hint = f' — did you mean "{close[0]}"?' if close else ""
    raise ConfigError(f'no configuration "{text}": no such file, and the bundled ones are {", ".join(names)}{hint}')


def bundled_names() -> list[str]:
    """Returns the names of the configurations that come with the package, sorted."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return sorted(path.stem for path in folder.glob("*.yaml")) if folder else []
