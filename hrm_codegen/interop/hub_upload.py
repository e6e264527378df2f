"""Sends a folder or a file to the Hugging Face Hub, as one commit.

Why: what can go wrong (no token, no permission, a branch that is not there) is found out before anything slow, and
said in one line. Not a converter: what is sent is what lies there; `hf_folder.py` makes the folder.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hrm_codegen.errors import ModelNotFoundError, UsageError
from hrm_codegen.interop import hub_access as access

_LOGGER = logging.getLogger("hrm_codegen.interop.hub")


def upload(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    allow_patterns: list[str] | str | None = None,
    ignore_patterns: list[str] | str | None = None,
    delete_patterns: list[str] | str | None = None,
) -> str:
    """Uploads the files of a folder; the repository and the branch are made if they are missing.

    Args:
      folder: With the files.
      repo_id: `org/name`, or `name` for one of the token's owner.
      token: None: that of HF_TOKEN or `hf auth login`.
      private: Of a new repository; None: its owner's default.
      revision: The branch; None: main.
      create_pr: Open a pull request instead of committing to main.
      commit_message: None: "Upload with hrm-codegen".
      allow_patterns: Only files that match one of these.
      ignore_patterns: No files that match one of these.
      delete_patterns: Delete what is there and matches one of these.

    Returns:
      The URL of the repository, of its branch if `revision` is given, or of the pull request.

    Raises:
      UsageError: No token, or arguments that contradict each other.
      ModelNotFoundError: No such folder, or no such repository for a pull request.
      CheckpointError: No permission, no connection, or the server refused.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelNotFoundError(f"cannot upload {folder}: it is no folder")
    patterns = {
        "allow_patterns": allow_patterns, "ignore_patterns": ignore_patterns, "delete_patterns": delete_patterns
    }  # fmt: skip

    def send(api: Any, **common: Any) -> Any:
        return api.upload_folder(folder_path=folder, **patterns, **common)

    return _commit(send, folder, repo_id, token, private, revision, create_pr, commit_message)


def upload_file(
    path: str | os.PathLike[str],
    repo_id: str,
    *,
    path_in_repo: str | None = None,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
) -> str:
    """Uploads one file, under its own name unless `path_in_repo` says otherwise; the rest is as in `upload`."""
    path = Path(path)
    if not path.is_file():
        raise ModelNotFoundError(f"cannot upload {path}: it is no file")

    def send(api: Any, **common: Any) -> Any:
        return api.upload_file(path_or_fileobj=path, path_in_repo=path_in_repo or path.name, **common)

    return _commit(send, path, repo_id, token, private, revision, create_pr, commit_message)


def check_upload(*, token: str | bool | None = None, revision: str | None = None, create_pr: bool = False) -> None:
    """Finds out what needs no server; call it before slow preparations.

    Raises:
      UsageError: No token, or arguments that contradict each other.
    """
    if not access.has_token(token):
        raise UsageError(f"an upload to {access.endpoint()} needs a token: {access.LOG_IN}")
    if access.is_offline():
        raise UsageError("an upload needs the network, but HF_HUB_OFFLINE is set")
    if create_pr and revision is not None:
        raise UsageError("a pull request is opened against main: give either create_pr or revision, not both")


def _commit(
    send: Callable[..., Any],
    path: Path,
    repo_id: str,
    token: str | None,
    private: bool | None,
    revision: str | None,
    create_pr: bool,
    commit_message: str | None,
) -> str:
    check_upload(token=token, revision=revision, create_pr=create_pr)
    api = access.connect(token)
    try:
        with access.session():
            if "/" not in repo_id or not api.repo_exists(repo_id):
                repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
        with access.session(access.COMMIT_PATIENCE):
            commit = send(
                api,
                repo_id=repo_id,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message or "Upload with hrm-codegen",
            )
    except Exception as error:
        raise access.explain(error, repo_id, token=token, doing="upload", path=path) from error
    _LOGGER.info("uploaded %s as %s", path, commit.commit_url)
    if commit.pr_url:
        return str(commit.pr_url)
    page = f"{access.endpoint()}/{repo_id}"
    return page if revision is None else f"{page}/tree/{revision}"
