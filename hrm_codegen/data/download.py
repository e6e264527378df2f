"""One public file, downloaded once, checked by its hash and kept in a cache.

The standard library is enough: no hub client. Gives up within 15 seconds when nothing answers, and then says what to
do instead.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import queue
import threading
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from hrm_codegen.config.files import atomic_write
from hrm_codegen.errors import DatasetError

_log = logging.getLogger("hrm_codegen.data")

# Seconds without an answer; the second limit also covers name look-ups and several addresses of one host.
_TIMEOUT, _OPEN_LIMIT = 10.0, 12.0
_MAX_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file with a fixed content.

    Attributes:
      dataset: Its data set's name, for messages.
      filename: Its name in the cache.
      url: Where it is.
      sha256: Of its content.
      url_variable: Environment variable with another URL (a mirror, or `file://` for a local copy).
    """

    dataset: str
    filename: str
    url: str
    sha256: str
    url_variable: str

    @property
    def resolved_url(self) -> str:
        """The URL that is used."""
        return os.environ.get(self.url_variable) or self.url

    @property
    def cache_path(self) -> Path:
        """Where the download is kept."""
        return cache_dir() / "datasets" / self.filename


def cache_dir() -> Path:
    """Returns `$HRM_CODEGEN_CACHE`, or `~/.cache/hrm-codegen`."""
    return Path(os.environ.get("HRM_CODEGEN_CACHE") or "~/.cache/hrm-codegen").expanduser()


def cached(remote: RemoteFile) -> Path | None:
    """Returns the cached file if it is there with the right content."""
    path = remote.cache_path
    if not path.is_file():
        return None
    if _sha256(path.read_bytes()) == remote.sha256:
        return path
    _log.warning("%s has another sha256 than %s should have: not used", path, remote.filename)
    return None


def fetch(remote: RemoteFile) -> Path:
    """Returns a local path of the file, downloading it at most once.

    A `file://` URL is a local copy like `--source FILE`: used where it is, its hash not enforced.

    Raises:
      DatasetError: No network, or another content; with three ways out.
    """
    url = remote.resolved_url
    if urlsplit(url).scheme == "file":
        return _local_copy(remote, Path(urllib.request.url2pathname(urlsplit(url).path)))
    kept = cached(remote)
    if kept is not None:
        return kept
    _log.info("downloading %s", url)
    try:
        data = _download(url)
    except (OSError, HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", None) or error
        raise DatasetError(f"cannot download {url}: {reason}\n{_ways_out(remote)}") from error
    if _sha256(data) != remote.sha256:
        raise DatasetError(
            f"{url} gave {len(data)} bytes with sha256 {_sha256(data)}, expected {remote.sha256}\n{_ways_out(remote)}"
        )
    with atomic_write(remote.cache_path, "wb") as file:
        file.write(data)
    return remote.cache_path


def _local_copy(remote: RemoteFile, path: Path) -> Path:
    if not path.is_file():
        raise DatasetError(f"{remote.url_variable}={remote.resolved_url}: no such file: {path}")
    if _sha256(path.read_bytes()) != remote.sha256:
        _log.warning("%s is not the official %s (another sha256): used as it is", path, remote.filename)
    return path


def _download(url: str) -> bytes:
    # A socket's time limit covers neither the name look-up nor the second address of a host, so the opening gets a
    # thread that can be left behind.
    answer: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def open_url() -> None:
        try:
            answer.put(urllib.request.urlopen(url, timeout=_TIMEOUT))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=open_url, daemon=True).start()
    try:
        response = answer.get(timeout=_OPEN_LIMIT)
    except queue.Empty:
        raise TimeoutError(f"no answer within {_OPEN_LIMIT:.0f} s") from None
    if isinstance(response, Exception):
        raise response
    with response:
        data = response.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    return data


def _ways_out(remote: RemoteFile) -> str:
    return (
        f"without a network: put {remote.filename} at {remote.cache_path},\n"
        f"or give a local copy: hrm-codegen data {remote.dataset} --source FILE,\n"
        "or use the built-in suite: hrm-codegen data basics"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
