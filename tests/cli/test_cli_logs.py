from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from hrm_codegen import logs
from hrm_codegen.cli import main
from hrm_codegen.errors import UsageError


@pytest.fixture(autouse=True)
def restored_logging():
    root, ours = logging.getLogger(), logging.getLogger("hrm_codegen")
    before = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.captureWarnings(False)


def test_text_line_is_the_message_alone(capsys: pytest.CaptureFixture[str]):
    logs.setup()
    logging.getLogger("hrm_codegen.x").info("step %d", 3)
    logging.getLogger("hrm_codegen.x").debug("hidden")
    logging.getLogger("other").warning("careful")
    assert capsys.readouterr().err == "step 3\nWARNING other: careful\n"


def test_setting_up_twice_prints_once(capsys: pytest.CaptureFixture[str]):
    logs.setup(1)
    logs.setup(1, "json")
    logging.getLogger("hrm_codegen.x").debug("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_json_line_has_its_fields(capsys: pytest.CaptureFixture[str]):
    logs.setup(0, "json")
    logging.getLogger("hrm_codegen.x").warning("two\nlines", extra={"step": 7, "process_index": 1, "loss": 0.5})
    line = json.loads(capsys.readouterr().err)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "WARNING",
        "event": "two\nlines",
        "logger": "hrm_codegen.x",
        "step": 7,
        "process": 1,
        "loss": 0.5,
    }


def test_traceback_stays_inside_its_json_line(capsys: pytest.CaptureFixture[str]):
    logs.setup(0, "json")
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("hrm_codegen.x").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "KeyError" in json.loads(line)["traceback"]


def test_message_is_the_last_line_after_a_traceback(capsys: pytest.CaptureFixture[str]):
    logs.setup()
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("hrm_codegen.x").exception("failed")
    assert capsys.readouterr().err.splitlines()[-1] == "failed"


def test_unprintable_stopwatch_becomes_ascii(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    logs.setup()
    logging.getLogger("hrm_codegen.x").warning("⏱️  Timeout (2s) on example #123: é")
    assert raw.getvalue() == b"[timeout]  Timeout (2s) on example #123: \\xe9\n"


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        ([], {}, "text"),
        ([], {"HRM_CODEGEN_LOG_FORMAT": "json"}, "json"),
        (["train", "--log-format", "text"], {"HRM_CODEGEN_LOG_FORMAT": "json"}, "text"),
        (["--log-format=json"], {}, "json"),
        (["--log-format"], {}, "text"),
    ],
)
def test_requested_format(argv: list[str], environ: dict[str, str], expected: str):
    assert logs.requested_format(argv, environ) == expected


def test_wrong_format_in_the_environment_is_an_error():
    with pytest.raises(UsageError, match="HRM_CODEGEN_LOG_FORMAT"):
        logs.requested_format([], {"HRM_CODEGEN_LOG_FORMAT": "xml"})


def test_usage_error_is_json_too(capsys: pytest.CaptureFixture[str]):
    assert main(["--log-format", "json", "trian"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'train'?" in json.loads(line)["event"]


def test_verbose_prints_debug_lines(capsys: pytest.CaptureFixture[str]):
    assert main(["-v", "completion", "bash"]) == 0
    captured = capsys.readouterr()
    assert "DEBUG hrm_codegen.cli:" in captured.err
    assert "DEBUG hrm_codegen" not in captured.out
