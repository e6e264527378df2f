"""Where a model is: the one resolver behind every `--ckpt` and `from_pretrained`.

Local paths come first, always, so that a file is never mistaken for a name on a server. It opens nothing: whether a
file can be read is for `bundle.py` to say.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from hrm_codegen.errors import ModelNotFoundError

CHECKPOINTS = "checkpoints"
BEST = "best.pt"
_WEIGHTS = (BEST, "model.safetensors")  # in order, within a directory
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_MOST_LISTED = 10


def find_bundle(name: str | os.PathLike[str] | None = None, *, cwd: str | os.PathLike[str] | None = None) -> Path:
    """Finds a model's file.

    Args:
      name: A file, or a directory with `best.pt` or `model.safetensors`; looked for as it is, in `checkpoints/`, and
        in the runs in `checkpoints/`, newest first. A trailing `@best` is allowed. None: the newest local `best.pt`.
      cwd: Where relative names start; default: the working directory.

    Returns:
      An absolute path of an existing file.

    Raises:
      ModelNotFoundError: There is no such model; the message has the places tried and the nearest names.
    """
    base = Path.cwd() if cwd is None else Path(cwd).resolve()
    if name is None:
        return _newest_best(base)
    wanted = os.fspath(name).removesuffix("@best")
    local = Path(wanted).expanduser()
    places = [base / local, base / CHECKPOINTS / local, *_newest_first(base.glob(f"{CHECKPOINTS}/*/"), local)]
    found = [place for place in places if place.exists()]
    for place in found:
        if (file := _weights(place)) is not None:
            return file.resolve()
    if found:
        raise ModelNotFoundError(_describe(found[0]))
    raise ModelNotFoundError(_unknown(wanted, base))


def _newest_best(base: Path) -> Path:
    places = (BEST, f"{CHECKPOINTS}/{BEST}", f"{CHECKPOINTS}/*/{BEST}")
    files = [file for place in places for file in base.glob(place) if file.is_file()]
    if not files:
        raise ModelNotFoundError(
            f"no trained model here: tried {', '.join(places)} in {base}. Train one with `hrm-codegen train` "
            "or `hrm-codegen demo`, or name one"
        )
    return max(files, key=lambda file: file.stat().st_mtime).resolve()


def _newest_first(runs: Iterator[Path], local: Path) -> list[Path]:
    inside = [] if local.is_absolute() else [run / local for run in runs if (run / local).exists()]
    return sorted(inside, key=lambda path: path.stat().st_mtime, reverse=True)


def _weights(place: Path) -> Path | None:
    if not place.is_dir():
        return place
    return next((place / file for file in _WEIGHTS if (place / file).is_file()), None)


def _describe(directory: Path) -> str:
    names = sorted(path.name for path in directory.iterdir())
    content = ", ".join(names[:_MOST_LISTED]) + (", ..." if len(names) > _MOST_LISTED else "") if names else "nothing"
    message = f"{directory} has neither {' nor '.join(_WEIGHTS)}; it contains {content}"
    best = directory.parent / BEST
    return f"{message}. The best weights of a default run are in {best}" if best.is_file() else message


def _unknown(name: str, base: Path) -> str:
    local = Path(name).expanduser()
    tried = f"tried {base / local}"
    if not local.is_absolute():
        tried += f", {base / CHECKPOINTS / local} and the runs in {base / CHECKPOINTS}"
    if _HUB_ID.fullmatch(name) and not name.endswith((".pt", ".safetensors")):
        message = (
            f"path or repository {name!r} not found: {tried}; as a repository on the Hub it cannot be looked up yet "
            "(hub support comes with a later release, as the extra [hub])"
        )
    else:
        message = f"path {name!r} not found: {tried}; it is not the name of a repository on the Hub either"
    files = {
        path.relative_to(base).as_posix()
        for pattern in ("*.pt", f"{CHECKPOINTS}/*.pt", f"{CHECKPOINTS}/*/*.pt")
        for path in base.glob(pattern)
    }
    near = difflib.get_close_matches(name, files, n=1, cutoff=0.5)
    return f"{message}. Did you mean {near[0]!r}?" if near else message
