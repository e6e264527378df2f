"""Documents into rows: a window of them at a time, the longest first, each into the row that it leaves the least room.

Why not Grain's first-fit: it takes documents as they come, and its rows are 93 to 94 % full where these are 97
(docs/decisions.md); every padded position costs as much as one that is learned from. As random as the order of the
documents and of a window's rows, not more: a long document never shares a row with another long one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

Row = dict[str, np.ndarray]

WINDOW = 256  # documents; 1,024 would fill half a percent more


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packing:
    """How rows are made.

    Attributes:
      length: T, positions of a row.
      together: Several documents share a row; else one each, in their order.
      seed: Of the order of a window's rows; None: as they come.
      fill: What stands in each field behind the last document.
    """

    length: int
    together: bool
    seed: int | None
    fill: dict[str, int | bool]


class PackedRows(grain.IterDataset):
    """The rows: the documents' fields, `positions` in each document, and `segment_ids`, from 1 on, 0 behind the last.

    Args:
      documents: Random access to dictionaries of arrays of one length, at most T.
      packing: How.
    """

    def __init__(self, documents: grain.MapDataset, packing: Packing) -> None:
        super().__init__()
        self._documents, self._packing = documents, packing

    def __iter__(self) -> grain.DatasetIterator:
        return _Rows(self._documents, self._packing)


class _Rows(grain.DatasetIterator):
    """Its state is the place of the next row: the window, and the row in it."""

    def __init__(self, documents: grain.MapDataset, packing: Packing) -> None:
        super().__init__()
        self._documents, self._packing = documents, packing
        self._window, self._row = 0, 0
        self._rows: list[list[Row]] | None = None

    def __next__(self) -> Row:
        if self._rows is None:
            self._rows = self._read()
        row = self._rows[self._row]
        self._row += 1
        if self._row == len(self._rows):
            self._window, self._row, self._rows = self._window + 1, 0, None
        return _joined(row, self._packing)

    def get_state(self) -> dict[str, Any]:
        return {"window": self._window, "row": self._row}

    def set_state(self, state: dict[str, Any]) -> None:
        if state.keys() != self.get_state().keys():
            raise ValueError("its place in the data is of an earlier version")
        self._window, self._row = state["window"], state["row"]
        self._rows = None

    def _read(self) -> list[list[Row]]:
        """Returns the documents of each row of the window; there is at least one."""
        start = self._window * WINDOW
        documents = [self._documents[place] for place in range(start, min(start + WINDOW, len(self._documents)))]
        if not documents:
            raise StopIteration
        if not self._packing.together:
            return [[document] for document in documents]
        rows = best_fit([len(document["tokens"]) for document in documents], self._packing.length)
        if self._packing.seed is not None:
            rng = np.random.default_rng((self._packing.seed, self._window))
            rows = [rows[place] for place in rng.permutation(len(rows))]
        return [[documents[place] for place in row] for row in rows]


def best_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Packs by best fit, the longest first: at most 11/9 of the fewest rows there can be, and a few (Johnson, 1973).

    Args:
      lengths: Of the documents, each at most `room`.
      room: Of a row.

    Returns:
      The places of the documents of each row.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for place in np.argsort([-length for length in lengths], kind="stable").tolist():
        length = lengths[place]
        assert length <= room
        best = min((row for row in range(len(rows)) if free[row] >= length), key=free.__getitem__, default=None)
        if best is None:
            rows.append([])
            free.append(room)
            best = len(rows) - 1
        rows[best].append(place)
        free[best] -= length
    return rows


def _joined(documents: list[Row], packing: Packing) -> Row:
    row = {
        name: np.concatenate([document[name] for document in documents], dtype=documents[0][name].dtype)
        for name in packing.fill
    }
    lengths = [len(document["tokens"]) for document in documents]
    row["positions"] = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    row["segment_ids"] = np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int32), lengths)
    behind = packing.length - sum(lengths)
    return {name: np.pad(field, (0, behind), constant_values=packing.fill.get(name, 0)) for name, field in row.items()}
