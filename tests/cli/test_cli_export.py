"""`hrm-codegen export`: every format's file in its place, options of others refused, downloads and uploads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
from hub_standin import TOKEN, HubStandin, isolated_hub

from hrm_codegen import HRMCodeGen
from hrm_codegen import config as configs
from hrm_codegen.cli import main
from hrm_codegen.interop import load_torch

hub = pytest.fixture(isolated_hub)
TINY = configs.load("smoke", ["model.hidden_dim=32", "model.intermediate_dim=64", "model.h_cycles=1"])


@pytest.fixture(scope="module")
def model() -> HRMCodeGen:
    return HRMCodeGen.from_config(TINY)


@pytest.fixture(autouse=True)
def here(model: HRMCodeGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    model.save_checkpoint("best.pt")
    return tmp_path


@pytest.mark.parametrize(("name", "written"), [("hf", "best-hf"), ("safetensors", "best.safetensors")])
def test_an_export_stands_beside_its_checkpoint(name, written, model: HRMCodeGen, here: Path, capsys) -> None:
    assert main(["export", name]) == 0
    assert capsys.readouterr().out == f"{here / written}\n"
    assert HRMCodeGen.from_pretrained(here / written).sha256 == model.sha256


def test_the_output_has_a_name_of_its_own(model: HRMCodeGen, here: Path, capsys) -> None:
    assert main(["export", "hf", "--ckpt", "best.pt", "-o", "out/model"]) == 0
    assert main(["export", "torch", "--ckpt", "out/model", "-o", "again.pt"]) == 0
    assert capsys.readouterr().out == "out/model\nagain.pt\n"
    assert load_torch(here / "again.pt")["metadata"] == {}
    assert HRMCodeGen.from_pretrained(here / "again.pt").sha256 == model.sha256


def test_a_report_becomes_the_cards_scores(model: HRMCodeGen, here: Path) -> None:
    report = {
        "metrics": {"pass@1": 0.25, "n_problems": 4.0, "n_samples": 4.0},
        "model": {"sha256": model.sha256},
        "dataset": {"name": "basics/test"},
        "settings": {"k": [1], "num_samples": 1, "temperature": 0.0},
    }
    (here / "report.json").write_text(json.dumps(report))
    assert main(["export", "hf", "--report", "report.json", "--license", "mit"]) == 0
    card = (here / "best-hf" / "README.md").read_text()
    assert "model-index" in card
    assert "license: mit" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hf", "--opset", "18"], "--opset is of export onnx, not hf"),
        (["torch", "--report", "r.json"], "--report is for the model card of export hf"),
        (["hf", "--report", "r.json"], "--report: cannot read r.json"),
        (["hf", "--report", "wrong.json"], 'it has no "metrics"'),
        (["onnx", "-o", "model.pt"], "export onnx writes a .onnx file, not model.pt"),
        (["torch"], "is a .pt file already; name another with -o"),
        (["hf", "-o", "best.pt"], "best.pt is a file, and a Transformers model is a folder"),
        (["hf", "--push-to", "me/x"], "HF_TOKEN"),
    ],
)
def test_wrong_usage(words, message, here: Path, hub: HubStandin, capsys) -> None:
    (here / "wrong.json").write_text("{}")
    before = sorted(here.iterdir())
    assert main(["export", *words]) == 2
    assert message in capsys.readouterr().err
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("words", [["hf"], ["safetensors"]])
def test_an_export_goes_to_the_hub(words, hub: HubStandin, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["export", *words, "--push-to", "me/x"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(hub.url + "/me/x")
    names = hub.repositories["me/x"].branches["main"]
    assert ("config.json" if words == ["hf"] else "best.safetensors") in names


def test_what_comes_from_the_hub_is_exported_here(model: HRMCodeGen, hub: HubStandin, here: Path, capsys) -> None:
    model.export_hf("folder")
    hub.add("org/some-model", {path.name: path.read_bytes() for path in (here / "folder").iterdir()})
    assert main(["export", "torch", "--ckpt", "org/some-model"]) == 0
    assert capsys.readouterr().out == "some-model.pt\n"
    assert HRMCodeGen.from_pretrained(here / "some-model.pt").sha256 == model.sha256
