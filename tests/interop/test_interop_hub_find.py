"""Names of repositories, and how `find_bundle` looks them up: here first, then on the Hub, and there once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_standin import HubStandin, isolated_hub

from hrm_codegen.errors import ModelNotFoundError, UsageError
from hrm_codegen.interop import find_bundle
from hrm_codegen.interop.hub import HubOptions, is_hub_id

WEIGHTS = b"weights"
MODEL = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": WEIGHTS}
hub = pytest.fixture(isolated_hub)


@pytest.mark.parametrize(
    ("name", "is_id"),
    [
        ("org/name", True),
        ("sapientinc/HRM-Text-1B", True),
        ("org/name@v1.0", True),
        ("org/name@refs/pr/1", True),
        ("name", False),
        ("a/b/c", False),
        ("org/best.pt", False),
        ("./name", False),
        ("../name", False),
        ("~/name", False),
        ("/name", False),
        ("org/na--me", False),
        ("org/na..me", False),
        ("checkpoints/run-1", False),
        ("org/", False),
        ("org\\name/x", False),
    ],
)
def test_names_of_repositories(name: str, is_id: bool) -> None:
    assert is_hub_id(name) is is_id


def test_find_takes_the_weights_of_a_revision(hub: HubStandin, tmp_path: Path) -> None:
    hub.add("me/x", MODEL).branches["dev"] = MODEL | {"model.safetensors": b"dev"}
    assert find_bundle("me/x@dev", cwd=tmp_path).read_bytes() == b"dev"
    assert find_bundle("me/x", cwd=tmp_path, hub=HubOptions(revision="dev")).read_bytes() == b"dev"
    found = find_bundle("me/x", cwd=tmp_path)
    assert found.read_bytes() == WEIGHTS
    assert found.with_name("config.json").is_file()
    with pytest.raises(UsageError, match="two revisions"):
        find_bundle("me/x@dev", cwd=tmp_path, hub=HubOptions(revision="main"))


def test_weights_of_any_name(hub: HubStandin, tmp_path: Path) -> None:
    hub.add("me/x", {"epoch-3.pt": b"x"})
    assert find_bundle("me/x", cwd=tmp_path).name == "epoch-3.pt"


def test_a_local_folder_named_like_a_repository_wins(hub: HubStandin, tmp_path: Path) -> None:
    hub.add("me/x", MODEL)
    (tmp_path / "me" / "x").mkdir(parents=True)
    (tmp_path / "me" / "x" / "best.pt").write_bytes(b"local")
    assert find_bundle("me/x", cwd=tmp_path).read_bytes() == b"local"
    assert not hub.requests


def test_the_second_find_asks_nobody_unless_forced(hub: HubStandin, tmp_path: Path) -> None:
    hub.add("me/x", MODEL)
    first = find_bundle("me/x", cwd=tmp_path)
    asked = len(hub.requests)
    assert find_bundle("me/x", cwd=tmp_path) == first
    assert len(hub.requests) == asked
    find_bundle("me/x", cwd=tmp_path, hub=HubOptions(force_download=True))
    assert len(hub.requests) > asked


def test_not_found_names_the_paths_and_the_server(hub: HubStandin, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_bundle("me/x", cwd=tmp_path)
    message = str(caught.value)
    assert message.startswith(f"path 'me/x' not found: tried {tmp_path / 'me' / 'x'}, ")
    assert f"; on the Hub: repository me/x on {hub.url} not found: " in message


@pytest.mark.parametrize("name", ["me/x.pt", "x", "checkpoints/run-1"])
def test_a_path_is_not_asked_for_on_the_server(hub: HubStandin, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="not the name of a repository"):
        find_bundle(name, cwd=tmp_path)
    assert not hub.requests
