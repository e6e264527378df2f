"""Names of baselines: `hf:gpt2`, `hf:some/folder`, `hf:model.gguf`, or a bare `model.gguf`.

Why: a wrong name, or an extra that is not installed, has to be known before data is loaded or torch imported. Local
paths come first, always, so that a folder is never mistaken for a repository. It opens no weights and asks no server:
that a repository exists is for `loading.py` to find out.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from pathlib import Path

from hrm_codegen.errors import CheckpointError, MissingExtraError, ModelNotFoundError, UsageError

PREFIX = "hf:"
GGUF = ".gguf"
_MODULES = ("torch", "transformers")
_GGUF_MODULES = ("gguf", "accelerate")
# gpt2, openai-community/gpt2, owner/name/file.gguf, each with @revision
_REPOSITORY = re.compile(r"(?P<id>\w[\w.-]*(?:/\w[\w.-]*)?)(?:/(?P<file>[^/@]+\.gguf))?(?:@(?P<revision>[\w./-]+))?")
_MOST_LISTED = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Where a baseline comes from.

    Attributes:
      place: A local folder, or the id of a repository on the Hub.
      gguf_file: The file in it that holds everything; None: a folder in the format of Transformers.
      revision: Branch, tag or commit of a repository.
      is_local: Whether `place` is a folder.
    """

    place: str
    gguf_file: str | None = None
    revision: str | None = None
    is_local: bool

    @property
    def title(self) -> str:
        """A short name for reports."""
        if self.gguf_file is not None:
            return Path(self.gguf_file).stem
        return Path(self.place).name if self.is_local else self.place

    @property
    def path(self) -> str:
        """What reports call its path: of the file or folder, or else the name with `hf:`."""
        place = self.place if self.gguf_file is None else f"{self.place}/{self.gguf_file}"
        return place if self.is_local else PREFIX + place


def is_baseline(name: str | os.PathLike[str] | None) -> bool:
    """Whether a checkpoint's name means a baseline and not a model of ours."""
    return name is not None and (os.fspath(name).startswith(PREFIX) or os.fspath(name).endswith(GGUF))


def check_baseline(name: str | os.PathLike[str]) -> Source:
    """Finds a baseline, and that what is needed to load it is installed, without importing any of that.

    Raises:
      ModelNotFoundError: As `find_source`.
      MissingExtraError: The extra [hf] is not installed.
    """
    source = find_source(name)
    require((*_MODULES, *_GGUF_MODULES) if source.gguf_file else _MODULES)
    return source


def check_model(name: str | os.PathLike[str] | None) -> None:
    """Checks that a checkpoint's name means a model: a baseline, or one of ours (`interop.find_bundle`).

    Raises:
      ModelNotFoundError: It doesn't.
      MissingExtraError: A baseline, without the extra [hf].
    """
    if name is not None and is_baseline(name):
        check_baseline(name)
    else:
        from hrm_codegen.interop import find_bundle

        find_bundle(name)


def find_source(name: str | os.PathLike[str]) -> Source:
    """Returns what a name means, whether or not it has the prefix `hf:`.

    Args:
      name: A folder of Transformers, a GGUF file or a folder with one; if there is no such path, a repository's id,
        optionally with `/file.gguf` and `@revision`.

    Raises:
      ModelNotFoundError: No such path, and nothing that could be a repository; or a folder without a model.
      CheckpointError: A file of another format.
      UsageError: No name.
    """
    wanted = os.fspath(name).removeprefix(PREFIX)
    if not wanted:
        raise UsageError(f"{PREFIX} needs a name after it: a folder, a {GGUF} file or a repository, as in hf:gpt2")
    path = Path(wanted).expanduser()
    if path.is_dir():
        return _in_folder(path.resolve())
    if path.exists():
        if path.suffix != GGUF:
            raise CheckpointError(
                f"{path} is a file, but no {GGUF}: name the folder with its config.json (a checkpoint of "
                f"hrm-codegen is named without {PREFIX})"
            )
        return Source(place=str(path.resolve().parent), gguf_file=path.name, is_local=True)
    match = _REPOSITORY.fullmatch(wanted)
    if match is None or match["id"].endswith(GGUF):
        raise ModelNotFoundError(
            f"path {wanted!r} not found: tried {path.absolute()}; it is not the name of a repository on the Hub either"
        )
    return Source(place=match["id"], gguf_file=match["file"], revision=match["revision"], is_local=False)


def require(modules: tuple[str, ...]) -> None:
    """Checks that modules can be imported.

    Raises:
      MissingExtraError: With the command that installs the extra.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f'models of Transformers and GGUF files need {" and ".join(missing)}: pip install "hrm-codegen[hf]"'
        )


def _in_folder(folder: Path) -> Source:
    if (folder / "config.json").is_file():
        return Source(place=str(folder), is_local=True)
    files = sorted(path.name for path in folder.iterdir())
    gguf_files = [file for file in files if file.endswith(GGUF)]
    if len(gguf_files) == 1:
        return Source(place=str(folder), gguf_file=gguf_files[0], is_local=True)
    if gguf_files:
        raise ModelNotFoundError(f"{folder} has several models, name one: {', '.join(gguf_files[:_MOST_LISTED])}")
    content = ", ".join(files[:_MOST_LISTED]) + (", ..." if len(files) > _MOST_LISTED else "")
    raise ModelNotFoundError(f"{folder} has neither config.json nor a {GGUF} file; it contains {content or 'nothing'}")
