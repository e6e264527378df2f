"""Breakdown, leaderboard, page and the text cells they are made of."""

from __future__ import annotations

import dataclasses
import html.parser
import json

import pytest

from hrm_codegen.data.problem import Problem
from hrm_codegen.evaluator import EvalResult, ProgramResult, SampleResult, Verdict, compare_runs
from hrm_codegen.evaluator.breakdown import break_down, describe_tests, fewest_samples, render_breakdown, with_ks
from hrm_codegen.evaluator.leaderboard import Entry, ranked, render_leaderboard
from hrm_codegen.evaluator.page import render_page
from hrm_codegen.evaluator.report import compute_metrics
from hrm_codegen.evaluator.table import shorten, visible

HOSTILE = "<script>alert('x')</script>\x1b[31m\u202e\ud800\n\"&"
PROBLEMS = [Problem(task_id=f"b/{i}", text="t", level=1) for i in range(5)]


def make_run(right, *, n=3, ks=(1,), sha256="a" * 64, message="wrong", **settings):
    samples = tuple(
        SampleResult(
            task_id=f"b/{i}",
            sample=j,
            result=ProgramResult(verdict=Verdict.PASSED)
            if j < c
            else ProgramResult(verdict=Verdict.CRASH if j == n - 1 else Verdict.WRONG_ANSWER, message=message),
            completion=message,
        )
        for i, c in enumerate(right)
        for j in range(n)
    )
    return EvalResult(
        metrics=compute_metrics(PROBLEMS, samples, ks, seed=7),
        samples=samples,
        dataset={"name": "d", "sha256": sha256},
        model={"name": "m"},
        sandbox={},
        settings={"k": list(ks), "seed": 7, **settings},
    )


def test_a_problem_is_broken_down_into_counts_estimates_and_its_first_failure():
    first, second = break_down(make_run([1, 3]), (1, 2, 9))
    assert (first.task_id, first.n, first.c) == ("b/0", 3, 1)
    assert first.pass_at_k == pytest.approx({1: 1 / 3, 2: 2 / 3})
    assert first.verdicts == {"crash": 1, "passed": 1, "wrong_answer": 1}
    assert first.first_failure is not None
    assert first.first_failure.sample == 1
    assert second.first_failure is None
    assert second.to_json() == {
        "task_id": "b/1",
        "n": 3,
        "c": 3,
        "pass@1": 1.0,
        "pass@2": 1.0,
        "verdicts": {"passed": 3},
        "first_failure": None,
    }
    assert first.to_json()["first_failure"] == "wrong"


def test_a_breakdown_as_text_has_a_row_a_problem_and_counts_the_missing():
    lines = render_breakdown(make_run([0, 3]), (1, 9)).splitlines()
    assert lines[0].split() == ["problem", "n", "c", "pass@1", "pass@9", "verdicts", "first", "failure"]
    assert lines[2].split() == ["b/0", "3", "0", "0.0", "%", "-", "2", "wrong_answer,", "1", "crash", "wrong"]
    assert lines[3].split() == ["b/1", "3", "3", "100.0", "%", "-", "3", "passed"]
    assert lines[4:] == ["3 more without samples: counted as failed"]


def test_metrics_of_another_k_are_those_the_report_would_have():
    late = with_ks(make_run([0, 1, 2, 3, 1]), (1, 2, 3, 4))
    early = make_run([0, 1, 2, 3, 1], ks=(1, 2, 3))
    assert late.settings["k"] == [1, 2, 3]
    wanted = {name: value for name, value in early.metrics.items() if "_level" not in name}
    assert {name: late.metrics[name] for name in wanted} == wanted


def test_metrics_that_the_report_has_are_kept():
    result = make_run([1, 2, 3, 0, 0])
    kept = dataclasses.replace(result, metrics=result.metrics | {"pass@1": 0.125})
    assert with_ks(kept, (1,)).metrics["pass@1"] == 0.125
    old = {name: value for name, value in result.metrics.items() if not name.startswith("pass^")}
    assert with_ks(dataclasses.replace(result, metrics=old), (1,)).metrics["pass^1"] == result.metrics["pass^1"]


def test_a_run_without_samples_tells_no_k():
    empty = make_run([])
    assert fewest_samples(empty) == 0
    assert with_ks(empty, (1,)).settings["k"] == []


def test_the_leaderboard_has_a_table_a_data_set_with_the_best_first():
    low, high, other = make_run([0, 1, 1, 1, 1]), make_run([3, 3, 3, 3, 0]), make_run([1], n=1, sha256="b" * 64)
    entries = [Entry("low", low), Entry("other", other), Entry("high", high)]
    first, second = (block.splitlines() for block in render_leaderboard(entries, (1, 2)).split("\n\n"))
    assert first[0] == "d (sha256 aaaaaaaaaaaa)"
    assert first[1].split() == ["folder", "model", "problems", "n", "pass@1", "pass@2", "pass^2"]
    assert [line.split()[0] for line in first[3:]] == ["high", "low"]
    assert first[3].split()[:6] == ["high", "m", "5", "3", "80.0", "%"]
    assert second[0] == "d (sha256 bbbbbbbbbbbb)"
    assert second[3].split()[-2:] == ["-", "-"]


