"""Upload to the Hub, and what is said when that is not possible."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_standin import TOKEN, Fault, HubStandin, isolated_hub
from huggingface_hub import constants

from hrm_codegen.errors import CheckpointError, ModelNotFoundError, UsageError
from hrm_codegen.interop.hub import upload, upload_file

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "README.md": b"---\nlicense: mit\n---\n"}
hub = pytest.fixture(isolated_hub)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "up"
    path.mkdir()
    for name, data in FILES.items():
        (path / name).write_bytes(data)
    return path


@pytest.fixture
def token(hub: HubStandin, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.mark.usefixtures("token")
def test_one_commit_makes_the_repository(hub: HubStandin, folder: Path) -> None:
    assert upload(folder, "me/x", private=True, commit_message="First") == f"{hub.url}/me/x"
    repo = hub.repositories["me/x"]
    assert repo.branches == {"main": FILES}
    assert repo.messages == ["First"]
    assert repo.private


@pytest.mark.usefixtures("token")
def test_a_missing_branch_is_made(hub: HubStandin, folder: Path) -> None:
    hub.add("me/x", {"old": b"1"})
    for _ in range(2):
        assert upload(folder, "me/x", revision="dev") == f"{hub.url}/me/x/tree/dev"
    assert hub.repositories["me/x"].branches == {"main": {"old": b"1"}, "dev": FILES | {"old": b"1"}}


@pytest.mark.usefixtures("token")
def test_a_pull_request_leaves_main_alone(hub: HubStandin, folder: Path) -> None:
    hub.add("me/x", {})
    assert upload(folder, "me/x", create_pr=True) == f"{hub.url}/me/x/discussions/1"
    assert hub.repositories["me/x"].branches == {"main": {}, "refs/pr/1": FILES}


@pytest.mark.usefixtures("token")
def test_patterns(hub: HubStandin, folder: Path) -> None:
    hub.add("me/x", {"old.json": b"1", "old.txt": b"2"})
    upload(folder, "me/x", allow_patterns=["*.json", "*.md"], ignore_patterns="*.md", delete_patterns="*.txt")
    assert set(hub.repositories["me/x"].branches["main"]) == {"old.json", "config.json"}


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(("given", "name"), [(None, "m.onnx"), ("onnx/model.onnx", "onnx/model.onnx")])
def test_a_file(hub: HubStandin, tmp_path: Path, given: str | None, name: str) -> None:
    (tmp_path / "m.onnx").write_bytes(b"graph")
    upload_file(tmp_path / "m.onnx", "me/x", path_in_repo=given)
    assert hub.repositories["me/x"].branches["main"] == {name: b"graph"}


def test_without_a_token_nothing_is_asked(hub: HubStandin, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"needs a token: set HF_TOKEN or run `hf auth login`"):
        upload(folder, "me/x")
    assert not hub.requests


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("exists", [True, False])
def test_no_permission(hub: HubStandin, folder: Path, exists: bool) -> None:
    if exists:
        hub.add("other/x", {})
    with pytest.raises(CheckpointError, match=r"other/x on http.*: no permission to upload .*the right to write"):
        upload(folder, "other/x")


def test_token_that_is_not_known(hub: HubStandin, folder: Path) -> None:
    with pytest.raises(CheckpointError, match="token is not accepted") as caught:
        upload(folder, "me/x", token="hf_expired")
    assert "hf_expired" not in str(caught.value)


@pytest.mark.usefixtures("token")
def test_no_connection(hub: HubStandin, folder: Path) -> None:
    hub.stop()
    with pytest.raises(CheckpointError, match="cannot be reached"):
        upload(folder, "me/x")


@pytest.mark.usefixtures("token")
def test_broken_in_the_middle(hub: HubStandin, folder: Path) -> None:
    hub.faults.append(Fault("/commit/", "status", times=9, value=507))
    with pytest.raises(CheckpointError, match=r"out of order \(HTTP 507\); upload me/x again later"):
        upload(folder, "me/x")


@pytest.mark.usefixtures("token")
def test_offline(hub: HubStandin, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        upload(folder, "me/x")
    assert not hub.requests


@pytest.mark.usefixtures("token")
def test_arguments_that_contradict_each_other(hub: HubStandin, folder: Path) -> None:
    with pytest.raises(UsageError, match="either create_pr or revision"):
        upload(folder, "me/x", revision="dev", create_pr=True)
    with pytest.raises(UsageError, match="no name of a repository"):
        upload(folder, "me/x/y")


@pytest.mark.usefixtures("token")
def test_nothing_there(hub: HubStandin, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="is no folder"):
        upload(tmp_path / "none", "me/x")
    with pytest.raises(ModelNotFoundError, match="is no file"):
        upload_file(tmp_path, "me/x")


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("owner", ["me", "other"])
def test_with_xet_as_users_have_it(hub: HubStandin, folder: Path, monkeypatch, owner: str) -> None:
    """Another code path of huggingface_hub; the weights, which it would send with XET, stay at home."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.add(f"{owner}/x", {})
    if owner == "me":
        upload(folder, "me/x", ignore_patterns="*.safetensors")
        assert set(hub.repositories["me/x"].branches["main"]) == {"config.json", "README.md"}
    else:
        with pytest.raises(CheckpointError, match="no permission to upload"):
            upload(folder, "other/x", ignore_patterns="*.safetensors")
