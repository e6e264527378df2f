"""What goes to stdout: aligned tables and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lays rows out under the keys of the first; numbers to the right, an empty cell for a missing key.

    Returns:
      Lines without a trailing newline; empty for no rows.
    """
    if not rows:
        return ""
    header = list(rows[0])
    cells = [[_cell(row.get(key)) for key in header] for row in rows]
    right = [all(isinstance(row.get(key), int | float | None) for row in rows) for key in header]
    widths = [max(len(line[column]) for line in [header, *cells]) for column in range(len(header))]
    lines = [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        )
        for line in [header, *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)


def json_line(value: Any) -> str:
    """Returns `value` as JSON on one line; infinities and NaN, which JSON has not, become null."""
    line = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)
    return line.encode("utf-8", "backslashreplace").decode("utf-8")  # lone surrogates, which no stream takes


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
