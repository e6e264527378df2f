from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hrm_codegen.cli import main, parser
from hrm_codegen.version import __version__

HEAVY = {"jax", "jaxlib", "flax", "numpy", "optax", "orbax", "wandb", "torch", "grain", "yaml", "tokenizers", "rich"}


def imported_by(*argv: str) -> set[str]:
    program = (
        "import sys; from hrm_codegen.cli import main; code = main(sys.argv[1:]);"
        "sys.stderr.write('\\n' + ' '.join({m.partition('.')[0] for m in sys.modules})); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in parser.COMMANDS | parser.MORE_COMMANDS)])
def test_help_imports_nothing_heavy(argv: list[str]):
    assert not imported_by(*argv) & HEAVY


def test_help_lists_the_six_commands_first(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    first, _, second = text.partition("more commands:")
    listed = [line.split()[0] for line in first.partition("commands:")[2].splitlines() if line.strip()]
    assert listed == ["train", "eval", "gen", "data", "benchmark", "export"]
    assert all(name in second for name in parser.MORE_COMMANDS)


def test_no_command_prints_help_and_fails(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hrm-codegen {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["trian"], "did you mean 'train'?"),
        (["train", "--cofnig", "x"], "did you mean '--config'?"),
        (["config", "lst"], "did you mean 'list'?"),
        (["--device", "xyz", "train"], "choose from auto, cpu, cuda, gpu, rocm, tpu, mps"),
        (["train", "--device", "xyz"], "choose from auto, cpu"),
        (["gen", "--max", "0"], "at least 1"),
        (["gen", "--temperature", "-1"], "at least 0"),
        (["gen", "--top-p", "2"], "(0, 1]"),
        (["train", "--resume", "--init-from", "x"], "not allowed with"),
        (["train", "--conf", "x"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_hint(argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert hint in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("argv", [["--device", "cpu", "gen"], ["gen", "--device", "cpu"]])
def test_global_options_stand_before_or_after_the_command(argv: list[str]):
    assert parser.build_parser().parse_args(argv).device == "cpu"


@pytest.mark.parametrize(
    "argv", [["-vv", "config", "list"], ["-v", "config", "list", "-v"], ["config", "-v", "list", "-v"]]
)
def test_verbosity_adds_up_over_places(argv: list[str]):
    assert parser.verbosity(parser.build_parser().parse_args(argv)) == 2


def test_quickstart_is_demo():
    args = parser.build_parser().parse_args(["quickstart"])
    assert args.run.__module__ == "hrm_codegen.cli.demo"


def complete(line: str, answer: Path) -> list[str]:
    environ = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", "hrm_codegen"], env=environ, check=False, cwd=answer.parent)
    return answer.read_text().split("\n")


def test_commands_complete(tmp_path: Path):
    assert complete("hrm-codegen ex", tmp_path / "answer") == ["export "]


def test_options_complete(tmp_path: Path):
    assert complete("hrm-codegen train --in", tmp_path / "answer") == ["--init-from "]


def test_checkpoints_complete_to_files_and_folders(tmp_path: Path):
    (tmp_path / "runs").mkdir()
    for name in ("best.pt", "notes.txt", "runs/best.safetensors"):
        (tmp_path / name).touch()
    assert set(complete("hrm-codegen gen --ckpt ", tmp_path / "answer")) == {"best.pt", "runs/"}
    assert complete("hrm-codegen gen --ckpt runs/b", tmp_path / "answer") == ["runs/best.safetensors "]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_names_the_command(shell: str, capsys: pytest.CaptureFixture[str]):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "hrm-codegen" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
