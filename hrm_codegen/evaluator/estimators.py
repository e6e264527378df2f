"""Pass@k and its uncertainty, as numbers: from counts of right answers to an estimate with an interval.

Pure functions, without a sandbox or a file. The estimator is that of Chen et al., "Evaluating Large Language Models
Trained on Code" (arXiv 2107.03374), section 2.1, in exact arithmetic; the usual floating-point product cancels, and
answers 1.0 for k > n. Averaging over problems is the caller's: never pool the counts of different problems.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from hrm_codegen.errors import UsageError

_EXACT_LIMIT = 10_000
_RESAMPLED_VALUES = 1_000_000


def estimate_pass_at_k(n: int, c: int, k: int) -> float:
    """Returns the unbiased estimate of "at least one of k samples is right".

    1 - C(n - c, k) / C(n, k): correctly rounded for n <= 10,000, to about 1e-15 relative beyond.

    Args:
      n: Samples drawn, at least 1.
      c: Right ones among them, 0 <= c <= n.
      k: Samples a user would look at, 1 <= k <= n.

    Raises:
      UsageError: For counts without a meaning; a silent 1.0 or 0.0 would end up in a table.
    """
    _check_counts(n, c, k)
    if n - c < k:
        return 1.0
    if n <= _EXACT_LIMIT:
        draws = math.comb(n, k)
        return (draws - math.comb(n - c, k)) / draws
    return 0.0 - math.expm1(_log_share(n, c, k))  # not -expm1: c = 0 would be -0.0


def pass_pow_k(n: int, c: int, k: int) -> float:
    """Returns the unbiased estimate of "all of k samples are right": C(c, k) / C(n, k).

    Args and errors are those of `estimate_pass_at_k`.
    """
    _check_counts(n, c, k)
    if c < k:
        return 0.0
    if n <= _EXACT_LIMIT:
        return math.comb(c, k) / math.comb(n, k)
    return math.exp(_log_share(n, n - c, k))


def wilson_interval(successes: float | int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Returns Wilson's score interval of a proportion; it has a width at 0 and at 1, where a bootstrap has none.

    Args:
      successes: Between 0 and n; a fraction is allowed (a sum of estimates over problems).
      n: Trials, at least 1.
      confidence: Coverage, between 0 and 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise UsageError(f"an interval needs 0 <= successes <= n and n >= 1, got successes={successes}, n={n}")
    z = _normal_quantile(confidence)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + half) / scale)
    return low, high


def bootstrap_interval(
    values: Sequence[float], *, num_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean over problems; the same for the same seed.

    Args:
      values: One estimate a problem, at least one.
      num_resamples: At least 2,000, so that the percentiles mean something.
      confidence: Coverage, between 0 and 1.
      seed: Of the resampling.
    """
    import numpy as np

    if not values:
        raise UsageError("a bootstrap needs at least one problem")
    if num_resamples < 2000:
        raise UsageError(f"a bootstrap needs at least 2000 resamples, got {num_resamples}")
    _normal_quantile(confidence)
    data = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    rows = max(1, _RESAMPLED_VALUES // len(data))  # bounds the memory for any number of problems
    means = np.concatenate(
        [
            data[rng.integers(0, len(data), (min(rows, num_resamples - start), len(data)))].mean(axis=1)
            for start in range(0, num_resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _log_share(n: int, without: int, k: int) -> float:
    """Returns log(C(n - without, k) / C(n, k)), the share of draws that avoid `without` of the n samples."""
    few, many = min(without, k), max(without, k)  # the share is symmetric: take the product with fewer factors
    terms = (
        # An exact numerator where 1 - many / (n - i) would cancel.
        math.log1p(-many / (n - i)) if 2 * many < n - i else math.log((n - i - many) / (n - i))
        for i in range(few)
    )
    return math.fsum(terms)


def _check_counts(n: int, c: int, k: int) -> None:
    if n < 1:
        raise UsageError(f"pass@k needs at least one sample, got n={n}")
    if not 0 <= c <= n:
        raise UsageError(f"pass@k needs 0 <= c <= n, got c={c}, n={n}")
    if not 1 <= k <= n:
        raise UsageError(f"pass@k needs 1 <= k <= n, got k={k}, n={n}")


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise UsageError(f"confidence must be between 0 and 1, got {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)
