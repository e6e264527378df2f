"""`data check` and `data verify`: what they print, and the exit codes that a script relies on."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from pathlib import Path

import pytest

from hrm_codegen.cli import main

ADD = {
    "task_id": "t/1",
    "text": "Add.",
    "code": "def add(a, b):\n    return a + b",
    "test_list": ["assert add(1, 2) == 3"],
}
PROVES_NOTHING = {"task_id": "t/2", "text": "Any.", "code": "def any1():\n    return 1", "test_list": ["assert True"]}
UNSOLVED = {"task_id": "t/3", "text": "Hard.", "test_list": ["assert hard() == 1"]}


def hc(*argv: object) -> tuple[int, str, str]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(word) for word in argv])
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in {
        "train.jsonl": [ADD],
        "test.jsonl": [{**PROVES_NOTHING, "text": "Else."}, {**ADD, "task_id": "t/9"}],
        "clean.jsonl": [UNSOLVED],
        "bad.jsonl": [ADD, PROVES_NOTHING, UNSOLVED],
    }.items():
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_contamination_is_told_and_exits_with_1():
    code, out, _ = hc("data", "check", "train.jsonl", "test.jsonl")
    assert code == 1
    assert out.splitlines() == [
        "test task  training task  reason     share",
        "t/9        t/1            same code      1",
        "",
        "1 of 2 test tasks are given away by 1 training tasks, 1 by same code",
    ]
    code, out, _ = hc("data", "check", "train.jsonl", "test.jsonl", "--json")
    assert code == 1
    assert json.loads(out) == {
        "train": 1,
        "test": 2,
        "flagged": 1,
        "reasons": {"same code": 1},
        "findings": [{"task_id": "t/9", "train_id": "t/1", "level": "same code", "share": 1.0}],
    }


def test_a_clean_set_exits_with_0():
    assert hc("data", "check", "train.jsonl", "clean.jsonl", "--min-overlap", 0)[:2] == (
        0,
        "0 of 1 test tasks are given away by 1 training tasks\n",
    )
    code, out, _ = hc("data", "check", "train.jsonl", "clean.jsonl", "--json")
    assert (code, json.loads(out)["findings"]) == (0, [])


@pytest.mark.parametrize("share", ["2", "-0.1", "nan", "half"])
def test_a_share_that_is_none_is_refused(share):
    code, out, err = hc("data", "check", "train.jsonl", "test.jsonl", f"--min-overlap={share}")
    assert (code, out) == (2, "")
    assert "a share from 0 to 1" in err


def test_a_missing_file_is_no_finding():
    code, out, err = hc("data", "check", "train.jsonl", "none.jsonl")
    assert (code, out) == (1, "")
    assert "no file none.jsonl, and no data set of that name" in err


@pytest.mark.sandbox
def test_tests_that_prove_nothing_are_told_and_exit_with_1():
    code, out, _ = hc("data", "verify", "bad.jsonl", "--timeout", 5, "--workers", 1)
    assert code == 1
    assert out.splitlines() == [
        "task  candidate                   verdict  message",
        "t/2   functions that return None  passed   passes: the tests prove nothing",
        "t/2   empty program               passed   passes: the tests prove nothing",
        "",
        "1 of 2 tasks have tests that cannot be trusted, 1 skipped: no code",
    ]
    code, out, _ = hc("data", "verify", "bad.jsonl", "--json")
    report = json.loads(out)
    assert (code, report["checked"], report["skipped"]) == (1, 2, ["t/3"])
    assert {offence["task_id"] for offence in report["offences"]} == {"t/2"}


@pytest.mark.sandbox
def test_sound_tests_exit_with_0():
    code, out, _ = hc("data", "verify", "bad.jsonl", "--limit", 1)
    assert (code, out) == (0, "0 of 1 tasks have tests that cannot be trusted, 0 skipped: no code\n")
