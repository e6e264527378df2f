"""Figures of series, one SVG an axis: both scales logarithmic, so that a slope is an exponent. Needs matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth.tables import MB, Value, fact, milliseconds
from benchmarks.growth.work import Series
from benchmarks.speed.records import Record

MISSING = '--plot needs matplotlib: pip install "hrm-codegen[bench]"'
_PANEL = (3.0, 2.6)  # inches
_APART = 1.19  # the least ratio of two labels
_LOOK = {"svg.fonttype": "none", "svg.hashsalt": "growth", "font.size": 8, "font.family": "sans-serif"}


def is_installed() -> bool:
    """Says whether figures can be made."""
    return importlib.util.find_spec("matplotlib") is not None


def lines(series: Series, records: Sequence[Record]) -> dict[str, tuple[list[float], list[float]]]:
    """Returns the lines of a panel by name: what was measured, and what was expected."""
    if series.kind == "memory":
        values = {"temporary, MB": fact("temporaries", MB), "cache by the formula": fact("formula_bytes", MB)}
        return _points(records, values)
    found = _points(records, {"ms": milliseconds, "as the FLOPs grow": fact("flops", 1.0)})
    measured, expected = found.get("ms"), found.get("as the FLOPs grow")
    if measured and expected:  # through the last point, where fixed costs matter least
        factor = measured[1][-1] / expected[1][-1]
        found["as the FLOPs grow"] = (expected[0], [factor * flops for flops in expected[1]])
    return found


def draw(series: Sequence[Series], records: Mapping[str, Sequence[Record]], path: Path) -> None:
    """Writes the figure of one axis.

    Args:
      series: A panel each.
      records: By the name of the series.
      path: Of the SVG.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_LOOK):
        width, height = _PANEL
        figure, axes = pyplot.subplots(
            1, len(series), figsize=(width * len(series), height), layout="constrained", squeeze=False
        )
        for panel, each in zip(axes[0], series, strict=True):
            _panel(panel, each, records[each.name])
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def _panel(panel: Any, series: Series, records: Sequence[Record]) -> None:
    from matplotlib import ticker

    for (name, (xs, ys)), style in zip(lines(series, records).items(), ("o-", "--"), strict=False):
        panel.plot(xs, ys, style, label=name, markersize=3, linewidth=1)
    xs = apart([record.work["x"] for record in records])
    unit, suffix = (1e6, ", millions") if min(xs) >= 1e6 else (1, "")
    panel.set(xscale="log", yscale="log", xlabel=series.grows + suffix, title=series.title.replace(", ", ",\n", 1))
    panel.set_xticks(xs, labels=[f"{x / unit:.2g}" if suffix else f"{x:g}" for x in xs])
    panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_minor_locator(ticker.NullLocator())
    panel.grid(visible=True, linewidth=0.3)
    if panel.lines:
        panel.legend(frameon=False)


def apart(xs: Sequence[float]) -> list[float]:
    """Returns those that are far enough from each other to be written below a logarithmic axis."""
    kept: list[float] = []
    for x in sorted(xs):
        if not kept or x >= _APART * kept[-1]:
            kept.append(x)
    return kept


def _points(records: Sequence[Record], values: Mapping[str, Value]) -> dict[str, tuple[list[float], list[float]]]:
    found = {}
    for name, value in values.items():
        pairs = sorted((record.work["x"], y) for record in records if (y := value(record)))
        if pairs:
            found[name] = ([x for x, _ in pairs], [y for _, y in pairs])
    return found
