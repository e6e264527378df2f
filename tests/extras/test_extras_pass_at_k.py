"""A model of `make demo`'s recipe, exported and run by Transformers, gets the same score, sample by sample.

Greedy, on 50 basics tasks. The default run trains for seconds; the slow one with demo's own configuration and time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from hrm_codegen import config as configs
from hrm_codegen import data, evaluator, jobs
from hrm_codegen.codegen import HRMCodeGen

pytestmark = pytest.mark.extras
TASKS = 50


@pytest.mark.parametrize(
    ("name", "sizes", "settings"),
    [
        pytest.param("smoke", {"train_size": 300}, ["train.num_steps=60"], id="seconds"),
        pytest.param(
            "basics_dev",
            {},
            ["train.time_limit_minutes=6"],
            id="demo",
            marks=[pytest.mark.slow, pytest.mark.timeout(1200)],
        ),
    ],
)
def test_the_same_answers_and_verdicts(name, sizes, settings, tmp_path: Path) -> None:
    data.prepare("basics", out=tmp_path, **sizes)
    paths = {"data.train": "train.bin", "data.eval": "validation.bin", "train.out_dir": "run"}
    settings = [*settings, "train.wandb=disabled", *(f"{key}={tmp_path / file}" for key, file in paths.items())]
    jobs.train(configs.load(name, settings))
    ours = HRMCodeGen.from_pretrained(tmp_path / "run" / "best.pt")
    ours.export_hf(tmp_path / "exported")
    theirs = jobs.load_model(f"hf:{tmp_path / 'exported'}")

    problems = data.load_problems(tmp_path / "test_raw.json")
    chosen = problems[:: len(problems) // TASKS][:TASKS]
    assert len(chosen) == TASKS
    here, there = (
        evaluator.evaluate(model, chosen, k=1, temperature=0, max_tokens=64 if name == "smoke" else None)
        for model in (ours, theirs)
    )
    assert [sample.completion for sample in there.samples] == [sample.completion for sample in here.samples]
    assert [sample.verdict for sample in there.samples] == [sample.verdict for sample in here.samples]
    assert there.metrics["pass@1"] == here.metrics["pass@1"]
    assert name == "smoke" or here.metrics["pass@1"] > 0.1
