"""Numbers and texts as cells, and cells as a plain text table; what the evaluator's tables have in common.

A model wrote many of these texts, so none reaches a terminal with its control characters. Not here: what is in a table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def layout(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)) -> list[str]:
    """Returns aligned lines with a rule under the first row.

    Args:
      rows: Of equal length; the first is the header.
      left: Columns whose cells stand at the left.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return [line.rstrip() for line in lines]


def percent(value: float | None) -> str:
    """Returns `12.3 %`, or a dash for None."""
    return "-" if value is None else f"{100 * value:.1f} %"


def estimate(metrics: Mapping[str, float], k: int) -> str:
    """Returns pass@k with its interval, `50.0 % [18.8, 81.2]`, or a dash if it is not among the metrics."""
    if f"pass@{k}" not in metrics:
        return "-"
    low, high = metrics[f"pass@{k}_low"], metrics[f"pass@{k}_high"]
    return f"{percent(metrics[f'pass@{k}'])} [{100 * low:.1f}, {100 * high:.1f}]"


def visible(text: str, *, lines: bool = False) -> str:
    r"""Returns the text with everything unprintable escaped: terminal codes, lone surrogates, text direction marks.

    Args:
      text: From anyone.
      lines: Keep line ends and tabs; otherwise the result is one line, with `\n` in it.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode("ascii") for char in text
    )


def shorten(text: str, length: int) -> str:
    """Returns the visible text, cut to `length` characters with an ellipsis."""
    text = visible(text)
    return text if len(text) <= length else text[: length - 1] + "…"
