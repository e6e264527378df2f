"""`machine`: the limits that the other sections' figures are to be seen against."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.records import Record, speeds, summary
from benchmarks.speed.settings import Settings
from benchmarks.speed.shop import Shop
from benchmarks.speed.tables import markdown, spread
from benchmarks.speed.team import NOT_INSTALLED, Contender, Team, installed
from hrm_codegen.machine import cores

_ENGINES = "benchmarks.speed.engines.hardware:"
_PRODUCT = 2048
_READS = (4, 32, 512)


def run(settings: Settings, shop: Shop) -> list[Record]:
    del shop
    torch = Contender(name="torch", engine=f"{_ENGINES}Torch", needs=("torch",))
    reader = torch if installed(torch.needs) else Contender(name="numpy", engine=f"{_ENGINES}Numpy")
    with Team("machine", "", [Contender(name="jax", engine=f"{_ENGINES}Jax", needs=("jax",)), torch]) as team:
        work = {"what": "product", "size": _PRODUCT}
        records = team.alternate(settings.rounds, work, seconds=0.5)
    with Team("machine", "", [reader]) as team:
        for size in _READS:
            work = {"what": "read", "size": size}
            records += team.alternate(settings.rounds, work, seconds=0.2)
    return records


def peak(records: Sequence[Record]) -> float | None:
    """Returns the float32 FLOPs a second of the best contender's median; None if nothing was measured."""
    products = [record for record in records if record.section == "machine" and record.work["what"] == "product"]
    medians = [found.median for record in products if (found := summary(speeds(record)))]
    return max(medians, default=None)


def about() -> dict[str, object]:
    """Returns what the system says of itself."""
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def show(records: Sequence[Record], peak_flops: float | None) -> str:
    del peak_flops
    facts = about()
    rows = []
    for record in records:
        what = "float32 product of {0} x {0}, GFLOP/s" if record.work["what"] == "product" else "read {0} MB, GB/s"
        giga = summary(speed / 1e9 for speed in speeds(record))
        figure = spread(giga) if record.rounds else record.problem or NOT_INSTALLED
        rows.append([what.format(record.work["size"]), record.contender, figure])
    return f"{facts['cpu']}, {facts['cores']} cores\n\n" + markdown(["limit", "by", "median (min..max)"], rows)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown CPU"
