"""`python -m benchmarks.growth`: measures how cost grows, and prints Markdown tables.

    python -m benchmarks.growth                              # everything, 20 minutes
    python -m benchmarks.growth --only seq,memory --rounds 5
    python -m benchmarks.growth --plot docs/images           # figures as well, with matplotlib
    python -m benchmarks.growth --quick                      # does it run at all

Nothing else should compute meanwhile. Progress is on stderr.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth import plots
from benchmarks.growth.measure import measure
from benchmarks.growth.tables import show
from benchmarks.growth.work import AXES, chosen
from benchmarks.speed.records import Record, to_json
from benchmarks.speed.sections import machine
from benchmarks.speed.team import say

_ROUNDS, _SECONDS = 3, 0.5


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.only) - set(AXES)):
        parser.error(f"--only: unknown {', '.join(unknown)}; choose from {', '.join(AXES)}")
    if args.rounds < 1:
        parser.error(f"--rounds: {args.rounds} is not positive")
    if args.plot and not plots.is_installed():
        parser.error(plots.MISSING)
    if args.json:
        Path(args.json).touch()  # an impossible place is found now, not at the end
    if args.plot:
        Path(args.plot).mkdir(parents=True, exist_ok=True)
    rounds, seconds = (1, 0.0) if args.quick else (args.rounds, args.seconds)
    everything: list[Record] = []
    for axis in [axis for axis in AXES if axis in args.only]:
        print(f"## {axis}\n", flush=True)
        records: dict[str, list[Record]] = {}
        series = chosen([axis], most=2 if args.quick else None)
        for each in series:
            records[each.name] = measure(each, rounds=rounds, seconds=seconds)
            everything += records[each.name]
            print(show(each, records[each.name]), flush=True)
            if args.json:
                _write(Path(args.json), everything)
        if args.plot:
            plots.draw(series, records, Path(args.plot) / f"growth-{axis}.svg")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", type=_names, default=AXES, metavar="NAMES", help=f"of {','.join(AXES)} (all)")
    add("--rounds", type=int, default=_ROUNDS, help=f"turns of the points of a table ({_ROUNDS})")
    add("--seconds", type=float, default=_SECONDS, help=f"least time of a measurement ({_SECONDS:g})")
    add("--quick", action="store_true", help="two points of each table, once: a test, not a measurement")
    add("--json", metavar="FILE", help="writes every measurement")
    add("--plot", metavar="FOLDER", help="writes growth-NAME.svg, with matplotlib")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _write(path: Path, records: Sequence[Record]) -> None:
    path.write_text(json.dumps(to_json(records, machine=machine.about()), indent=1) + "\n", encoding="utf-8")
    say(f"wrote {path}")


if __name__ == "__main__":
    main()
