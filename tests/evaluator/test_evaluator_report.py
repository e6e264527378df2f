"""Metrics, tables and diffs, from verdicts made up here."""

from __future__ import annotations

import json

import pytest

from hrm_codegen.data.problem import Problem
from hrm_codegen.evaluator import (
    EvalResult,
    ProgramResult,
    SampleResult,
    Verdict,
    bootstrap_interval,
    pass_pow_k,
    render_diff,
    render_table,
    wilson_interval,
)
from hrm_codegen.evaluator.report import compute_metrics

PROBLEMS = [Problem(task_id=f"b/{i}", text="t", level=1 + i % 2) for i in range(6)]


def sample(task, number, verdict):
    return SampleResult(task_id=task, sample=number, result=ProgramResult(verdict=Verdict(verdict)), completion="c")


SAMPLES = [sample(f"b/{i}", j, "passed" if j < i else "wrong_answer") for i in range(6) for j in range(5)]


def test_metrics_are_floats_with_intervals_levels_and_counts():
    metrics = compute_metrics(PROBLEMS, SAMPLES, (1, 3), seed=4)
    assert all(type(value) is float for value in metrics.values())
    assert metrics["pass@1"] == pytest.approx(0.5)
    assert (metrics["pass@1_low"], metrics["pass@1_high"]) == pytest.approx(wilson_interval(3, 6))
    values = [0.0, 0.6, 0.9, 1.0, 1.0, 1.0]
    assert metrics["pass@3"] == pytest.approx(sum(values) / 6)
    assert (metrics["pass@3_low"], metrics["pass@3_high"]) == pytest.approx(bootstrap_interval(values, seed=4))
    assert metrics["pass^1"] == metrics["pass@1"]
    assert metrics["pass^3"] == pytest.approx(sum(pass_pow_k(5, c, 3) for c in range(6)) / 6)
    assert metrics["pass@1_level1"] == pytest.approx((0 + 0.4 + 0.8) / 3)
    assert metrics["pass@3_level2"] == pytest.approx((0.6 + 1 + 1) / 3)
    assert (metrics["n_problems"], metrics["n_samples"], metrics["n_passed"]) == (6.0, 30.0, 15.0)


def test_an_interval_has_a_width_even_at_the_ends():
    metrics = compute_metrics(PROBLEMS, [sample(p.task_id, j, "passed") for p in PROBLEMS for j in range(2)], (2,))
    assert metrics["pass@2_low"] < metrics["pass@2_high"] == 1.0


def test_verdicts_are_counted_by_kind():
    metrics = compute_metrics(PROBLEMS, [sample("b/0", i, verdict) for i, verdict in enumerate(Verdict)], (1,))
    assert {name: metrics[f"n_{name}"] for name in Verdict} == dict.fromkeys(Verdict, 1.0)
    assert (metrics["n_timeouts"], metrics["n_errors"], metrics["n_missing"]) == (2.0, 6.0, 5.0)


def make_result(name="m", ks=(1, 3)):
    return EvalResult(
        metrics=compute_metrics(PROBLEMS, SAMPLES, ks),
        samples=tuple(SAMPLES),
        dataset={"name": "d"},
        model={"name": name, "path": None},
        sandbox={},
        settings={"k": list(ks)},
    )


def test_results_survive_a_file(tmp_path):
    make_result().to_jsonl(tmp_path / "r.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [SampleResult.from_row(row) for row in rows] == SAMPLES


ROW = {"task_id": "b/1", "sample": 0, "verdict": "passed", "completion": "c", "changes": []}


def test_a_line_of_an_earlier_version_is_read():
    assert SampleResult.from_row(ROW | {"of_a_later_version": 1}) == sample("b/1", 0, "passed")


@pytest.mark.parametrize("name", ROW)
def test_a_line_without_a_field_is_refused(name):
    with pytest.raises(KeyError, match=name):
        SampleResult.from_row({key: value for key, value in ROW.items() if key != name})


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": 1},
        {"sample": "0"},
        {"completion": None},
        {"changes": "x"},
        {"message": 3},
        {"got": []},
        {"verdict": "x"},
    ],
)
def test_a_line_with_another_kind_of_value_is_refused(change):
    with pytest.raises((TypeError, ValueError)):
        SampleResult.from_row(ROW | change)


