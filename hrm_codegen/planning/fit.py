"""The largest batch that fits a device, from as few compilations as possible.

Memory is nearly affine in the rows of a microbatch on one device: state and weights do not grow, activations do. Two
compilations give the line, one more at its answer is the proof; if that one does not fit, the line is drawn again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

MAX_PROOFS = 3
AIM = 0.985  # Of the memory: compilers are not quite on the line, and a miss costs a compilation.
CLOSE = 0.97  # Near enough to stop.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """The most rows of a microbatch that a device has room for.

    Attributes:
      rows: On one device; 0: not even one row fits.
      peak_bytes: What the compiler says they need; None if `rows` is 0.
    """

    rows: int
    peak_bytes: int | None


def largest_rows(peak: Callable[[int], int], usable: int, known: dict[int, int], most: int) -> Fit:
    """Finds the largest number of rows whose peak is at most `usable`.

    Args:
      peak: Rows to peak bytes: a compilation.
      usable: Bytes there are.
      known: Peaks that are known already; what is compiled is added.
      most: Never more than this.

    Returns:
      A fit that was compiled, within the step of a proof of the best.
    """

    def compiled(rows: int) -> int:
        if rows not in known:
            known[rows] = peak(rows)
        return known[rows]

    first = min(known, default=most)
    compiled(first)
    if len(known) < 2:
        if first == 1 and known[1] > usable:
            return Fit(rows=0, peak_bytes=None)
        compiled(max(1, first // 2) if first > 1 else min(2, most))
    for _ in range(MAX_PROOFS):
        if any(CLOSE * usable <= need <= usable for need in known.values()):
            break
        guess = _on_line(known, usable, most)
        if guess in known:
            break
        compiled(guess)
    fitting = [rows for rows, need in known.items() if need <= usable]
    if not fitting and 1 not in known and compiled(1) <= usable:
        fitting = [1]
    return Fit(rows=max(fitting), peak_bytes=known[max(fitting)]) if fitting else Fit(rows=0, peak_bytes=None)


def smallest_accumulation(batch_size: int, shards: int, rows: int) -> int | None:
    """Returns the least `grad_accum` that keeps the global batch and gives no device more than `rows` at a time."""
    for accumulation in range(1, batch_size // shards + 1):
        microbatch, rest = divmod(batch_size, accumulation)
        if not rest and microbatch % shards == 0 and microbatch // shards <= rows:
            return accumulation
    return None


def _on_line(known: dict[int, int], usable: int, most: int) -> int:
    """Reads the answer off the line through the two known points around it, or the nearest two."""
    above = [rows for rows in known if known[rows] > usable]
    below = [rows for rows in known if known[rows] <= usable]
    if above and below:
        left, right = max(below), min(above)
    else:
        left, right = sorted(sorted(known, reverse=bool(below))[:2]) if len(known) > 1 else [*known, *known]
    slope = (known[right] - known[left]) / max(right - left, 1)
    if slope <= 0:
        return min(most, max(known))
    guess = int(left + (AIM * usable - known[left]) / slope)
    if above and below:
        if guess <= left and known[left] + slope <= usable:  # Few and large rows: one more may still fit.
            guess = left + 1
        return max(left, min(guess, right - 1))
    return max(1, min(guess, most))
