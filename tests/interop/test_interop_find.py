"""Where models are looked for, in which order, and what is said when there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hrm_codegen.errors import ModelNotFoundError
from hrm_codegen.interop import find_bundle


def make(base: Path, *names: str) -> None:
    """Makes files, the first one oldest."""
    for age, name in enumerate(names):
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (1000 + age, 1000 + age))


@pytest.mark.parametrize(
    ("files", "name", "found"),
    [
        (["checkpoints/best.pt", "best.pt"], "best.pt", "best.pt"),
        (["best.pt", "checkpoints/best.pt"], "best.pt", "best.pt"),
        (["checkpoints/r/best.pt", "checkpoints/best.pt"], "best.pt", "checkpoints/best.pt"),
        (["checkpoints/b/best.pt", "checkpoints/a/best.pt"], "best.pt", "checkpoints/a/best.pt"),
        (["checkpoints/a/best.pt", "checkpoints/b/best.pt"], "best.pt", "checkpoints/b/best.pt"),
        (["checkpoints/run-1/best.pt"], "run-1", "checkpoints/run-1/best.pt"),
        (["checkpoints/run-1/best.pt"], "run-1@best", "checkpoints/run-1/best.pt"),
        (["checkpoints/run-1/best.pt"], "checkpoints/run-1/", "checkpoints/run-1/best.pt"),
        (["hf/model.safetensors", "hf/config.json"], "hf", "hf/model.safetensors"),
        (["hf/model.safetensors", "hf/best.pt"], "hf", "hf/best.pt"),
        (["run/src.py", "checkpoints/run/best.pt"], "run", "checkpoints/run/best.pt"),
        (["odd.name"], "odd.name", "odd.name"),
        (["best.pt", "checkpoints/best.pt"], None, "checkpoints/best.pt"),
        (["checkpoints/r/best.pt", "best.pt"], None, "best.pt"),
        (["best.pt", "checkpoints/best.pt", "checkpoints/r/best.pt"], None, "checkpoints/r/best.pt"),
    ],
)
def test_search_order(tmp_path: Path, files, name, found) -> None:
    make(tmp_path, *files)
    assert find_bundle(name, cwd=tmp_path) == (tmp_path / found).resolve()


def test_default_is_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    make(tmp_path, "best.pt")
    monkeypatch.chdir(tmp_path)
    assert find_bundle("best.pt") == find_bundle() == (tmp_path / "best.pt").resolve()
    assert find_bundle(tmp_path / "best.pt", cwd="/") == (tmp_path / "best.pt").resolve()


def test_no_model_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_bundle(None, cwd=tmp_path)
    for part in (
        "checkpoints/best.pt",
        "checkpoints/*/best.pt",
        str(tmp_path),
        "hrm-codegen train",
        "hrm-codegen demo",
    ):
        assert part in str(caught.value)


def test_directory_without_weights_says_what_is_in_it(tmp_path: Path) -> None:
    make(tmp_path, "checkpoints/run-1/100/state", "checkpoints/run-1/config.yaml", "checkpoints/best.pt")
    with pytest.raises(ModelNotFoundError) as caught:
        find_bundle("run-1", cwd=tmp_path)
    message = str(caught.value)
    assert "it contains 100, config.yaml." in message
    assert f"best weights of a default run are in {tmp_path / 'checkpoints' / 'best.pt'}" in message


def test_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"none of best\.pt, model\.safetensors, .*; it contains nothing$"):
        find_bundle("d", cwd=tmp_path)


def test_unknown_path_names_the_places_and_the_nearest(tmp_path: Path) -> None:
    make(tmp_path, "checkpoints/best.pt")
    with pytest.raises(ModelNotFoundError) as caught:
        find_bundle("checkpoints/bset.pt", cwd=tmp_path)
    message = str(caught.value)
    assert message.startswith("path 'checkpoints/bset.pt' not found: tried ")
    assert str(tmp_path / "checkpoints" / "checkpoints" / "bset.pt") in message
    assert "Did you mean 'checkpoints/best.pt'?" in message


def test_unknown_repository_is_not_called_a_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # test_interop_hub.py has the answers of a server
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(ModelNotFoundError) as caught:
        find_bundle("sapient/hrm-codegen-base", cwd=tmp_path)
    message = str(caught.value)
    assert message.startswith("path 'sapient/hrm-codegen-base' not found: tried ")
    assert f"; on the Hub: sapient/hrm-codegen-base is not in the cache {tmp_path / 'hf' / 'hub'}" in message
    assert "HF_HUB_OFFLINE is set" in message
    assert "Did you mean" not in message


def test_absolute_path_is_tried_once(tmp_path: Path) -> None:
    wanted = str(tmp_path / "x.pt")
    with pytest.raises(ModelNotFoundError, match="not found: tried") as caught:
        find_bundle(wanted, cwd=tmp_path)
    assert str(caught.value).count(wanted) == 2  # the name, and the one place
