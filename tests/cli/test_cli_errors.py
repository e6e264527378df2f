from __future__ import annotations

import argparse
import errno
import json
import os
import subprocess
import sys

import pytest

from hrm_codegen.cli import completion as victim
from hrm_codegen.cli import main
from hrm_codegen.errors import CheckpointError, ConfigError, MissingExtraError

ARGV = ["completion", "bash"]


def failing(error: BaseException):
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            ConfigError('missing field "model.hidden_dim" (configs/mbpp.yaml:12)'),
            2,
            'ConfigError: missing field "model.hidden_dim" (configs/mbpp.yaml:12)',
        ),
        (CheckpointError("torn"), 1, "CheckpointError: torn"),
        (MissingExtraError("needs torch"), 3, "MissingExtraError: needs torch"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "a.bin"), 1, "OSError: No space left on device: a.bin"),
        (PermissionError(errno.EACCES, "Permission denied"), 1, "PermissionError: Permission denied"),
    ],
)
def test_error_is_one_line_and_its_exit_code(error, code, line, monkeypatch, capsys):
    monkeypatch.setattr(victim, "run", failing(error))
    assert main(ARGV) == code
    assert capsys.readouterr().err == line + "\n"
    assert main(["--log-format", "json", *ARGV]) == code
    assert json.loads(capsys.readouterr().err)["event"] == line


def test_traceback_only_when_very_verbose(monkeypatch, capsys):
    monkeypatch.setattr(victim, "run", failing(ConfigError("wrong")))
    main(["-v", *ARGV])
    assert "Traceback" not in capsys.readouterr().err
    main(["-vv", *ARGV])
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.splitlines()[-1] == "ConfigError: wrong"


def test_bug_shows_its_traceback(monkeypatch, capsys):
    monkeypatch.setattr(victim, "run", failing(ZeroDivisionError("of ours")))
    assert main(ARGV) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.splitlines()[-1] == "ZeroDivisionError: of ours (unexpected; please report it)"


def test_reader_that_goes_away_is_not_an_error_message():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "hrm_codegen", *ARGV], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
