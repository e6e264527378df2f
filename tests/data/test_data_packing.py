"""How documents are put into rows: none is lost or cut, rows are full, and a place in them can be found again."""

from __future__ import annotations

import itertools

import grain
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_codegen.data.packing import WINDOW, PackedRows, Packing, best_fit

ROOM = 64


def lengths_of(count: int) -> list[int]:
    return np.random.default_rng(0).integers(5, 45, count).tolist()


def packed(count: int, *, seed: int | None = 0) -> PackedRows:
    """Documents whose tokens are all their number."""
    documents = [{"tokens": np.full(length, number, np.int32)} for number, length in enumerate(lengths_of(count), 1)]
    packing = Packing(length=ROOM, together=True, seed=seed, fill={"tokens": -1})
    return PackedRows(grain.MapDataset.source(documents), packing)


@given(lengths=st.lists(st.integers(1, 40), max_size=40))
def test_every_document_has_a_place_and_rows_hold_what_they_can(lengths: list[int]) -> None:
    rows = best_fit(lengths, 40)
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
    used = [sum(lengths[place] for place in row) for row in rows]
    assert all(0 < total <= 40 for total in used)
    assert all(one + other > 40 for one, other in itertools.pairwise(sorted(used)))  # no two rows fit into one


def test_the_longest_that_fits_is_taken() -> None:
    assert best_fit([3, 7, 5, 2], 10) == [[1, 0], [2, 3]]


def test_rows_are_nearly_full() -> None:
    rows = list(packed(4 * WINDOW))
    assert np.mean([row["segment_ids"] > 0 for row in rows]) > 0.96
    first_fit = grain.experimental.FirstFitPackIterDataset(
        grain.MapDataset.source(
            [{"tokens": np.ones(length, np.int32)} for length in lengths_of(4 * WINDOW)]
        ).to_iter_dataset(),
        length_struct={"tokens": ROOM},
        num_packing_bins=64,
    )
    assert len(rows) < 0.97 * len(list(first_fit))


def test_a_row_says_what_is_where() -> None:
    lengths = lengths_of(50)
    for row in packed(50):
        numbers = row["tokens"][row["segment_ids"] > 0]
        assert set(row["tokens"][row["segment_ids"] == 0]) <= {-1}
        starts = np.flatnonzero(row["positions"][: len(numbers)] == 0)
        found = [lengths[number - 1] for number in numbers[starts]]
        assert found == np.diff([*starts, len(numbers)]).tolist()
        np.testing.assert_array_equal(
            np.unique(row["segment_ids"][row["segment_ids"] > 0]), np.arange(1, len(starts) + 1)
        )


def test_the_seed_sets_the_order_of_rows() -> None:
    def order(seed: int | None) -> list[bytes]:
        return [row["tokens"].tobytes() for row in packed(WINDOW + 9, seed=seed)]

    assert order(1) == order(1)
    assert order(1) != order(2) != order(None)
    assert sorted(order(1)) == sorted(order(2)) == sorted(order(None))


@pytest.mark.parametrize("read", [0, 3, 200])
def test_a_place_is_found_again_in_a_later_window(read: int) -> None:
    rows = iter(packed(2 * WINDOW))
    for _ in range(read):
        next(rows)
    state, rest = rows.get_state(), [row["tokens"] for row in rows]
    again = iter(packed(2 * WINDOW))
    again.set_state(state)
    np.testing.assert_array_equal([row["tokens"] for row in again], rest)


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="of an earlier version"):
        iter(packed(3)).set_state({"parent": {}, "next_row": 0, "counter": 0})
