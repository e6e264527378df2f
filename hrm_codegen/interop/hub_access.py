"""How this project talks to the Hugging Face Hub: where, with which token, how long, and what its errors mean.

Why: huggingface_hub waits for ever on a server that does not answer, reads half of its environment once and for all
at import, and says "404 Client Error" for five different causes. Not here: what is fetched or sent; see `hub.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hrm_codegen.errors import CheckpointError, HRMCodeGenError, ModelNotFoundError, UsageError
from hrm_codegen.version import __version__

PATIENCE = 10.0  # seconds to wait for a connection, or for an answer
COMMIT_PATIENCE = 120.0  # seconds to wait for an answer while the server takes a commit in
LOG_IN = "set HF_TOKEN or run `hf auth login`"
_MOST_LISTED = 10
_MOST_UNANSWERED = 3
_SESSION = threading.RLock()
_TRUE = {"1", "ON", "YES", "TRUE"}
# Of httpx and of requests, on which earlier releases of huggingface_hub stand; by name, so that neither is imported.
_UNREACHABLE = {"TransportError", "ConnectionError", "Timeout", "OfflineModeIsEnabled"}
_SERVER_FAILED = 500
_TOO_MANY_REQUESTS = 429


def endpoint() -> str:
    """Returns the server: `HF_ENDPOINT` as it is now, whenever huggingface_hub was imported."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Returns the absolute folder of downloaded repositories: as given, or `HF_HUB_CACHE`, or `HF_HOME`'s `hub`."""
    from huggingface_hub import constants

    home = os.environ.get("HF_HOME")
    named = cache_dir or os.environ.get("HF_HUB_CACHE") or (Path(home) / "hub" if home else constants.HF_HUB_CACHE)
    return Path(named).expanduser().resolve()


def is_offline() -> bool:
    """Says whether `HF_HUB_OFFLINE` (or `TRANSFORMERS_OFFLINE`) forbids the network."""
    from huggingface_hub import constants

    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return bool(constants.HF_HUB_OFFLINE) or any(os.environ.get(name, "").upper() in _TRUE for name in names)


def connect(token: str | bool | None) -> Any:
    """Returns an `HfApi` of `endpoint()`."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint(), token=token, library_name="hrm-codegen", library_version=__version__)


@contextlib.contextmanager
def session(patience: float | None = None) -> Iterator[None]:
    """Within it a dead server is given up soon, and there are no progress bars unless stderr is a terminal.

    One at a time: timeouts and hooks are those of a client which all threads share.

    Args:
      patience: Seconds to wait for an answer; None: `PATIENCE`.
    """
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        get_session,
    )

    with _SESSION:
        client: Any = get_session()
        limited = hasattr(client, "event_hooks")  # requests.Session, of earlier releases, has none
        decided = are_progress_bars_disabled() or "HF_HUB_DISABLE_PROGRESS_BARS" in os.environ
        hidden = not decided and not sys.stderr.isatty()
        if limited:
            before, hooks = client.timeout, client.event_hooks
            client.timeout = PATIENCE if patience is None else patience
            client.event_hooks = _limits(hooks, PATIENCE if patience is None else patience)
        if hidden:
            disable_progress_bars()
        try:
            yield
        finally:
            if limited:
                client.timeout, client.event_hooks = before, hooks
            if hidden:
                enable_progress_bars()


def _limits(hooks: Mapping[str, list[Any]], patience: float) -> dict[str, list[Any]]:
    """Adds to a client's hooks: no longer waits (huggingface_hub has one of a minute), and few of them in a row."""
    unanswered: Counter[tuple[str, str]] = Counter()

    def ask(request: Any) -> None:
        waits = request.extensions.get("timeout", {})
        for kind in ("connect", "read", "pool"):
            waits[kind] = min(waits.get(kind) or patience, patience)
        key = request.method, str(request.url)
        unanswered[key] += 1
        if unanswered[key] > _MOST_UNANSWERED:
            raise ConnectionError(f"no answer to {_MOST_UNANSWERED} requests")

    def answer(response: Any) -> None:
        unanswered.pop((response.request.method, str(response.request.url)), None)

    added = {"request": ask, "response": answer}
    return {kind: [*hooks.get(kind, []), hook] for kind, hook in added.items()}


