"""Download from the Hub, and what is said when that is not possible."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest
from hub_standin import TOKEN, Fault, HubStandin, isolated_hub

from hrm_codegen.errors import CheckpointError, HRMCodeGenError, ModelNotFoundError, UsageError
from hrm_codegen.interop import hub_access
from hrm_codegen.interop.hub import HubOptions, download, upload

WEIGHTS = os.urandom(50_000)
MODEL = {"config.json": b"{}", "tokenizer.json": b"{ }", "README.md": b"# x", "model.safetensors": WEIGHTS}
SHARDS = {
    "config.json": b"{}",
    "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors", '
    b'"b": "model-00002-of-00002.safetensors"}}',
    "model-00001-of-00002.safetensors": b"one",
    "model-00002-of-00002.safetensors": b"two",
}
GET_WEIGHTS = r"GET .*/model\.safetensors"
hub = pytest.fixture(isolated_hub)


def failure(name: str = "me/x", error: type[HRMCodeGenError] = ModelNotFoundError, **options) -> str:
    """Returns the message of a download that fails with exactly this error."""
    with pytest.raises(error) as caught:
        download(name, HubOptions(**options))
    assert type(caught.value) is error
    return str(caught.value)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_uploaded_comes_back(hub: HubStandin, tmp_path: Path) -> None:
    for name, data in MODEL.items():
        (tmp_path / name).write_bytes(data)
    upload(tmp_path, "me/x", token=TOKEN, private=True, ignore_patterns="hf/*")
    assert content(download("me/x", HubOptions(token=TOKEN))) == MODEL


@pytest.mark.parametrize("given", [True, False])
def test_every_request_has_the_token(hub: HubStandin, tmp_path: Path, monkeypatch, given: bool) -> None:
    if not given:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    token = TOKEN if given else None
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "best.pt").write_bytes(WEIGHTS)
    upload(tmp_path / "up", "me/x", token=token, revision="dev")
    download("me/x", HubOptions(token=token, revision="dev"))
    own = [r for r in hub.requests if r.path != "/api/agent-harnesses" and not r.path.startswith("/lfs/")]
    assert len(own) >= 8
    assert {request.authorization for request in own} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("published", "fetched"),
    [
        ({"model.safetensors", "best.pt", "pytorch_model.bin", "pytorch_model.bin.index.json"}, {"model.safetensors"}),
        ({"best.pt", "last.pt", "pytorch_model.bin"}, {"best.pt"}),
        ({"some.pt"}, {"some.pt"}),
        ({"pytorch_model.bin", "flax_model.msgpack", "tf_model.h5"}, {"pytorch_model.bin"}),
        ({"odd.safetensors", "onnx/model.onnx", "runs/events.json", ".gitattributes"}, {"odd.safetensors"}),
        (set(SHARDS) | {"pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"}, set(SHARDS)),
        ({"model.safetensors", "model.safetensors.index.json"}, {"model.safetensors"}),
        ({"best.pt", "config.yaml", "merges.txt", "LICENSE"}, {"best.pt", "config.yaml", "merges.txt", "LICENSE"}),
    ],
)
def test_only_what_a_model_needs_is_fetched(hub: HubStandin, published, fetched) -> None:
    hub.add("me/x", {name: name.encode() for name in published})
    assert set(content(download("me/x"))) == fetched


def test_force_download_fetches_again(hub: HubStandin) -> None:
    hub.add("me/x", MODEL)
    for forced, transfers in ((False, 1), (False, 1), (True, 2)):
        download("me/x", HubOptions(force_download=forced))
        assert len(hub.asked(GET_WEIGHTS)) == transfers


def test_a_cache_of_ones_own(hub: HubStandin, tmp_path: Path) -> None:
    hub.add("me/x", MODEL)
    assert download("me/x", HubOptions(cache_dir=tmp_path / "own")).is_relative_to(tmp_path / "own")


@pytest.mark.parametrize("way", ["option", "environment"])
def test_offline_takes_the_copy_and_asks_nobody(hub: HubStandin, monkeypatch, way: str) -> None:
    hub.add("me/x", MODEL)
    online = download("me/x")
    asked = len(hub.requests)
    if way == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert download("me/x", HubOptions(local_files_only=way == "option")) == online
    assert len(hub.requests) == asked


def test_offline_without_a_copy(hub: HubStandin, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = failure()
    for part in ("me/x is not in the cache", str(tmp_path / "hf" / "hub"), "HF_HUB_OFFLINE is set", "local_files_only"):
        assert part in message
    assert not hub.requests


def test_offline_another_revision(hub: HubStandin) -> None:
    hub.add("me/x", MODEL)
    download("me/x")
    assert "at revision 'dev' is not in the cache" in failure(revision="dev", local_files_only=True)


def test_force_download_contradicts_offline(hub: HubStandin) -> None:
    assert "local_files_only is set" in failure(error=UsageError, local_files_only=True, force_download=True)


def test_connection_refused(hub: HubStandin) -> None:
    hub.stop()
    start = time.monotonic()
    message = failure()
    assert time.monotonic() - start < 15
    for part in (f"{hub.url} cannot be reached (ConnectError", "is not in the cache", "HF_ENDPOINT"):
        assert part in message


@pytest.mark.parametrize("pattern", ["GET .*/x$", "GET .*/tree/", "HEAD .*/model.safetensors"])
def test_a_server_that_does_not_answer(hub: HubStandin, monkeypatch, pattern: str) -> None:
    monkeypatch.setattr(hub_access, "PATIENCE", 0.2)
    monkeypatch.setattr(hub_access, "_MOST_UNANSWERED", 1)  # huggingface_hub sleeps between them
    hub.add("me/x", MODEL)
    hub.faults.append(Fault(pattern, "hang", times=99, value=2))
    start = time.monotonic()
    message = failure(error=ModelNotFoundError if pattern.endswith("$") else CheckpointError)
    assert f"{hub.url} cannot be reached" in message
    assert ("1 of 4 files are missing: model.safetensors" in message) is ("safetensors" in pattern)
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("fault", ["refused", "500", "close"])
def test_a_dead_server_is_replaced_by_the_copy(hub: HubStandin, caplog, fault: str) -> None:
    hub.add("me/x", MODEL)
    online = download("me/x")
    if fault == "refused":
        hub.stop()
    else:
        hub.faults.append(Fault("/api/models/", "close" if fault == "close" else "status"))
    assert download("me/x") == online
    assert "using the copy in" in caplog.text


def test_a_broken_server_without_a_copy(hub: HubStandin) -> None:
    hub.faults.append(Fault("/api/models/", "status", value=503))
    assert f"{hub.url} is out of order (HTTP 503)" in failure()


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("token", [None, "hf_other"])
def test_missing_and_private_are_told_alike(hub: HubStandin, private: bool, token: str | None) -> None:
    hub.users["hf_other"] = "other"
    if private:
        hub.add("me/x", MODEL, private=True)
    message = failure(token=token)
    for part in ("does not exist, or it is private", "set HF_TOKEN or run `hf auth login`", hub.url, "me/x"):
        assert part in message
    assert ("with the token given" if token else "no token is set") in message


def test_token_that_is_not_known(hub: HubStandin) -> None:
    hub.add("me/x", MODEL)
    message = failure(error=CheckpointError, token="hf_expired")
    assert "token is not accepted" in message
    assert "hf_expired" not in message


def test_gone_from_the_server_but_in_the_cache(hub: HubStandin) -> None:
    hub.add("me/x", MODEL)
    download("me/x")
    hub.repositories.clear()
    assert "local_files_only takes it" in failure()


def test_gated(hub: HubStandin) -> None:
    hub.add("me/x", MODEL, gated=True)
    message = failure()
    assert f"is gated: ask for access on {hub.url}/me/x" in message
    assert content(download("me/x", HubOptions(token=TOKEN))) == MODEL


def test_unknown_revision_names_those_there_are(hub: HubStandin) -> None:
    repo = hub.add("me/x", MODEL)
    repo.branches["dev"], repo.tags["v1"] = dict(MODEL), dict(MODEL)
    message = failure(revision="v2")
    assert "has no revision 'v2'; it has the branches main, dev and the tags v1" in message


@pytest.mark.parametrize(
    ("files", "said"), [({"data.csv": b"", "README.md": b""}, "README.md, data.csv"), ({}, "empty")]
)
def test_repository_without_a_model(hub: HubStandin, files, said: str) -> None:
    hub.add("me/x", files)
    message = failure()
    assert "has no model file" in message
    assert said in message


def test_a_cut_transfer_goes_on_where_it_stopped(hub: HubStandin, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what it keeps of a cut transfer
    hub.add("me/x", MODEL)
    hub.faults.append(Fault(GET_WEIGHTS, "cut"))
    assert content(download("me/x")) == MODEL
    assert [request.range for request in hub.asked(GET_WEIGHTS)] == [None, f"bytes={len(WEIGHTS) // 2}-"]


def test_half_downloaded_says_what_is_missing_and_the_same_command_goes_on(hub: HubStandin) -> None:
    hub.add("me/x", MODEL)
    hub.faults.append(Fault(GET_WEIGHTS, "status"))
    message = failure(error=CheckpointError)
    assert "1 of 4 files are missing: model.safetensors" in message
    assert "the same command goes on from there" in message
    assert content(download("me/x")) == MODEL
    assert len(hub.asked(r"GET .*/config\.json")) == 1


def test_half_downloaded_and_offline(hub: HubStandin) -> None:
    hub.add("me/x", MODEL)
    hub.faults.append(Fault(GET_WEIGHTS, "status"))
    failure(error=CheckpointError)
    message = failure(error=CheckpointError, local_files_only=True)
    assert "is half-downloaded, without model.safetensors, " in message
    assert "completes it once there is a connection" in message


@pytest.mark.parametrize("with_tree", [True, False])
def test_missing_shards_are_named_offline(hub: HubStandin, with_tree: bool) -> None:
    hub.add("me/x", SHARDS)
    folder = download("me/x")
    (folder / "model-00002-of-00002.safetensors").unlink()
    if not with_tree:  # as with a cache that other programs have filled
        next((folder.parents[1] / "trees").iterdir()).unlink()
    assert "without model-00002-of-00002.safetensors," in failure(error=CheckpointError, local_files_only=True)


def test_no_space_left(hub: HubStandin, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.add("me/x", MODEL)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    message = failure(error=CheckpointError)
    assert f"no space left on the disk of {tmp_path / 'hf' / 'hub'}" in message
    assert "cache_dir or HF_HOME" in message


def test_the_session_is_left_as_it_was(hub: HubStandin) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled, get_session

    def state() -> tuple[object, ...]:
        return get_session().timeout, get_session().event_hooks, are_progress_bars_disabled()

    before = state()
    hub.add("me/x", MODEL)
    download("me/x")
    assert state() == before


def test_importing_is_cheap() -> None:
    code = "import hrm_codegen.interop.find, sys; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
