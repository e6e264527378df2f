from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hrm_codegen.cli import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_bundled_configurations_are_listed(capsys):
    code, out, _ = run(capsys, "config", "list")
    assert code == 0
    assert {"smoke", "basics_dev"} <= set(out.split())


def test_init_then_edit_then_dry_run(tmp_path: Path, capsys):
    code, text, _ = run(capsys, "config", "init", "basics_dev")
    assert code == 0
    assert "#" in text
    tree = yaml.safe_load(text)
    tree["model"]["hidden_dim"] = 64
    mine = tmp_path / "my.yaml"
    mine.write_text(yaml.safe_dump(tree))
    code, out, _ = run(capsys, "train", "-c", str(mine), "--dry-run")
    assert code == 0
    assert yaml.safe_load(out)["model"]["hidden_dim"] == 64


def test_dry_run_shows_every_override(capsys):
    argv = [
        "train",
        "-c",
        "smoke",
        "--set",
        "optim.lr=3e-4",
        "--set",
        "model.h_cycles=3",
        "--data",
        "x: y.bin",
        "--no-wandb",
    ]
    code, out, _ = run(capsys, *argv, "--out", "null", "--run-name", "7", "--dry-run", "--json")
    assert code == 0
    tree = json.loads(out)
    assert (tree["optim"]["lr"], tree["model"]["h_cycles"]) == (3e-4, 3)
    assert (tree["data"]["train"], tree["train"]["wandb"]) == ("x: y.bin", "disabled")
    assert (tree["train"]["out_dir"], tree["train"]["run_name"]) == ("null", "7")


def test_size_is_a_preset_and_set_wins_over_it(capsys):
    _, out, _ = run(
        capsys, "train", "-c", "basics_dev", "--size", "smoke", "--set", "model.hidden_dim=96", "--dry-run", "--json"
    )
    from hrm_codegen.config import PRESETS

    model = json.loads(out)["model"]
    assert model["hidden_dim"] == 96
    assert all(model[key] == value for key, value in PRESETS["smoke"].items() if key != "hidden_dim")


def test_unknown_size_lists_the_presets(capsys):
    code, _, err = run(capsys, "train", "--size", "huge", "--dry-run")
    assert code == 2
    assert "27m" in err


def test_default_configuration_is_announced(capsys):
    code, _, err = run(capsys, "train", "--dry-run")
    assert code == 0
    assert "basics_dev" in err


def test_missing_field_is_the_documented_line_without_jax(tmp_path: Path):
    lines = ["# comment"] * 11 + ["model:", "  vocab_size: 264", "  num_heads: 2", "train:", "  num_steps: 1"]
    (tmp_path / "mbpp.yaml").write_text("\n".join(lines) + "\n")
    program = (
        "import sys; from hrm_codegen.cli import main; code = main(['train', '-c', 'mbpp.yaml']);"
        "assert not {'jax', 'flax', 'numpy'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == 'ConfigError: missing field "model.hidden_dim" (mbpp.yaml:12)'
    assert done.returncode == 2


def test_validate_reports_every_file(tmp_path: Path, capsys):
    (tmp_path / "a.yaml").write_text("model: {hidden_dim: x}\n")
    (tmp_path / "b.yaml").write_text("model: [\n")
    code, out, err = run(capsys, "config", "validate", "smoke", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    assert code == 2
    assert out == "smoke: ok\n"
    assert "a.yaml" in err
    assert "b.yaml" in err


def test_show_fills_in_defaults(capsys):
    code, out, _ = run(capsys, "config", "show", "-c", "smoke", "--set", "sample.top_k=5")
    assert code == 0
    assert yaml.safe_load(out)["sample"]["top_k"] == 5
