"""A stand-in for the Hugging Face Hub: the part of its HTTP interface that huggingface_hub needs, in one thread pool.

Why: the tests have no network, and want to see every request and to break transfers at will. Repositories are plain
dicts `{path: bytes}`. Not a Hub: no XET, no history but the newest commit of a branch, and every known token may
write wherever its user's name is the namespace.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hub_standin_routes import Handler, commit_of
from huggingface_hub import close_session, constants

TOKEN = "hf_secretsecret"  # of the user "me"


@dataclasses.dataclass
class Repository:
    """Files by branch or tag; commits are named by their content."""

    branches: dict[str, dict[str, bytes]]
    tags: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    private: bool = False
    gated: bool = False
    messages: list[str] = dataclasses.field(default_factory=list)  # of the commits made through HTTP

    def files(self, revision: str) -> dict[str, bytes] | None:
        """Returns the files of a branch, a tag, or a commit."""
        named = self.branches | self.tags
        by_commit = {commit_of(files): files for files in named.values()}
        return named.get(revision, by_commit.get(revision))


@dataclasses.dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    authorization: str | None
    range: str | None


@dataclasses.dataclass
class Fault:
    """What happens instead of an answer to a request that matches, so many times.

    Kinds: `cut` (half of the body, then the end of the connection), `close` (no answer at all), `hang` (for `value`
    seconds), and `status` (the status `value`).
    """

    pattern: str
    kind: str
    times: int = 1
    value: float = 500


class HubStandin:
    """The server; use it as a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.users = {TOKEN: "me"}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.blobs: dict[str, bytes] = {}  # uploaded with LFS, by sha256
        self.lock = threading.Lock()
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> HubStandin:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes the port: connections are refused from now on."""
        self.server.shutdown()
        self.server.server_close()
        close_session()  # its threads would go on to answer on connections that are kept open

    def add(self, repo_id: str, files: dict[str, bytes], **kwargs: Any) -> Repository:
        """Adds a repository with these files on main."""
        self.repositories[repo_id] = Repository(branches={"main": dict(files)}, **kwargs)
        return self.repositories[repo_id]

    def note(self, method: str, path: str, authorization: str | None, range_: str | None) -> Request:
        """Records a request."""
        self.requests.append(Request(method, path, authorization, range_))
        return self.requests[-1]

    def asked(self, pattern: str = "") -> list[Request]:
        """Returns the requests so far whose `METHOD path` has a match."""
        return [request for request in self.requests if re.search(pattern, f"{request.method} {request.path}")]

    def take_fault(self, line: str) -> Fault | None:
        """Returns the next fault for a request, and uses it up."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None


def isolated_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandin]:
    """The body of a fixture: a server, an empty cache, and nothing of the user's account."""
    from hrm_codegen.interop import find

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # which the stand-in does not speak
    monkeypatch.setattr(find, "_downloaded", {})
    with HubStandin() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
