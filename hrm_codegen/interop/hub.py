"""The Hugging Face Hub: a repository's model files to a local folder, and a folder or a file to a repository.

Why: names like `org/name` are how models are shared. huggingface_hub does the transfers; what is decided here is which
files a model needs, when a cached copy will do, and what is said when something is missing. Not a loader: `find.py`
picks the weights out of a folder and `bundle.py` opens them.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import logging
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hrm_codegen.errors import CheckpointError, ModelNotFoundError, UsageError
from hrm_codegen.interop import hub_access as access
from hrm_codegen.interop.hub_upload import check_upload, upload, upload_file

__all__ = [
    "HubOptions",
    "check_upload",
    "download",
    "hub_place",
    "is_hub_id",
    "split_revision",
    "upload",
    "upload_file",
]

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_FILE_SUFFIXES = (".pt", ".safetensors", ".bin", ".onnx", ".gguf", ".yaml", ".yml", ".json", ".jsonl", ".git")
_OWN_FOLDERS = ("checkpoints", "configs", "results", "data")  # a mistyped path in them is no name of a repository
_COMPANIONS = ("*.json", "*.yaml", "*.jinja", "README.md", "LICENSE*", "tokenizer.model", "vocab.txt", "merges.txt")
_ESSENTIAL = {"config.json", "config.yaml", "tokenizer.json"}
_WEIGHTS = (  # in order of preference; where one kind is, its twins in other formats are not fetched
    "model.safetensors",
    "model-?????-of-?????.safetensors",
    "*.safetensors",
    "best.pt",
    "*.pt",
    "pytorch_model.bin",
    "pytorch_model-*.bin",
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOGGER = logging.getLogger("hrm_codegen.interop.hub")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubOptions:
    """How a repository is looked up; the names are huggingface_hub's.

    Attributes:
      revision: A branch, a tag or a commit; None: the main branch.
      token: None: that of HF_TOKEN or `hf auth login`, if any; False: none.
      cache_dir: None: that of huggingface_hub.
      local_files_only: Take what the cache has, without asking the server.
      force_download: Download again what is in the cache.
    """

    revision: str | None = None
    token: str | bool | None = dataclasses.field(default=None, repr=False)
    cache_dir: str | os.PathLike[str] | None = None
    local_files_only: bool = False
    force_download: bool = False


def is_hub_id(name: str) -> bool:
    """Says whether a name can be that of a repository: `org/name`, or `org/name@revision`. Asks nobody."""
    repo_id, _ = split_revision(name)
    if not _HUB_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id or repo_id.endswith((".", "-")):
        return False
    return not repo_id.endswith(_FILE_SUFFIXES) and repo_id.split("/")[0] not in _OWN_FOLDERS


def split_revision(name: str) -> tuple[str, str | None]:
    """Splits `org/name@revision`; the revision is None if there is no `@`."""
    repo_id, at, revision = name.partition("@")
    return repo_id, revision if at else None


def hub_place(options: HubOptions) -> tuple[str, str]:
    """Returns the server and the cache folder in use, which the environment decides."""
    return access.endpoint(), str(access.cache_folder(options.cache_dir))


def download(repo_id: str, options: HubOptions | None = None) -> Path:
    """Fetches the files that a model needs, unless the cache has them.

    A server that cannot be reached, or is out of order, is replaced by the cache, with a warning. A transfer that
    breaks off is taken up again where it stopped; after several failures in a row, files that are complete are kept.

    Args:
      repo_id: `org/name`.
      options: See `HubOptions`.

    Returns:
      The folder of the snapshot, which is not to be written to.

    Raises:
      ModelNotFoundError: No such repository or revision, not open to you, without a model, or not in the cache.
      CheckpointError: The transfer failed, or the cached copy is incomplete.
      UsageError: An impossible name, or options that contradict each other.
    """
    options = options or HubOptions()
    if not is_hub_id(repo_id) or "@" in repo_id:
        raise UsageError(f"{repo_id!r} is no name of a repository: it must be like org/name")
    offline = "HF_HUB_OFFLINE is set" if access.is_offline() else ""
    if options.local_files_only:
        offline = "local_files_only is set"
    if offline and options.force_download:
        raise UsageError(f"force_download needs the network, but {offline}")
    if offline:
        return _cached(repo_id, options, offline)
    with access.session():
        return _download(repo_id, options)


def _download(repo_id: str, options: HubOptions) -> Path:
    from huggingface_hub import snapshot_download

    cache = access.cache_folder(options.cache_dir)
    try:
        info = access.connect(options.token).model_info(repo_id, revision=options.revision, timeout=access.PATIENCE)
    except Exception as error:
        return _without_server(repo_id, options, error)
    published = sorted(sibling.rfilename for sibling in info.siblings or [])
    chosen = _choose(published)
    place = f"{repo_id} on {access.endpoint()}"
    if not _weights(chosen):
        content = f"it has {access.listing(published)}" if published else "it is empty"
        raise ModelNotFoundError(f"{place} has no model file (safetensors, .pt or pytorch_model.bin): {content}")
    snapshot = _storage(cache, repo_id) / "snapshots" / str(info.sha)
    try:
        found = snapshot_download(
            repo_id,
            revision=options.revision,
            token=options.token,
            cache_dir=cache,
            force_download=options.force_download,
            allow_patterns=[_literally(name) for name in chosen],
            etag_timeout=access.PATIENCE,
            endpoint=access.endpoint(),
            library_name="hrm-codegen",
        )
    except Exception as error:
        explained = access.explain(error, repo_id, token=options.token, doing="download", path=cache)
        missing = [name for name in chosen if not (snapshot / name).exists()]
        if missing and len(missing) < len(chosen):
            raise type(explained)(
                f"{explained}. {len(missing)} of {len(chosen)} files are missing: {access.listing(missing)}; the "
                f"others are kept in {snapshot}, and the same command goes on from there"
            ) from error
        raise explained from error
    return Path(found)


def _without_server(repo_id: str, options: HubOptions, error: Exception) -> Path:
    """Answers from the cache if the server is out of reach; otherwise says what the server had against it."""
    from huggingface_hub.errors import RevisionNotFoundError

    cache = access.cache_folder(options.cache_dir)
    if access.is_unreachable(error) and not options.force_download:
        explained = access.explain(error, repo_id, token=options.token, doing="download", path=cache)
        folder = _cached(repo_id, options, str(explained), cause=error)
        _LOGGER.warning("%s: using the copy in %s", explained, folder)
        return folder
    if isinstance(error, RevisionNotFoundError):
        place = f"{repo_id} on {access.endpoint()}"
        raise ModelNotFoundError(
            f"{place} has no revision {options.revision!r}{_revisions(repo_id, options)}"
        ) from error
    explained = access.explain(error, repo_id, token=options.token, doing="download", path=cache)
    if isinstance(explained, ModelNotFoundError) and _snapshot(repo_id, options) is not None:
        raise type(explained)(f"{explained}. An earlier copy is in {cache}: local_files_only takes it") from error
    raise explained from error


def _revisions(repo_id: str, options: HubOptions) -> str:
    try:
        refs = access.connect(options.token).list_repo_refs(repo_id)
    except Exception:  # a list for the reader's convenience
        return ""
    kinds = [("branches", refs.branches), ("tags", refs.tags)]
    return "; it has " + " and ".join(f"the {kind} {access.listing([r.name for r in x])}" for kind, x in kinds if x)


def _cached(repo_id: str, options: HubOptions, why: str, *, cause: Exception | None = None) -> Path:
    """Returns the cached snapshot, if it is complete."""
    cache = access.cache_folder(options.cache_dir)
    revision = f" at revision {options.revision!r}" if options.revision else ""
    folder = _snapshot(repo_id, options)
    if folder is None:
        raise ModelNotFoundError(
            f"{repo_id}{revision} is not in the cache {cache}, and it cannot be looked up: {why}. "
            "Load it once with a connection; after that HF_HUB_OFFLINE=1 or local_files_only take the copy"
        ) from cause
    if missing := _missing(folder):
        raise CheckpointError(
            f"the copy of {repo_id}{revision} in {folder} is half-downloaded, without {access.listing(missing)}, and "
            f"the rest cannot be fetched: {why}. The same command completes it once there is a connection"
        ) from cause
    return folder


def _storage(cache: Path, repo_id: str) -> Path:
    return cache / f"models--{repo_id.replace('/', '--')}"  # the documented layout of the cache


def _snapshot(repo_id: str, options: HubOptions) -> Path | None:
    storage = _storage(access.cache_folder(options.cache_dir), repo_id)
    revision = options.revision or "main"
    ref = storage / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    folder = storage / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None


def _missing(folder: Path) -> list[str]:
    """Returns what a snapshot lacks, as far as its index, or a list that huggingface_hub kept, tells."""
    present = {path.name for path in folder.iterdir() if path.exists()}
    tree = _read_json(folder.parents[1] / "trees" / f"{folder.name}.json")  # since huggingface_hub 2
    chosen = set(_choose(sorted(present | set(tree.get("files", {})))))
    wanted = _weights(chosen)
    for index in (name for name in chosen & present if name.endswith(".index.json")):
        wanted |= set(_read_json(folder / index).get("weight_map", {}).values())
    return sorted((wanted | chosen & _ESSENTIAL) - present) if wanted else ["any weights"]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _choose(published: Sequence[str]) -> list[str]:
    """Returns the files to fetch: one kind of weights, and what goes with them; nothing in folders."""
    top = [name for name in published if "/" not in name]
    weights: list[str] = next((found for kind in _WEIGHTS if (found := fnmatch.filter(top, kind))), [])
    kept = {name for pattern in _COMPANIONS for name in fnmatch.filter(top, pattern)}
    kept -= {name for name in kept if name.endswith(".index.json") and not _is_index_of(name, weights)}
    return sorted(kept | set(weights))


def _is_index_of(name: str, weights: Collection[str]) -> bool:
    stem, suffix = os.path.splitext(name.removesuffix(".index.json"))
    return not weights or any(weight.startswith(f"{stem}-") and weight.endswith(suffix) for weight in weights)


def _weights(names: Collection[str]) -> set[str]:
    return {name for name in names if any(fnmatch.fnmatch(name, kind) for kind in _WEIGHTS)}


def _literally(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