def test_what_does_not_have_samples_has_no_share_of_the_power():
    metrics = compute_metrics(PROBLEMS, [sample("b/0", 0, "passed")], (1,))
    assert metrics["pass^1"] == pytest.approx(1 / 6)


def test_the_table_of_one_evaluation():
    lines = render_table(make_result()).splitlines()
    assert lines[0].split() == ["model", "pass@1", "pass@3"]
    assert lines[2].startswith("m ")
    assert "50.0 % [18.8, 81.2]" in lines[2]
    assert [line.split()[:4] for line in lines[3:5]] == [["level", "1", "40.0", "%"], ["level", "2", "60.0", "%"]]
    assert lines[-1] == "6 problems, 30 samples, 0 timeouts, 0 errors"


def test_the_table_of_two_evaluations_has_dashes_for_what_is_missing():
    lines = render_table([make_result("a"), make_result("bb", (1,))]).splitlines()
    assert lines[5].split()[-1] == "-"
    assert lines[-2:] == [f"{name}: 6 problems, 30 samples, 0 timeouts, 0 errors" for name in ("a", "bb")]


def failure(expected, got):
    result = ProgramResult(verdict=Verdict.WRONG_ANSWER, message="AssertionError", failing_test="assert f() == y")
    return ProgramResult(**vars(result) | {"expected": expected, "got": got})


def test_a_diff_is_unified():
    assert render_diff(failure("[1, 2]", "[1, 3]")).splitlines() == [
        "assert f() == y",
        "--- expected",
        "+++ got",
        "@@ -1 +1 @@",
        "-[1, 2]",
        "+[1, 3]",
    ]


def test_a_diff_of_long_values_points_at_the_element():
    lines = render_diff(failure(repr(list(range(1000, 1060))), repr([*range(1000, 1059), 7]))).splitlines()
    assert [line for line in lines if line[:1] in "-+" and line[:3] not in ("---", "+++")] == ["- 1059]", "+ 7]"]
    text = render_diff(failure(repr("a\nb\n"), repr("a\nc\n"))).splitlines()
    assert text[-2:] == ["-'b\\n'", "+'c\\n'"]


def test_equal_texts_of_different_values_are_both_shown():
    assert render_diff(failure("nan", "nan")).splitlines()[1:] == ["--- expected", "+++ got", "-nan", "+nan"]


@pytest.mark.parametrize("text", ["<object A>", "(" * 3000, "-" * 3000 + "1", "", "{[]: 1}"])
def test_texts_that_are_no_literals_are_shown_as_they_are(text):
    assert f"-{text}" in render_diff(failure(text, "1"))


def test_colours_only_when_asked_for():
    assert "\x1b" not in render_diff(failure("1", "2"))
    assert "\x1b[31m-1\x1b[0m" in render_diff(failure("1", "2"), color=True)


def test_without_two_sides_the_message_is_shown():
    assert render_diff(failure(None, None)) == "assert f() == y\nAssertionError"
    assert render_diff(ProgramResult(verdict=Verdict.PASSED)) == ""


def test_the_call_is_shown_where_the_test_does_not_say_it():
    result = ProgramResult(**vars(failure("1", "2")) | {"failing_test": "check(f)", "call": "f(3, x='\\n')"})
    assert render_diff(result).splitlines()[:3] == ["check(f)", "call: f(3, x='\\n')", "--- expected"]
    said = ProgramResult(**vars(failure("1", "2")) | {"failing_test": "assert f(3) == 1", "call": "f(3)"})
    assert "call:" not in render_diff(said)
    silent = ProgramResult(**vars(failure(None, None)) | {"call": "f(4)"})
    assert render_diff(silent).splitlines() == ["assert f() == y", "call: f(4)", "AssertionError"]


@pytest.mark.parametrize("color", [False, True])
def test_control_characters_in_a_diff_are_shown(color):
    hostile = "\x1b[2J\u202e\ud800"
    texts = {"failing_test": hostile, "call": f"{hostile}!", "expected": f"<{hostile}>", "got": f"[{hostile}"}
    text = render_diff(ProgramResult(**vars(failure("", "")) | texts), color=color)
    assert not {"\u202e", "\ud800"} & set(text)
    assert "\x1b[2J" not in text
    assert text.count("\\x1b[2J\\u202e\\ud800") == 4
    message = ProgramResult(verdict=Verdict.EXCEPTION, message=hostile)
    assert render_diff(message, color=color) == "\\x1b[2J\\u202e\\ud800"
