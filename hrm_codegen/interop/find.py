"""Where a model is: the one resolver behind every `--ckpt` and `from_pretrained`.

Local paths come first, always, so that a file is never mistaken for a name on a server; a name like `org/name` that
is no path is then looked up on the Hugging Face Hub. It opens nothing: whether a file can be read is for `bundle.py`
to say.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from hrm_codegen.errors import ModelNotFoundError, UsageError
from hrm_codegen.interop.hub import HubOptions, download, hub_place, is_hub_id, split_revision

CHECKPOINTS = "checkpoints"
BEST = "best.pt"
_WEIGHTS = (  # in order, within a directory
    BEST,
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_MOST_LISTED = 10
_downloaded: dict[tuple[object, ...], Path] = {}  # by name, options and place; a command may ask twice


def find_bundle(
    name: str | os.PathLike[str] | None = None,
    *,
    cwd: str | os.PathLike[str] | None = None,
    hub: HubOptions | None = None,
) -> Path:
    """Finds a model's file.

    Args:
      name: A file, or a directory with `best.pt` or `model.safetensors`; looked for as it is, in `checkpoints/`, and
        in the runs in `checkpoints/`, newest first. A trailing `@best` is allowed. If there is none, `org/name` or
        `org/name@revision` of the Hub, which is asked once in a process. None: the newest local `best.pt`.
      cwd: Where relative names start; default: the working directory.
      hub: How a repository of the Hub is looked up.

    Returns:
      An absolute path of an existing file.

    Raises:
      ModelNotFoundError: There is no such model; the message has the places tried and the nearest names.
      CheckpointError: A repository is there, but the transfer failed.
      UsageError: Two different revisions.
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
    if is_hub_id(wanted):
        return _find_on_hub(wanted, base, hub or HubOptions())
    raise ModelNotFoundError(_unknown(wanted, base))


def _find_on_hub(name: str, base: Path, options: HubOptions) -> Path:
    repo_id, revision = split_revision(name)
    if revision is not None:
        if options.revision not in (None, revision):
            raise UsageError(f"two revisions: {name!r} and revision={options.revision!r}")
        options = dataclasses.replace(options, revision=revision)
    key = (repo_id, options, hub_place(options))
    if options.force_download or key not in _downloaded or not _downloaded[key].exists():
        try:
            snapshot = download(repo_id, options)
        except ModelNotFoundError as error:
            raise ModelNotFoundError(f"{_unknown(name, base)}; on the Hub: {error}") from error
        _downloaded[key] = _only_weights(snapshot)
    return _downloaded[key]


def _only_weights(snapshot: Path) -> Path:
    """Returns the weights in a snapshot, whose file may have any name if it is the only one."""
    if (file := _weights(snapshot)) is not None:
        return file
    files = [file for suffix in ("*.safetensors", "*.pt") for file in snapshot.glob(suffix)]
    if len(files) != 1:
        raise ModelNotFoundError(_describe(snapshot))
    return files[0]


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
    message = f"{directory} has none of {', '.join(_WEIGHTS)}; it contains {content}"
    best = directory.parent / BEST
    return f"{message}. The best weights of a default run are in {best}" if best.is_file() else message


def _unknown(name: str, base: Path) -> str:
    local = Path(name).expanduser()
    tried = f"tried {base / local}"
    if not local.is_absolute():
        tried += f", {base / CHECKPOINTS / local} and the runs in {base / CHECKPOINTS}"
    message = f"path {name!r} not found: {tried}"
    if is_hub_id(name):
        return message
    message += "; it is not the name of a repository on the Hub either"
    files = {
        path.relative_to(base).as_posix()
        for pattern in ("*.pt", f"{CHECKPOINTS}/*.pt", f"{CHECKPOINTS}/*/*.pt")
        for path in base.glob(pattern)
    }
    near = difflib.get_close_matches(name, files, n=1, cutoff=0.5)
    return f"{message}. Did you mean {near[0]!r}?" if near else message
