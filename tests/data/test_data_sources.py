"""A file, a name, a name with a split; and an error that lists what there is for anything else."""

from __future__ import annotations

import json

import pytest

from hrm_codegen.data import Problem, find_problems
from hrm_codegen.errors import DatasetError


class Reader:
    def load(self, *, source=None):
        assert source is None
        return {split: [Problem(task_id=f"{split}/1", text="t")] for split in ("train", "test")}


@pytest.fixture(autouse=True)
def basics(monkeypatch):
    monkeypatch.setattr("hrm_codegen.data.sources.get_reader", {"basics": Reader()}.__getitem__)


@pytest.mark.parametrize(
    ("source", "split", "ids"),
    [
        ("basics", None, ["train/1", "test/1"]),
        ("basics", "test", ["test/1"]),
        ("basics/train", "test", ["train/1"]),
    ],
)
def test_names(source, split, ids):
    assert [problem.task_id for problem in find_problems(source, split=split)] == ids


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "basics").write_text(json.dumps({"task_id": "x", "text": "t"}))
    assert [problem.task_id for problem in find_problems("basics", split="train")] == ["x"]


def test_what_there_is_not():
    with pytest.raises(DatasetError, match=r"no file nix, and no data set of that name \(there are: basics, "):
        find_problems("nix")
    with pytest.raises(DatasetError, match=r"basics has no split dev \(there are: train, test\)"):
        find_problems("basics/dev")