def test_temperature_and_top_p_are_columns_where_some_run_has_them():
    entries = [Entry("a", make_run([1], temperature=0.25, top_p=None)), Entry("b", make_run([1]))]
    lines = render_leaderboard(entries, (1,)).splitlines()
    assert lines[1].split() == ["folder", "model", "problems", "n", "T", "pass@1"]
    assert [line.split()[4] for line in lines[3:]] == ["0.25", "-"]


def test_runs_without_the_first_k_come_last():
    entries = [Entry("without", make_run([1], ks=(2,))), Entry("zero", make_run([0], ks=(1,)))]
    assert [entry.folder for entry in ranked(entries, 1)] == ["zero", "without"]


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and texts."""

    def __init__(self, text):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def hostile_entry(folder=HOSTILE):
    result = make_run([0, 1, 3, 3, 2], ks=(1, 2), message=HOSTILE)
    samples = tuple(dataclasses.replace(sample, task_id=sample.task_id + HOSTILE) for sample in result.samples)
    names = {"dataset": {"name": HOSTILE, "sha256": HOSTILE}, "model": {"name": HOSTILE}}
    return Entry(folder, dataclasses.replace(result, samples=samples, **names))


def test_a_page_holds_everything_and_runs_nothing_of_it():
    first, second = hostile_entry(), hostile_entry("better")
    comparison = dataclasses.replace(compare_runs(first.result, second.result), notes=(HOSTILE,))
    text = render_page([first, second], (1, 2, 3), [comparison])
    text.encode("utf-8")
    page = Page(text)
    assert not page.tags & {"script", "img", "a", "iframe", "link", "object", "form"}
    assert page.attributes <= {
        "lang", "charset", "http-equiv", "content", "name", "viewbox", "preserveaspectratio",
        "x1", "x2", "y1", "y2", "cx", "cy", "r",
    }  # fmt: skip
    assert not set(text) & set("\x1b\u202e\ud800")
    assert "default-src 'none'" in text
    shown = "".join(page.texts)
    assert shown.count("<script>alert('x')</script>") > 10
    for words in ("pass@2", "pass^2", "2 wrong_answer, 1 crash", "paired sign-flip test", "sample 1: "):
        assert words in shown


def test_a_page_draws_the_intervals_that_there_are():
    text = render_page([Entry("a", make_run([3, 3, 3, 3, 3], n=3)), Entry("b", make_run([0, 0], ks=(2,)))], (1, 2))
    assert text.count("<svg") == 2
    assert '<circle cx="100.0"' in text
    assert "3 more without samples: counted as failed" in text


def test_a_page_cuts_long_texts():
    assert len(render_page([Entry("a", make_run([0], n=1, message="x" * 1_000_000))], (1,))) < 30_000


def test_visible_text_keeps_letters_and_escapes_what_a_terminal_would_obey():
    assert visible("é漢 ok") == "é漢 ok"
    assert visible("a\x1b[2J\nb\t\u202e\ud800") == r"a\x1b[2J\nb\t\u202e\ud800"
    assert visible("a\n\tb\r", lines=True) == "a\n\tb\\r"
    assert json.loads(f'"{visible(chr(0x85))}"'.replace(r"\x", r"\u00")) == "\x85"


def test_shortened_text_has_its_length():
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


def with_tests(*verdicts, total):
    verdict = Verdict.PASSED if set(verdicts) == {"passed"} and len(verdicts) == total else Verdict.WRONG_ANSWER
    return ProgramResult(verdict=verdict, tests=verdicts, tests_total=total)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (with_tests("passed", "passed", total=2), "2 of 2 tests passed"),
        (with_tests("passed", "exception", total=2), "1 of 2 tests passed; failed: 2"),
        (with_tests("crash", total=3), "0 of 3 tests passed; failed: 1; 2 not run"),
        (with_tests("passed", total=2), "1 of 2 tests passed; 1 not run"),
        (ProgramResult(verdict=Verdict.LOAD_ERROR, tests_total=2), ""),
        (with_tests("exception", total=1), ""),
    ],
)
def test_what_became_of_the_tests_in_words(result, text):
    assert describe_tests(result) == text


def test_the_share_of_tests_is_told_where_all_were_run():
    run = make_run([1], n=3)
    results = [
        with_tests("passed", "passed", total=2),
        with_tests("passed", "exception", total=2),
        ProgramResult(verdict=Verdict.LOAD_ERROR),
    ]
    samples = tuple(dataclasses.replace(s, result=r) for s, r in zip(run.samples, results, strict=True))
    stopped = dataclasses.replace(run, samples=samples)
    whole = dataclasses.replace(stopped, settings=run.settings | {"all_tests": True})
    assert break_down(whole, (1,))[0].tests_passed == pytest.approx((1 + 0.5 + 0) / 3)
    assert break_down(whole, (1,))[0].to_json()["tests_passed"] == pytest.approx(0.5)
    assert break_down(stopped, (1,))[0].tests_passed is None
    lines = render_breakdown(whole, (1,)).splitlines()
    assert lines[0].split() == ["problem", "n", "c", "pass@1", "tests", "verdicts", "first", "failure"]
    assert lines[2].split()[:7] == ["b/0", "3", "1", "33.3", "%", "50.0", "%"]
    page = render_page([Entry("f", whole)], (1,))
    assert "<th>tests</th>" in page
    assert "1 of 2 tests passed; failed: 2" in page
    assert "<th>tests</th>" not in render_page([Entry("f", stopped)], (1,))
