"""The paired comparison against enumeration, the binomial sign test and the normal approximation."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tracemalloc
from math import comb

import numpy as np
import pytest

from hrm_codegen.data.problem import Problem
from hrm_codegen.errors import UsageError
from hrm_codegen.evaluator import EvalResult, ProgramResult, SampleResult, Verdict, compare_runs, wilson_interval
from hrm_codegen.evaluator.compare import difference_interval, render_comparison, sign_flip_p_value
from hrm_codegen.evaluator.report import compute_metrics


def make_run(right, *, n=4, problems=None, sha256="a" * 64, sandbox=None, timeout=2.0, ks=(1,)):
    """A run with `right[i]` right ones of n samples of problem i; None: no sample at all."""
    samples = tuple(
        SampleResult(
            task_id=f"b/{i}",
            sample=j,
            result=ProgramResult(verdict=Verdict.PASSED if j < c else Verdict.WRONG_ANSWER),
            completion="c",
        )
        for i, c in enumerate(right)
        if c is not None
        for j in range(n)
    )
    asked = [Problem(task_id=f"b/{i}", text="t") for i in range(len(right) if problems is None else problems)]
    return EvalResult(
        metrics=compute_metrics(asked, samples, ks),
        samples=samples,
        dataset={"name": "d", "sha256": sha256},
        model={"name": "m"},
        sandbox={"tier": "A"} if sandbox is None else sandbox,
        settings={"k": list(ks), "timeout": timeout},
    )


@pytest.mark.parametrize("differences", [[0.5, -0.25, 1.0, 0.0], [1.0] * 7, [0.1, 0.2, -0.3], [0.3, -0.1, -0.2, 0.7]])
def test_few_differences_are_counted_exactly(differences):
    hundredths = [round(100 * difference) for difference in differences if difference]
    sums = [sum(map(math.prod, zip(hundredths, signs, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(hundredths))]  # fmt: skip
    share = sum(abs(value) >= abs(sum(hundredths)) for value in sums) / len(sums)
    assert sign_flip_p_value(differences) == share


@pytest.mark.parametrize(("wins", "losses"), [(40, 20), (33, 27), (30, 30), (50, 10)])
def test_many_differences_of_one_size_are_a_sign_test(wins, losses):
    m = wins + losses
    tail = sum(comb(m, i) for i in range(max(wins, losses), m + 1)) / 2**m
    exact = min(1.0, 2 * tail) if wins != losses else 1.0
    drawn = sign_flip_p_value([1.0] * wins + [-1.0] * losses + [0.0] * 100, num_resamples=40_000)
    assert abs(drawn - exact) <= 5 * math.sqrt(exact * (1 - exact) / 40_000) + 1 / 40_000


def test_a_p_value_is_seeded_never_zero_and_one_without_differences():
    assert sign_flip_p_value([1.0] * 400) == 1 / 10_001
    assert sign_flip_p_value([0.0] * 5) == 1.0
    values = [0.2, -0.1] * 20
    assert sign_flip_p_value(values, seed=1) == sign_flip_p_value(values, seed=1)
    assert sign_flip_p_value(values, seed=1) != sign_flip_p_value(values, seed=2)


def test_under_the_null_p_values_are_spread_evenly():
    rng = np.random.default_rng(0)
    p_values = [sign_flip_p_value(list(rng.normal(size=40)), seed=i) for i in range(300)]
    assert abs(np.mean(np.array(p_values) < 0.1) - 0.1) <= 4 * math.sqrt(0.09 / 300)


def test_the_interval_agrees_with_the_normal_approximation_of_paired_differences():
    rng = np.random.default_rng(3)
    differences = list(rng.choice([-0.5, 0.0, 0.0, 0.25, 1.0], 800))
    half = 1.96 * np.std(differences) / math.sqrt(800)
    assert difference_interval(differences) == pytest.approx(
        (np.mean(differences) - half, np.mean(differences) + half), abs=4e-3
    )


def test_an_interval_has_a_width_where_no_problem_differs():
    unseen = wilson_interval(0, 50)[1]
    assert difference_interval([0.0] * 50) == (-unseen, unseen)
    assert difference_interval([1.0] * 50) == (1 - unseen, 1.0)


def test_thousands_of_problems_take_little_memory():
    tracemalloc.start()
    sign_flip_p_value([0.5, -0.25] * 2_500)
    difference_interval([0.5, -0.25] * 2_500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_a_comparison_is_paired_by_problem():
    comparison = compare_runs(make_run([0, 4, 2, 3]), make_run([2, 4, 1, 4]))
    assert (comparison.first, comparison.second) == (9 / 16, 11 / 16)
    assert comparison.difference == pytest.approx(1 / 8)
    assert (comparison.wins, comparison.losses, comparison.ties) == (2, 1, 1)
    assert [(c.task_id, c.first, c.second, c.difference) for c in comparison.changes] == [
        ("b/0", (4, 0), (4, 2), 0.5),
        ("b/2", (4, 2), (4, 1), -0.25),
        ("b/3", (4, 3), (4, 4), 0.25),
    ]
    assert comparison.low <= comparison.difference <= comparison.high
    assert comparison.p_value == sign_flip_p_value([0.5, -0.25, 0.25])
    assert comparison.notes == ()


def test_another_k_is_of_its_own_estimates():
    comparison = compare_runs(make_run([1, 0]), make_run([2, 0]), k=2)
    assert comparison.difference == pytest.approx((5 / 6 - 1 / 2) / 2)


def test_turning_the_runs_round_turns_the_sign():
    runs = make_run([0, 4, 2, 3, 1]), make_run([2, 4, 1, 4, 1])
    there, back = compare_runs(*runs), compare_runs(*runs[::-1])
    assert back.difference == -there.difference
    assert (back.wins, back.losses) == (there.losses, there.wins)
    assert back.p_value == there.p_value
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=0.02)


def test_a_problem_without_samples_counts_as_failed_like_in_the_report():
    first, second = make_run([4, None, None]), make_run([4, 2, None])
    comparison = compare_runs(first, second)
    assert comparison.problems == 3
    assert (comparison.first, comparison.second) == (first.metrics["pass@1"], second.metrics["pass@1"])
    assert [(c.task_id, c.first, c.second) for c in comparison.changes] == [("b/1", (0, 0), (4, 2))]


def test_runs_with_another_limit_are_compared_on_what_both_have():
    comparison = compare_runs(make_run([1, 1]), make_run([2, 2, 0, 0]))
    assert (comparison.problems, comparison.difference) == (2, 0.25)
    assert comparison.notes == ("compared on the 2 problems that both have, of 2 and 4",)


def test_a_problem_that_both_were_asked_counts_though_one_has_no_sample_of_it():
    runs = [make_run([1, None]), make_run([2, 2, 0, 0])]
    named = [
        dataclasses.replace(run, dataset=run.dataset | {"task_ids": [f"b/{i}" for i in range(size)]})
        for run, size in zip(runs, (2, 4), strict=True)
    ]
    assert compare_runs(*named).problems == 2
    assert compare_runs(*named).difference == pytest.approx((0.25 + 0.5) / 2)
    assert compare_runs(*runs).problems == 1


def test_other_conditions_are_noted():
    comparison = compare_runs(make_run([1]), make_run([1], sandbox={"tier": "C", "python": "3.12"}, timeout=4.0))
    assert comparison.notes == (
        "different sandbox python: None and 3.12",
        "different sandbox tier: A and C",
        "different time limit: 2.0 and 4.0",
    )


@pytest.mark.parametrize(
    ("second", "options", "message"),
    [
        (make_run([1], sha256="b" * 64), {}, r"different data sets \(d and d\)"),
        (make_run([None, 1]), {}, "no problem in common"),
        (make_run([1]), {"k": 5}, "no pass@5 of the first run: some problem has 4 samples"),
        (make_run([1], n=2), {"k": 3}, "no pass@3 of the second run: some problem has 2 samples"),
        (make_run([1]), {"k": 0}, "no pass@0"),
        (make_run([1]), {"num_resamples": 9_999}, "at least 10000"),
    ],
)
def test_what_cannot_be_compared(second, options, message):
    with pytest.raises(UsageError, match=message):
        compare_runs(make_run([1]), second, **options)


def test_a_comparison_as_text_lists_the_largest_changes():
    lines = render_comparison(compare_runs(make_run([0] * 15 + [4]), make_run([4] * 3 + [1] * 12 + [4]))).splitlines()
    assert lines[0] == "pass@1 on 16 problems: 6.2 % first, 43.8 % second"
    assert lines[1].startswith("difference: +37.5 points [+")
    assert lines[1].endswith("p = 0.0001 (paired sign-flip test, two-sided)")
    assert lines[2] == "second is better on 15, worse on 0, the same on 1"
    assert [line.split() for line in lines[6:8]] == [["b/0", "0/4", "4/4", "+100.0"], ["b/1", "0/4", "4/4", "+100.0"]]
    assert lines[-1] == "and 5 more"


def test_a_comparison_of_equals_has_no_table():
    lines = render_comparison(compare_runs(make_run([1, 2]), make_run([1, 2]))).splitlines()
    assert len(lines) == 3
    assert lines[1].endswith("p = 1 (paired sign-flip test, two-sided)")
