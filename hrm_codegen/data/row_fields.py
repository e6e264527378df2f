"""The fields of one row, checked: text that can be written as UTF-8, with LF line ends, or an error with its place.

Shared by everything that reads rows. Knows no data set's field names: those are in `rows.py` and `evalplus.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from hrm_codegen.errors import DatasetError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a row comes from, for messages and for the ids of rows that have none.

    Attributes:
      number: The row's number, from 1.
      file: The file's name as the user gave it; empty for rows that are in memory.
      stem: The data set's name when the row does not say it.
    """

    number: int
    file: str = ""
    stem: str = ""

    def error(self, message: str) -> DatasetError:
        """Returns `row 3 <message> (file)`, to be raised."""
        return DatasetError(f"row {self.number} {message}" + (f" ({self.file})" if self.file else ""))


def text_field(row: Mapping[str, Any], field: str, place: Place) -> str:
    """Returns a text, empty if the field is not there."""
    value = row.get(field, "")
    if not isinstance(value, str):
        raise place.error(f'has a "{field}" of type {type(value).__name__}, expected text')
    return newlines(_encodable(value, field, place))


def filled_field(row: Mapping[str, Any], field: str, place: Place) -> str:
    """Returns a text that is there and not blank."""
    value = text_field(row, field, place)
    if not value.strip():
        raise place.error(f'has an empty "{field}"')
    return value


def texts_field(row: Mapping[str, Any], field: str, place: Place) -> tuple[str, ...]:
    """Returns a list of texts, empty if the field is not there."""
    values = row.get(field, ())
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise place.error(f'has a "{field}" of type {type(values).__name__}, expected a list of texts')
    values = tuple(values)
    for value in values:
        if not isinstance(value, str):
            raise place.error(f'has a "{field}" with a {type(value).__name__} in it, expected a list of texts')
    return tuple(newlines(_encodable(value, field, place)) for value in values)


def newlines(text: str) -> str:
    """Returns the text with LF line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encodable(value: str, field: str, place: Place) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise place.error(f'has half of a surrogate pair in "{field}", at character {error.start}') from error
    return value
