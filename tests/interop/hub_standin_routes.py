"""The routes of `hub_standin.py`: what huggingface_hub asks, and what the Hub would answer."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from hub_standin import Fault, HubStandin, Repository

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".onnx", ".gguf")


def commit_of(files: dict[str, bytes]) -> str:
    """Returns the name of a commit with these files."""
    parts = [f"{path}:{hashlib.sha1(data).hexdigest()}" for path, data in sorted(files.items())]
    return hashlib.sha1("\n".join(parts).encode()).hexdigest()


def etag_of(path: str, data: bytes) -> str:
    """Returns the sha256 of an LFS file, or git's name of a small one."""
    if path.endswith(LFS_SUFFIXES):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers for `self.hub`."""

    hub: HubStandin
    protocol_version = "HTTP/1.1"
    fault: Fault | None = None

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.query = parse_qs(urlsplit(self.path).query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = self.hub.note(self.command, path, self.headers.get("Authorization"), self.headers.get("Range"))
        self.user = self.hub.users.get((asked.authorization or "").removeprefix("Bearer "))
        self.fault = self.hub.take_fault(f"{self.command} {path}")
        if self.fault is not None and self.fault.kind in ("close", "hang"):
            time.sleep(self.fault.value if self.fault.kind == "hang" else 0)
            self.close_connection = True
            return
        if self.fault is not None and self.fault.kind == "status":
            self.answer(int(self.fault.value), {"error": "out of order"})
            return
        if asked.authorization and self.user is None and not path.startswith("/lfs/"):
            self.refuse(401, message="Invalid credentials in Authorization header")
            return
        for pattern, method in _ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                getattr(self, method)(*match.groups())
                return
        self.refuse(404, message=f"no such route: {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        """Sends JSON, or bytes."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault is not None and self.fault.kind == "cut":
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def refuse(self, status: int, *, code: str = "", message: str = "") -> None:
        self.answer(status, {"error": message or code}, {"X-Error-Code": code, "X-Error-Message": message})

    def find(self, repo_id: str, *, write: bool = False) -> Repository | None:
        """Returns the repository, or answers why not."""
        repo = self.hub.repositories.get(repo_id)
        if repo is None or (repo.private and self.user != repo_id.split("/")[0]):
            self.refuse(404 if self.user else 401, code="RepoNotFound", message="Repository not found")
            return None
        if write and self.user != repo_id.split("/")[0]:
            self.refuse(403, message=f"you have no write access to {repo_id}")
            return None
        return repo

    def find_files(self, repo_id: str, revision: str) -> dict[str, bytes] | None:
        repo = self.find(repo_id)
        files = repo.files(revision) if repo else None
        if repo and files is None:
            self.refuse(404, code="RevisionNotFound", message=f"Invalid rev id: {revision}")
        return files

    def info(self, repo_id: str, revision: str | None = None) -> None:
        if (files := self.find_files(repo_id, revision or "main")) is not None:
            siblings = [{"rfilename": path} for path in files]
            repo = self.hub.repositories[repo_id]
            content = {
                "id": repo_id,
                "sha": commit_of(files),
                "siblings": siblings,
                "private": repo.private,
                "tags": [],
            }
            self.answer(200, content)

    def tree(self, repo_id: str, revision: str) -> None:
        if (files := self.find_files(repo_id, revision)) is not None:
            entries: list[dict[str, Any]] = []
            for path, data in files.items():
                entry = {"type": "file", "path": path, "size": len(data), "oid": etag_of(path, data)[:40]}
                if path.endswith(LFS_SUFFIXES):
                    entry["lfs"] = {"oid": etag_of(path, data), "size": len(data), "pointerSize": 130}
                entries.append(entry)
            self.answer(200, entries)

    def refs(self, repo_id: str) -> None:
        if repo := self.find(repo_id):
            kinds = {"branches": ("heads", repo.branches), "tags": ("tags", repo.tags)}
            content = {
                kind: [{"name": n, "ref": f"refs/{ref}/{n}", "targetCommit": commit_of(x)} for n, x in named.items()]
                for kind, (ref, named) in kinds.items()
            }
            self.answer(200, content | {"converts": []})

    def resolve(self, repo_id: str, revision: str, path: str) -> None:
        files = self.find_files(repo_id, revision)
        if files is None:
            return
        if self.hub.repositories[repo_id].gated and self.user != repo_id.split("/")[0]:
            self.refuse(403, code="GatedRepo", message="Access to this model is restricted")
            return
        if path not in files:
            self.refuse(404, code="EntryNotFound", message="Entry not found")
            return
        data, headers = files[path], {"X-Repo-Commit": commit_of(files), "Accept-Ranges": "bytes"}
        headers["ETag"] = f'"{etag_of(path, data)}"'
        if path.endswith(LFS_SUFFIXES):
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(data))}
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            start = int(match[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], headers)
        else:
            self.answer(200, data, headers)

    def whoami(self) -> None:
        if self.user:
            self.answer(200, {"type": "user", "name": self.user, "orgs": []})
        else:
            self.refuse(401, message="Invalid username or password.")

    def create(self) -> None:
        asked = json.loads(self.body)
        namespace = asked.get("organization") or self.user
        repo_id = f"{namespace}/{asked['name']}"
        url = {"url": f"{self.hub.url}/{repo_id}"}
        if self.user is None or namespace != self.user:
            self.refuse(403, message=f'You don\'t have the rights to create a model under the namespace "{namespace}"')
        elif repo_id in self.hub.repositories:
            self.answer(409, url | {"error": "You already created this model repo"})
        else:
            self.hub.add(repo_id, {}, private=asked.get("visibility") == "private" or bool(asked.get("private")))
            self.answer(200, url)

    def branch(self, repo_id: str, branch: str) -> None:
        if repo := self.find(repo_id, write=True):
            exists = branch in repo.branches
            repo.branches.setdefault(branch, dict(repo.branches["main"]))
            self.answer(409 if exists else 201, {"error": "Reference already exists"} if exists else {})

    def preupload(self, repo_id: str, _revision: str) -> None:
        if self.find(repo_id, write="create_pr" not in self.query):
            files = json.loads(self.body)["files"]
            modes = {True: "lfs", False: "regular"}
            entries = [
                {"path": f["path"], "uploadMode": modes[f["path"].endswith(LFS_SUFFIXES)], "shouldIgnore": False}
                for f in files
            ]
            self.answer(200, {"files": entries})

    def lfs_batch(self, repo_id: str) -> None:
        if self.find(repo_id):
            objects = [
                x | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{x['oid']}", "header": {}}}}
                for x in json.loads(self.body)["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        self.hub.blobs[oid] = self.body
        self.answer(200 if hashlib.sha256(self.body).hexdigest() == oid else 400, {})

    def commit(self, repo_id: str, revision: str) -> None:
        pull_request = "create_pr" in self.query
        repo = self.find(repo_id, write=not pull_request)
        if repo is None:
            return
        if revision not in repo.branches:
            self.refuse(404, code="RevisionNotFound", message=f"Invalid rev id: {revision}")
            return
        if pull_request:
            revision, repo.branches["refs/pr/1"] = "refs/pr/1", dict(repo.branches[revision])
        files = repo.branches[revision]
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                repo.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
        commit, page = commit_of(files), f"{self.hub.url}/{repo_id}"
        content = {"success": True, "commitOid": commit, "commitUrl": f"{page}/commit/{commit}"}
        self.answer(200, content | {"pullRequestUrl": f"{page}/discussions/1" if pull_request else None})

    def validate_yaml(self) -> None:
        self.answer(200, {"errors": [], "warnings": []})


_ID = r"([^/]+/[^/]+)"
_ROUTES = [
    (rf"GET /api/models/{_ID}", "info"),
    (rf"GET /api/models/{_ID}/revision/(.+)", "info"),
    (rf"GET /api/models/{_ID}/tree/(.+)", "tree"),
    (rf"GET /api/models/{_ID}/refs", "refs"),
    (rf"(?:GET|HEAD) /{_ID}/resolve/([^/]+)/(.+)", "resolve"),
    (r"GET /api/whoami-v2", "whoami"),
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "validate_yaml"),
    (rf"POST /api/models/{_ID}/branch/(.+)", "branch"),
    (rf"POST /api/models/{_ID}/preupload/(.+)", "preupload"),
    (rf"POST /api/models/{_ID}/commit/(.+)", "commit"),
    (r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch", "lfs_batch"),
    (r"PUT /lfs/([0-9a-f]{64})", "lfs_put"),
]