def is_unreachable(error: BaseException) -> bool:
    """Says whether the server could not be reached, or is out of order: a cached copy will do then."""
    status = _status(error)
    if status is not None:
        return status >= _SERVER_FAILED or status == _TOO_MANY_REQUESTS
    return any(kind.__name__ in _UNREACHABLE for link in _chain(error) for kind in type(link).__mro__)


def explain(error: Exception, repo_id: str, *, token: str | bool | None, doing: str, path: Path) -> HRMCodeGenError:
    """Turns an error of huggingface_hub into one that names the place and the way out.

    Args:
      error: What it raised.
      repo_id: Of the repository.
      token: As given; decides only what is said about it.
      doing: `download` or `upload`.
      path: The folder that is written to or read.
    """
    from huggingface_hub import errors

    place = f"{repo_id} on {endpoint()}"
    status = _status(error)
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{repo_id!r} is no name of a repository: it must be like org/name")
    if isinstance(error, errors.GatedRepoError):
        return ModelNotFoundError(
            f"{place} is gated: ask for access on {endpoint()}/{repo_id}, then {LOG_IN} ({describe_token(token)})"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFoundError(
            f"repository {place} not found: it does not exist, or it is private and not open to you "
            f"({describe_token(token)}): check the name, or {LOG_IN}"
        )
    if status == 401:
        return CheckpointError(
            f"{place}: the token is not accepted, it is wrong or has expired ({describe_token(token)}): {LOG_IN}"
        )
    if status == 403:
        return CheckpointError(
            f"{place}: no permission to {doing} ({describe_token(token)}): {server_message(error)}. The token needs "
            f"the right to {'write' if doing == 'upload' else 'read'}, and its owner a place in {repo_id.split('/')[0]}"
        )
    if any(isinstance(link, OSError) and link.errno == errno.ENOSPC for link in _chain(error)):
        return CheckpointError(
            f"no space left on the disk of {path}: make room, or name another folder with cache_dir or HF_HOME"
        )
    if isinstance(error, PermissionError):
        return CheckpointError(
            f"cannot write to {path}: {error.strerror}. Name another folder with cache_dir or HF_HOME"
        )
    if status is not None and is_unreachable(error):
        return CheckpointError(f"{endpoint()} is out of order (HTTP {status}); {doing} {repo_id} again later")
    if is_unreachable(error):
        return CheckpointError(
            f"{endpoint()} cannot be reached ({reason(error)}): check the connection{_proxy()} and HF_ENDPOINT"
        )
    return CheckpointError(f"{doing} of {place} failed: {reason(error)}")


def describe_token(token: str | bool | None) -> str:
    """Says where the token comes from, never what it is."""
    if token is False or (token in (None, True) and not has_token(token)):
        return "no token is set"
    if isinstance(token, str):
        return "with the token given"
    return "with the token of HF_TOKEN" if os.environ.get("HF_TOKEN") else "with the token of `hf auth login`"


def has_token(token: str | bool | None) -> bool:
    """Says whether there is a token, given, in the environment, or stored by `hf auth login`."""
    from huggingface_hub import get_token

    return bool(token) if isinstance(token, str) or token is False else get_token() is not None


def reason(error: BaseException) -> str:
    """Returns the innermost error's name and first line."""
    inner = _chain(error)[-1]
    lines = str(inner).strip().splitlines()
    return f"{type(inner).__name__}: {lines[0]:.200}" if lines else type(inner).__name__


def server_message(error: BaseException) -> str:
    """Returns what the server said, or the first line of the error."""
    return str(getattr(error, "server_message", None) or reason(error)).rstrip(".")


def listing(names: list[str]) -> str:
    """Returns the first names, with commas."""
    return ", ".join(names[:_MOST_LISTED]) + (f", ... ({len(names)} in all)" if len(names) > _MOST_LISTED else "")


def _status(error: BaseException) -> int | None:
    for link in _chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """Returns the error and what caused it, outermost first."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def _proxy() -> str:
    named = [name for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") if os.environ.get(name)]
    return f", the proxy in {' and '.join(named)}" if named else ""
