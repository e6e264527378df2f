"""`hrm-codegen eval` over a grid of temperatures, with a model that is no model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from hrm_codegen import config, jobs
from hrm_codegen.cli import main

TASK = {"task_id": "b/1", "text": "Write f.", "code": "def f(): return 1", "test_list": ["assert f() == 1"]}


class Fake:
    """Right if the temperature is low; the second sample is right if it is high."""

    def __init__(self):
        self.config = config.load("smoke")
        self.asked: list[tuple[float, float]] = []

    def generate(self, prompts, *, num_samples, seeds, batch_size, temperature, top_p, max_tokens):
        self.asked.append((temperature, top_p))
        right = [temperature < 0.5, temperature > 0.5][:num_samples]
        return [[f"def f(): return {int(sample)}" for sample in right] for _ in prompts]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, loaded = Fake(), []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "load_model", lambda ckpt, device, join: loaded.append(ckpt) or model)
    monkeypatch.setattr("hrm_codegen.interop.find_bundle", lambda name: Path("x.pt"))
    Path("d.jsonl").write_text(json.dumps(TASK) + "\n")
    return SimpleNamespace(model=model, loaded=loaded)


def evaluate(*words: object) -> int:
    return main(["eval", "--data", "d.jsonl", "--k", "1", *map(str, words)])


def test_a_sweep_is_one_table_and_loads_the_model_once(fake, capsys):
    assert evaluate("--temperature", "0.2", "0.9", "--top-p", "1.0,0.9", "--n", 2, "--out", "s") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["temperature", "top_p", "pass@1"]
    assert [line.split()[:2] for line in lines[3:7]] == [["0.2", "0.9"], ["0.2", "1"], ["0.9", "0.9"], ["0.9", "1"]]
    assert lines[-1] == "* best temperature: pass@1: 0.2 with top_p 0.9"
    assert fake.loaded == [None]
    assert fake.model.asked == [(0.2, 0.9), (0.2, 1.0), (0.9, 0.9), (0.9, 1.0)]
    assert sorted(path.parent.name for path in Path("s").glob("*/report.json")) == [
        "t0.2-p0.9", "t0.2-p1.0", "t0.9-p0.9", "t0.9-p1.0",
    ]  # fmt: skip


def test_a_sweep_goes_on_where_it_stopped(fake, capsys):
    assert evaluate("--temperature", "0.2", "--out", "s/t0.2") == 0
    assert evaluate("--temperature", "0.2", "0.9", "--out", "s") == 0
    assert [temperature for temperature, _ in fake.model.asked] == [0.2, 0.9]


def test_a_sweep_as_json_is_a_line_a_cell(fake, capsys):
    assert evaluate("--temperature", "0.9,0.2", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["settings"]["temperature"], row["metrics"]["pass@1"]) for row in rows] == [(0.2, 1.0), (0.9, 0.0)]
    assert all(set(row) == {"metrics", "dataset", "model", "sandbox", "settings"} for row in rows)


@pytest.mark.parametrize("words", [("--temperature", "0.2"), ("--temperature", "0.2", "0.2"), ()])
def test_one_temperature_is_an_ordinary_evaluation(fake, capsys, words):
    assert evaluate(*words, "--out", "one") == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["model", "pass@1"]
    assert Path("one/report.json").is_file()
    assert len(fake.model.asked) == 1


def test_several_checkpoints_are_a_table_each(fake, capsys):
    assert evaluate("--ckpt", "a.pt", "b.pt", "--temperature", "0.2", "0.9", "--out", "s") == 0
    assert capsys.readouterr().out.count("* best temperature: pass@1: 0.2") == 2
    assert fake.loaded == ["a.pt", "b.pt"]
    assert len(list(Path("s").glob("*/t0.*/report.json"))) == 4
    assert {path.name for path in Path("s").iterdir()} == {"1-a", "2-b"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--temperature", "0.2,-1"), "'-1' is not a number of at least 0"),
        (("--temperature", "0.2,"), "'' is not a number of at least 0"),
        (("--top-p", "0.5", "1.5"), "'1.5' is not a number in (0, 1]"),
        (("--samples", "x.jsonl", "--temperature", "0.2", "0.4"), "leave out --temperature"),
    ],
)
def test_values_of_a_sweep_are_checked(fake, capsys, words, message):
    assert evaluate(*words) == 2
    assert message in capsys.readouterr().err
    assert fake.loaded == []
