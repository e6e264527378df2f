"""`hrm-codegen push` against a stand-in for the Hub."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
from hub_standin import TOKEN, HubStandin, isolated_hub

from hrm_codegen import HRMCodeGen
from hrm_codegen import config as configs
from hrm_codegen.cli import main
from hrm_codegen.interop import find_bundle, load_bundle

hub = pytest.fixture(isolated_hub)
CARD = b"---\nlicense: mit\n---\n"


@pytest.fixture(autouse=True)
def here(hub: HubStandin, tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "best.pt"
    HRMCodeGen.from_config(configs.load("smoke")).save_checkpoint(path)
    return path


def files(hub: HubStandin, branch: str = "main") -> dict[str, bytes]:
    return hub.repositories["me/x"].branches[branch]


def test_a_foreign_file(hub: HubStandin, here: Path, capsys) -> None:
    (here / "m.onnx").write_bytes(b"graph")
    assert main(["push", "m.onnx", "me/x"]) == 0
    assert capsys.readouterr().out == f"{hub.url}/me/x\n"
    assert files(hub) == {"m.onnx": b"graph"}


def test_a_folder_as_it_is(hub: HubStandin, here: Path) -> None:
    (here / "hf" / "sub").mkdir(parents=True)
    content = {"config.json": b"{}", "README.md": CARD, "model.safetensors": b"w", "sub/notes.txt": b"n"}
    for name, data in content.items():
        (here / "hf" / name).write_bytes(data)
    assert main(["push", "hf", "me/x", "--private", "--message", "Second try"]) == 0
    assert files(hub) == content
    assert hub.repositories["me/x"].private
    assert hub.repositories["me/x"].messages == ["Second try"]


def test_a_checkpoint_is_exported_and_comes_back(hub: HubStandin, here: Path, checkpoint: Path, capsys) -> None:
    report = {"metrics": {"pass@1": 0.25}, "dataset": {"name": "basics", "problems": 4}}
    (here / "report.json").write_text(json.dumps(report))
    argv = ["push", str(checkpoint), "me/x", "--report", "report.json", "--license", "mit", "--revision", "v1"]
    assert main(argv) == 0
    assert capsys.readouterr().out == f"{hub.url}/me/x/tree/v1\n"
    wanted = {"config.json", "model.safetensors", "tokenizer.json", "README.md", "generation_config.json"}
    assert wanted <= set(files(hub, "v1"))
    card = files(hub, "v1")["README.md"].decode()
    assert "license: mit" in card
    assert 'from_pretrained("me/x")' in card
    assert "pass@1" in card
    back, original = load_bundle(find_bundle("me/x@v1")), load_bundle(checkpoint)
    assert back.config.model == original.config.model
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), back.state_dict, original.state_dict))


def test_a_core_that_transformers_does_not_know(hub: HubStandin, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    HRMCodeGen.from_config(configs.load("smoke", ["model.core=looped"])).save_checkpoint(path)
    assert main(["push", str(path), "me/x"]) == 0
    assert b"library_name: hrm-codegen" in files(hub)["README.md"]
    assert load_bundle(find_bundle("me/x")).config.model.core == "looped"


def test_without_a_token(hub: HubStandin, here: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", "m.onnx", "me/x"]) == 2
    assert "set HF_TOKEN or run `hf auth login`" in capsys.readouterr().err
    assert not hub.requests


def test_without_permission(hub: HubStandin, here: Path, capsys) -> None:
    (here / "m.onnx").write_bytes(b"graph")
    assert main(["push", "m.onnx", "other/x"]) == 1
    assert "no permission to upload" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["m.onnx", "best.pt"])
def test_nothing_there(hub: HubStandin, path: str, capsys) -> None:
    assert main(["push", path, "me/x"]) == 1
    captured = capsys.readouterr()
    assert "ModelNotFoundError" in captured.err
    assert not captured.out
    assert not hub.asked("^POST")


def test_pull_request(hub: HubStandin, here: Path, capsys) -> None:
    hub.add("me/x", {})
    (here / "m.gguf").write_bytes(b"g")
    assert main(["push", "m.gguf", "me/x", "--create-pr"]) == 0
    assert capsys.readouterr().out == f"{hub.url}/me/x/discussions/1\n"
    assert files(hub) == {}
    assert main(["push", "m.gguf", "me/x", "--create-pr", "--revision", "dev"]) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": {"loss": 1}}'])
def test_a_report_that_is_none(hub: HubStandin, here: Path, checkpoint: Path, content: str, capsys) -> None:
    (here / "r.json").write_text(content)
    assert main(["push", str(checkpoint), "me/x", "--report", "r.json"]) == 2
    assert "--report r.json" in capsys.readouterr().err
    assert not hub.requests


def test_card_options_need_a_checkpoint(here: Path, capsys) -> None:
    (here / "m.onnx").write_bytes(b"graph")
    assert main(["push", "m.onnx", "me/x", "--license", "mit"]) == 2
    assert "for a checkpoint's model card" in capsys.readouterr().err


def test_a_folder_of_a_run_is_not_uploaded_as_it_is(hub: HubStandin, here: Path, capsys) -> None:
    (here / "checkpoints" / "run-1" / "100").mkdir(parents=True)
    assert main(["push", "checkpoints/run-1", "me/x"]) == 1
    assert "it contains 100" in capsys.readouterr().err
    assert not hub.requests
