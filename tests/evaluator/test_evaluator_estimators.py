"""The estimators against enumeration, exact fractions and textbook values."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_codegen.errors import UsageError
from hrm_codegen.evaluator import bootstrap_interval, estimate_pass_at_k, pass_pow_k, wilson_interval

COUNTS = st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


@given(COUNTS)
@settings(max_examples=50, deadline=None)
def test_pass_at_k_is_the_share_of_draws_with_a_right_sample(counts):
    n, c, k = counts
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert estimate_pass_at_k(n, c, k) == float(Fraction(sum(map(any, draws)), len(draws)))


@given(COUNTS)
@settings(max_examples=50, deadline=None)
def test_pass_pow_k_is_the_share_of_draws_that_are_all_right(counts):
    n, c, k = counts
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_pow_k(n, c, k) == float(Fraction(sum(map(all, draws)), len(draws)))


def pascal(size):
    """Binomial coefficients by addition alone."""
    rows = [[1]]
    for _ in range(size):
        rows.append([1, *map(sum, itertools.pairwise(rows[-1])), 1])
    return rows


def test_both_estimators_equal_rational_arithmetic_up_to_sixty_samples():
    choose = pascal(60)
    for n in range(1, 61):
        for c in range(n + 1):
            for k in range(1, n + 1):
                # Draws of k by how many of them are right, j of the c and k - j of the others.
                draws = {j: choose[c][j] * choose[n - c][k - j] for j in range(max(0, k - (n - c)), min(c, k) + 1)}
                total = sum(draws.values())
                some_right = Fraction(sum(count for j, count in draws.items() if j >= 1), total)
                assert Fraction(estimate_pass_at_k(n, c, k)) == Fraction(float(some_right))
                assert Fraction(pass_pow_k(n, c, k)) == Fraction(float(Fraction(draws.get(k, 0), total)))


def no_success_in_a_row(n, c, k):
    """The share of k draws without replacement that are all wrong, draw after draw."""
    wrong = n - c
    numerator = denominator = 1
    for i in range(k):
        numerator, denominator = numerator * max(wrong - i, 0), denominator * (n - i)
    return Fraction(numerator, denominator)


@pytest.mark.parametrize("c", [0, 1, 2, 37, 5_000, 9_900, 9_998, 9_999, 10_000])
@pytest.mark.parametrize("k", [1, 2, 10, 100, 5_000, 9_900, 9_999, 10_000])
def test_ten_thousand_samples_are_exact_to_rounding(c, k):
    n = 10_000
    some_right, all_right = 1 - no_success_in_a_row(n, c, k), no_success_in_a_row(n, n - c, k)
    assert abs(Fraction(estimate_pass_at_k(n, c, k)) - some_right) <= some_right * Fraction(1, 10**12)
    assert abs(Fraction(pass_pow_k(n, c, k)) - all_right) <= all_right * Fraction(1, 10**12) + Fraction(1, 10**320)


@pytest.mark.parametrize(("n", "c", "k"), [(200, 37, 1), (10_000, 1, 100), (10_000, 37, 5_000), (10_000, 9_000, 7)])
def test_pass_at_k_has_no_cancellation(n, c, k):
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    assert abs(Fraction(estimate_pass_at_k(n, c, k)) - exact) <= abs(exact) * Fraction(1, 10**15)


@pytest.mark.parametrize(("n", "c", "k"), [(20_000, 1, 10), (20_000, 300, 100), (20_000, 100, 300), (11_000, 2, 9_999)])
def test_large_counts_stay_within_rounding_of_exact_arithmetic(n, c, k):
    exact = float(1 - Fraction(comb(n - c, k), comb(n, k)))
    power = float(Fraction(comb(n - c, k), comb(n, k)))
    assert estimate_pass_at_k(n, c, k) == pytest.approx(exact, rel=1e-13)
    assert pass_pow_k(n, n - c, k) == pytest.approx(power, rel=1e-13)


def test_a_share_near_zero_of_many_samples_does_not_cancel():
    for c in (10, 100):
        assert pass_pow_k(20_000, c, 10) == pytest.approx(comb(c, 10) / comb(20_000, 10), rel=1e-13)


def test_large_counts_at_the_ends():
    assert str(estimate_pass_at_k(20_000, 0, 5)) == "0.0"  # and not -0.0
    assert estimate_pass_at_k(20_000, 19_999, 2) == 1.0
    assert pass_pow_k(20_000, 20_000, 5) == 1.0
    assert pass_pow_k(20_000, 4, 5) == 0.0


@pytest.mark.parametrize("estimator", [estimate_pass_at_k, pass_pow_k])
@pytest.mark.parametrize(("n", "c", "k"), [(5, 1, 6), (5, 1, 0), (5, 1, -1), (5, 6, 1), (5, -1, 1), (0, 0, 1)])
def test_counts_without_meaning_raise(estimator, n, c, k):
    with pytest.raises(UsageError) as caught:
        estimator(n, c, k)
    assert isinstance(caught.value, ValueError)


def test_wilson_has_the_published_width_at_zero():
    low, high = wilson_interval(0, 164)
    assert low == 0.0
    assert high == pytest.approx(0.0229, abs=5e-5)
    assert wilson_interval(164, 164) == (pytest.approx(1 - high), 1.0)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
@settings(max_examples=50, deadline=None)
def test_wilson_ends_solve_the_score_equation(counts):
    n, successes = counts
    for end in wilson_interval(successes, n):
        assert 0 <= end <= 1
        assert (successes / n - end) ** 2 == pytest.approx(1.959963984540054**2 * end * (1 - end) / n, abs=1e-12)


def test_bootstrap_is_seeded_and_agrees_with_the_normal_approximation():
    values = [float(i % 3 == 0) for i in range(900)]
    low, high = bootstrap_interval(values, seed=3)
    assert (low, high) == bootstrap_interval(values, seed=3)
    half = 1.96 * np.std(values) / np.sqrt(len(values))
    assert low == pytest.approx(1 / 3 - half, abs=0.004)
    assert high == pytest.approx(1 / 3 + half, abs=0.004)


def test_bootstrap_in_chunks_covers_the_mean():
    values = [float(i % 2) for i in range(3000)]  # more problems than one block of resamples holds
    low, high = bootstrap_interval(values)
    assert low < 0.5 < high


@pytest.mark.parametrize(
    "call",
    [
        lambda: bootstrap_interval([]),
        lambda: bootstrap_interval([1.0], num_resamples=100),
        lambda: bootstrap_interval([1.0], confidence=1.0),
        lambda: wilson_interval(1, 0),
        lambda: wilson_interval(2, 1),
        lambda: wilson_interval(1, 2, confidence=0.0),
    ],
)
def test_intervals_refuse_nonsense(call):
    with pytest.raises(UsageError):
        call()
