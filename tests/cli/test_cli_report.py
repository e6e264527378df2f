"""`hrm-codegen report` on folders made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hrm_codegen.cli import main
from hrm_codegen.data.problem import Problem
from hrm_codegen.evaluator import EvalResult, ProgramResult, SampleResult, Verdict
from hrm_codegen.evaluator.report import compute_metrics
from hrm_codegen.evaluator.results_log import ResultsLog

PROBLEMS = [Problem(task_id=f"b/{i}", text="t") for i in range(4)]


def write_run(folder, right, *, n=4, ks=(1,), tier="A", sha256="a" * 64, report=True):
    samples = tuple(
        SampleResult(
            task_id=f"b/{i}",
            sample=j,
            result=ProgramResult(verdict=Verdict.PASSED)
            if j < c
            else ProgramResult(verdict=Verdict.WRONG_ANSWER, message="\x1b[2Jno \ud800"),
            completion="def f(): ...",
        )
        for i, c in enumerate(right)
        for j in range(n)
    )
    result = EvalResult(
        metrics=compute_metrics(PROBLEMS[: len(right)], samples, ks),
        samples=samples,
        dataset={"name": "d", "sha256": sha256, "problems": len(right)},
        model={"name": "model \ud800", "path": None},
        sandbox={"tier": tier},
        settings={"k": list(ks), "timeout": 2.0, "temperature": 0.5},
    )
    with ResultsLog(folder, {"model": "m", "timeout": 2.0}) as log:
        for sample in samples:
            log.append(sample)
        if report:
            log.write_report(result)
    return result


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return {"runs/low": write_run("runs/low", [0, 1, 2, 0]), "runs/top": write_run("runs/top", [4, 3, 2, 0])}


def report(capsys: pytest.CaptureFixture[str], *words: object):
    code = main(["report", *map(str, words)])
    captured = capsys.readouterr()
    captured.out.encode()  # what a stream has to do
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def test_folders_are_a_leaderboard(runs, capsys):
    code, out, _ = report(capsys, "runs/low", "runs/top")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[3:]] == ["runs/top", "runs/low"]
    assert report(capsys, "runs") == (code, out, "")


def test_another_k_is_computed_from_the_samples(runs, capsys):
    out = report(capsys, "runs", "--k", "2,4")[1]
    assert out.splitlines()[1].split()[-4:] == ["pass@2", "pass@4", "pass^2", "pass^4"]
    assert "75.0 % [" in out.splitlines()[3]


def test_a_k_above_the_samples_is_left_out_with_a_notice(runs, capsys):
    write_run("few", [1, 1, 1, 1], n=2)
    code, out, err = report(capsys, "runs/top", "few", "--k", 1, 3)
    assert code == 0
    assert "no pass@3 of few" in err
    assert out.splitlines()[-1].split()[-2:] == ["-", "-"]
    code, out, err = report(capsys, "runs", "--k", 9)
    assert (code, out) == (2, "")
    assert "no folder has enough samples of every problem for k = 9" in err


def test_json_is_one_object_a_folder_the_best_first(runs, capsys):
    out = report(capsys, "runs", "--json")[1]
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.pop("folder") for row in rows] == ["runs/top", "runs/low"]
    assert rows == [runs[name].to_json() for name in ("runs/top", "runs/low")]


def test_by_problem_shows_counts_and_the_first_failure(runs, capsys):
    out = report(capsys, "runs/top", "--by-problem")[1]
    lines = out.splitlines()[5:]
    assert lines[0] == "runs/top"
    assert lines[4].split()[:5] == ["b/1", "4", "3", "75.0", "%"]
    assert lines[4].endswith(r"3 passed, 1 wrong_answer  \x1b[2Jno \ud800")
    rows = json.loads(report(capsys, "runs/top", "--by-problem", "--json")[1])["problems"]
    assert rows[1] == {
        "task_id": "b/1", "n": 4, "c": 3, "pass@1": 0.75,
        "verdicts": {"passed": 3, "wrong_answer": 1}, "first_failure": "\x1b[2Jno \ud800",
    }  # fmt: skip


def test_compare_says_what_the_difference_is_worth(runs, capsys):
    out = report(capsys, "runs/low", "runs/top", "--compare")[1]
    assert "first: runs/low\nsecond: runs/top" in out
    assert "difference: +37.5 points" in out
    assert "second is better on 2, worse on 0, the same on 2" in out
    last = json.loads(report(capsys, "runs/low", "runs/top", "--compare", "--json")[1].splitlines()[-1])
    assert (last["first"], last["second"]) == ("runs/low", "runs/top")
    (comparison,) = last["comparisons"]
    assert (comparison["k"], comparison["difference"], comparison["p_value"]) == (1, 0.375, 0.5)
    assert [change["task_id"] for change in comparison["changes"]] == ["b/0", "b/1"]


def test_compare_warns_of_another_sandbox(runs, capsys):
    write_run("other", [1, 1, 1, 1], tier="C")
    code, _, err = report(capsys, "runs/low", "other", "--compare")
    assert code == 0
    assert "different sandbox tier: A and C" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs/low",), "takes two evaluations, got 1"),
        (("runs", "few"), "takes two evaluations, got 3"),
        (("runs/low", "few", "--k", "3"), "no k that both"),
        (("runs/low", "elsewhere"), "different data sets"),
        (("runs/low", "begun"), "begun is not finished: 4 samples judged"),
    ],
)
def test_compare_refuses_what_it_cannot_compare(runs, capsys, words, message):
    write_run("few", [1, 1, 1, 1], n=2, ks=(2,))
    write_run("elsewhere", [1], sha256="b" * 64)
    write_run("begun", [1], report=False)
    code, out, err = report(capsys, *words, "--compare")
    assert (code, out) == (2, "")
    assert message in err


def test_an_unfinished_folder_is_told_of_and_the_others_are_shown(runs, capsys):
    write_run("runs/begun", [1], report=False)
    code, out, err = report(capsys, "runs")
    assert code == 0
    assert len(out.splitlines()) == 5
    assert "runs/begun is not finished: 4 samples judged" in err
    assert "hrm-codegen eval --ckpt FILE --data DATA --timeout 2.0 --out runs/begun" in err
    code, out, err = report(capsys, "runs/begun")
    assert (code, out) == (2, "")
    assert "runs/begun is not finished" in err


def test_a_page_is_written_whole(runs, capsys):
    code, out, _ = report(capsys, "runs", "--compare", "--html", "page.html")
    assert code == 0
    assert "second is better" in out
    text = Path("page.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert "second is better on 2" in text
    assert text.count("<details>") == 7


def test_broken_folders_are_errors_with_a_place(runs, capsys):
    Path("runs/low/report.json").write_text("{")
    code, out, err = report(capsys, "runs")
    assert (code, out) == (1, "")
    assert err.startswith("DatasetError: runs/low/report.json: broken")
    assert report(capsys, "nowhere")[0] == 2
