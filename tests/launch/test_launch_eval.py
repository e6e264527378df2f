"""An evaluation on two processes is that of one: all decode, process 0 judges and writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from test_launch_processes import start
from tiny import ADDITIONS, TINY

from hrm_codegen.cli import main
from hrm_codegen.codegen import HRMCodeGen
from hrm_codegen.config import SampleConfig

CONFIG = dataclasses.replace(TINY, sample=SampleConfig(max_tokens=8, temperature=1.0))


def completions(folder: Path) -> dict[tuple[str, int], str]:
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return {(row["task_id"], row["sample"]): row["completion"] for row in rows}


def test_two_processes_draw_and_score_what_one_does(tmp_path: Path) -> None:
    HRMCodeGen.from_config(CONFIG).save_checkpoint(tmp_path / "best.pt")
    long = {**ADDITIONS[0], "text": "x" * 200, "task_id": "too long"}  # refused by the process that gets it
    (tmp_path / "rows.json").write_text(json.dumps([*ADDITIONS[:7], long]))
    words = ["eval", "--ckpt", str(tmp_path / "best.pt"), "--data", str(tmp_path / "rows.json"), "--k", "1", "--n", "3"]
    words += ["--batch", "6", "--no-cache"]
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    process = start("--devices", "2", "--", *words, "--num-devices", "2", "--json", "--out", "two", cwd=tmp_path)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    report = json.loads(out)
    alone = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["metrics"] == alone["metrics"]
    assert completions(tmp_path / "two") == completions(tmp_path / "one")
    assert len(completions(tmp_path / "two")) == 8 * 3
