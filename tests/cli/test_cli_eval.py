"""`hrm-codegen eval --samples`: verdicts on hostile programs, what is shown of failures, events, sandboxes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hrm_codegen.cli import main
from hrm_codegen.evaluator import Verdict

pytestmark = pytest.mark.sandbox

TASK = {
    "task_id": "t/1",
    "text": "Double a number.",
    "code": "def double(x): return 2 * x",
    "test_list": ["assert double(2) == 4", "assert double(-1) == -2", "assert double('ab') == 'abab'"],
}
GOOD = "def double(x):\n    return 2 * x\n"
EQUAL = "class Equal:\n    def __eq__(self, other):\n        return True\ndef double(x):\n    return Equal()\n"
HOSTILE = {
    "right": (GOOD, "passed"),
    "wrong": ("def double(x):\n    return x\n", "wrong_answer"),
    "loops": ("def double(x):\n    while True:\n        pass\n", "timeout_cpu"),
    "loops when loaded": ("while True:\n    pass\n", "timeout_cpu"),
    "leaves": (f"import os\nos._exit(0)\n{GOOD}", "protocol"),
    "exits": (f"raise SystemExit(0)\n{GOOD}", "load_error"),
    "always equal": (EQUAL, "wrong_answer"),
    "forks": (f"import os\nfor _ in range(3):\n    os.fork()\n{GOOD}", None),
    "floods stdout": ("def double(x):\n    while True:\n        print('x' * 9999)\n", "output_limit"),
    "too much memory": ("def double(x):\n    return bytearray(1 << 40)\n", "memory"),
    "a NUL byte": (f"{GOOD}\0", "load_error"),
    "half a character": (f"{GOOD}# \ud800", "load_error"),
    "returns half a character": ("def double(x):\n    return '\\ud800\\x1b[31m'\n", "wrong_answer"),
    "ten megabytes": (f"#{'a' * 10_000_000}\n{GOOD}", "passed"),
    "empty": ("", "exception"),
    "no Python": ("def double(x)\n    return", "load_error"),
    "kills itself": ("import os\ndef double(x):\n    os.kill(os.getpid(), 9)\n", "crash"),
    "raises half a character": ("def double(x):\n    raise ValueError('\\ud800')\n", "exception"),
    "prints a verdict": (f"print('passed')\nimport sys\nsys.exit(0)\n{GOOD}", "load_error"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with one task in `d.jsonl`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRM_CODEGEN_CACHE", str(tmp_path / "cache"))
    Path("d.jsonl").write_text(json.dumps(TASK) + "\n")
    return tmp_path


def score(solutions, *words: object) -> int:
    rows = [{"task_id": "t/1", "solution": solution} for solution in solutions]
    Path("s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return main(["eval", "--samples", "s.jsonl", "--data", "d.jsonl", *map(str, words)])


def results(folder: str) -> list[dict]:
    return [json.loads(line) for line in Path(folder, "results.jsonl").read_text().splitlines()]


def test_each_hostile_sample_has_its_verdict_on_disk(home, capfd):
    solutions = [solution for solution, _ in HOSTILE.values()]
    assert score(solutions, "--timeout", "0.5", "--json", "--out", "r", "--k", 1, 100, "--show-failures", 100) == 0
    found = {row["sample"]: row for row in results("r")}
    assert sorted(found) == list(range(len(HOSTILE)))
    assert {row["task_id"] for row in found.values()} == {"t/1"}
    assert all(isinstance(row["message"], str) and Verdict(row["verdict"]) for row in found.values())
    verdicts = {name: found[number]["verdict"] for number, name in enumerate(HOSTILE)}
    assert {n: v for n, v in verdicts.items() if HOSTILE[n][1] is not None} == {
        name: verdict for name, (_, verdict) in HOSTILE.items() if verdict is not None
    }
    assert [found[number]["completion"] for number in range(len(HOSTILE))] == solutions
    out, err = capfd.readouterr()
    report = json.loads(out.splitlines()[-1])
    assert report["metrics"]["n_samples"] == len(HOSTILE)
    assert "pass@100" not in report["metrics"]
    assert f"no pass@100: task t/1 has {len(HOSTILE)} samples" in err
    assert err.count("Timeout (0.5s) on example #1\n") == 1
    assert "\x1b" not in out
    assert json.loads(Path("r/report.json").read_text()) == report


def test_one_sample_a_task_and_the_default_k_is_pass_at_1(home, capsys):
    assert score([GOOD], "--json") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["settings"]["k"] == [1]
    assert report["metrics"]["pass@1"] == 1.0
    assert "no pass@10: task t/1 has 1 sample" in err
    assert score([GOOD], "--k", 5) == 2
    assert "n must be ≥ max(k): task t/1 has 1 sample, k is 5" in capsys.readouterr().err


def test_failures_show_the_call_both_sides_and_the_share_of_tests(home, capsys):
    wrong = "def double(x):\n    return x + 2\n"
    assert score([wrong], "--show-failures", 3, "--k", 1) == 0
    shown = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert shown[0] == "# t/1, sample 0: wrong_answer, 1 of 3 tests passed; failed: 2; 1 not run"
    assert shown[1] == "assert double(-1) == -2"
    assert shown[-2:] == ["--2", "+1"]
    assert score([wrong], "--show-failures", 1, "--k", 1, "--all-tests", "--out", "r") == 0
    assert "wrong_answer, 1 of 3 tests passed; failed: 2, 3\n" in capsys.readouterr().out
    assert main(["report", "r", "--by-problem", "--html", "r.html"]) == 0
    out = capsys.readouterr().out
    assert "tests" in out
    assert "33.3 %" in out
    assert "1 of 3 tests passed; failed: 2, 3" in Path("r.html").read_text()


def test_control_characters_of_a_program_reach_no_terminal(home, capsys):
    assert score(["def double(x):\n    return '\\x1b[2J' + chr(0x202e)\n"], "--show-failures", 1, "--k", 1) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_colours_only_on_a_terminal_that_wants_them(home, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert score(["def double(x):\n    return 7\n"], "--show-failures", 1, "--k", 1) == 0
    assert "\x1b[31m-4\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert score(["def double(x):\n    return 7\n"], "--show-failures", 1, "--k", 1) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_verdicts_are_kept_unless_told_otherwise(home, capsys):
    assert score([GOOD, GOOD + "#"], "--k", 1, "--json", "--out", "a") == 0
    first = capsys.readouterr()
    assert score([GOOD, GOOD + "#"], "--k", 1, "--json", "--out", "b") == 0
    second = capsys.readouterr()
    assert "from the cache" not in first.err
    assert "2 verdicts came from the cache" in second.err
    assert second.out == first.out
    assert Path("a/report.json").read_bytes() == Path("b/report.json").read_bytes()
    assert (home / "cache" / "verdicts").is_dir()
    assert score([GOOD, GOOD + "#"], "--k", 1, "--no-cache") == 0
    assert "cache" not in capsys.readouterr().err


def test_events_are_lines_in_a_file_that_grows(home, capsys):
    loops = "def double(x):\n    while True:\n        pass\n"
    for folder in ("a", "b"):
        assert score([GOOD, GOOD, loops], "--k", 1, "--timeout", 0.2, "--events", "e.jsonl", "--out", folder) == 0
    rows = [json.loads(line) for line in Path("e.jsonl").read_text().splitlines()]
    half = len(rows) // 2
    names = [row["event"] for row in rows[:half]]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert names.count("sample_judged") == 3
    assert names.count("timeout_confirmed") == 1
    assert "progress" in names
    assert [row["event"] for row in rows[half:]].count("run_started") == 1
    assert rows[0]["total"] == 3
    assert rows[0]["sandbox"]["tier"] in "ABC"
    assert rows[half - 1]["metrics"] == json.loads(Path("a/report.json").read_text())["metrics"]
    judged = [row for row in rows if row["event"] == "sample_judged"]
    assert sum(row["cached"] for row in judged) == 1 + 2  # the equal sample, then both from the cache
    progress = [row for row in rows if row["event"] == "progress"]
    assert all(row["done"] <= row["total"] == 3 for row in progress)


def test_events_on_stderr_leave_stdout_alone(home, capsys):
    assert score([GOOD], "--k", 1, "--json", "--events", "-", "--log-format", "json") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    rows = [json.loads(line) for line in err.splitlines()]
    assert "run_finished" in {row["event"] for row in rows}


def test_an_event_file_that_cannot_be_written_is_a_usage_error(home, capsys):
    assert score([GOOD], "--events", "no/such/folder") == 2
    assert "cannot write events to no/such/folder" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["namespaces", "landlock", "posix"])
def test_the_sandbox_that_was_asked_for_is_used(home, capsys, mode):
    from hrm_codegen.evaluator import probe_tiers

    tier = {"namespaces": "A", "landlock": "B", "posix": "C"}[mode]
    works = not probe_tiers()[tier]
    assert score([GOOD], "--k", 1, "--sandbox", mode, "--json") == (0 if works else 1)
    out, err = capsys.readouterr()
    if works:
        assert json.loads(out)["sandbox"]["tier"] == tier
        assert f"sandbox: tier {tier} (" in err


def test_a_sandbox_that_does_not_work_here_is_said_before_anything_else(home, capsys, monkeypatch):
    from hrm_codegen.evaluator import sandbox, tiers

    monkeypatch.setattr(tiers, "_refusal", lambda tier: "the kernel says no")
    tiers.choose_tier.cache_clear()
    sandbox._shared.cache_clear()
    try:
        assert score([GOOD], "--k", 1, "--sandbox", "landlock", "--data", "nosuch") == 1
        assert main(["doctor", "--json"]) in (0, 1)
    finally:
        tiers.choose_tier.cache_clear()
        sandbox._shared.cache_clear()
    out, err = capsys.readouterr()
    assert "tier B (Landlock and seccomp): the kernel says no" in err
    assert "no data set" not in err
    found = json.loads(out)["sandbox"]
    assert found["active"] is None
    assert "the kernel says no" in found["problem"]


def test_doctor_says_which_tiers_work(capsys, monkeypatch):
    monkeypatch.delenv("HRM_CODEGEN_SANDBOX", raising=False)
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)["sandbox"]
    assert set(found["tiers"]) == {"A", "B", "C"}
    assert all(tier["works"] == (not tier["reason"]) for tier in found["tiers"].values())
    works = [name for name, tier in found["tiers"].items() if tier["works"]]
    assert found["active"] == (works[0] if works[0] in "AB" else None)
    monkeypatch.setenv("HRM_CODEGEN_SANDBOX", "posix")
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert "sandbox: tier C (mode posix; --sandbox or HRM_CODEGEN_SANDBOX chooses)" in lines
    assert "  tier C, limits only: works" in lines


def test_doctor_finds_a_wrong_sandbox_in_the_environment():
    command = [sys.executable, "-m", "hrm_codegen", "doctor"]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HRM_CODEGEN_SANDBOX": "bars"})
    assert "sandbox: no tier (mode bars;" in ran.stdout
    assert "sandbox must be one of auto, " in ran.stdout


def test_many_samples_that_do_not_load_are_a_hint_about_the_prompt(home, capsys):
    assert score(["Sure! Here is it.", GOOD, GOOD], "--k", 1) == 0
    err = capsys.readouterr().err
    assert err.count("1 of 3 samples do not load") == 1
    assert "prompts in another format" in err
    assert score(["Sure! Here is it.", GOOD, GOOD, GOOD, GOOD], "--k", 1) == 0
    assert "do not load" not in capsys.readouterr().err


def test_nothing_moves_where_stderr_is_no_terminal(home):
    rows = [{"task_id": "t/1", "solution": GOOD}]
    Path("s.jsonl").write_text(json.dumps(rows[0]) + "\n")
    command = [sys.executable, "-m", "hrm_codegen", "eval", "--samples", "s.jsonl", "--data", "d.jsonl", "--k", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"FORCE_COLOR": "1"})
    assert ran.returncode == 0
    assert "\x1b" not in ran.stderr + ran.stdout
    assert "\r" not in ran.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("words", "moves"), [((), True), (("--events", "-"), False), (("--log-format", "json"), False)]
)
def test_a_line_moves_on_a_terminal_that_shows_text(home, capsys, monkeypatch, words, moves):
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    assert score([GOOD, "def double(x): return 3"], "--k", 1, *words) == 0
    assert ("samples judged" in screen.getvalue()) == moves
    assert ("\x1b" in screen.getvalue()) == moves
    assert "\x1b" not in capsys.readouterr().out
