"""`python -m benchmarks.speed`: measures, and prints Markdown tables.

    python -m benchmarks.speed                                  # everything: an hour
    python -m benchmarks.speed --only train --sizes 1m,3m,8m
    python -m benchmarks.speed --only decode --sizes 27m --batches 1 --llama-bench PATH --gguf 27m=model.gguf
    python -m benchmarks.speed --quick                          # does it run at all

Nothing else should compute meanwhile. Progress is on stderr.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import overall
from benchmarks.speed.records import Record, from_json, to_json
from benchmarks.speed.sections import decode, machine, rows, samples, start, train
from benchmarks.speed.settings import QUICK, SECTIONS, Settings
from benchmarks.speed.shop import Shop
from benchmarks.speed.sizes import SIZES
from benchmarks.speed.team import say

_MODULES: dict[str, Any] = {
    "machine": machine, "train": train, "decode": decode, "samples": samples, "rows": rows, "start": start
}  # fmt: skip
_BUSY = 0.7
_PACKAGES = ("jax", "flax", "torch", "transformers", "onnxruntime", "numpy")


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.show:
        files = [json.loads(Path(name).read_text(encoding="utf-8")) for name in args.show]
        _show([record for file in files for record in from_json(file)])
        return
    settings = settings_of(args, parser)
    if args.json:
        Path(args.json).touch()  # an impossible place is found now, not at the end
    if (load := os.getloadavg()[0]) > _BUSY:
        say(f"the machine is busy (load {load:.1f}): threads that wait for each other lose most, and ratios with them")
    records: list[Record] = []
    with tempfile.TemporaryDirectory(prefix="speed.") as folder:
        shop = Shop(Path(folder))
        for name in settings.only:
            module = _MODULES[name]
            found = module.run(settings, shop)
            records += found
            _show_section(name, found, machine.peak(records))
            if args.json:
                _write(Path(args.json), settings, records)  # after each section: a run can be stopped
    _show_all(records)


def _show(records: Sequence[Record]) -> None:
    for name in SECTIONS:
        if found := [record for record in records if record.section == name]:
            _show_section(name, found, machine.peak(records))
    _show_all(records)


def _show_section(name: str, records: Sequence[Record], peak: float | None) -> None:
    print(f"## {name}\n\n{_MODULES[name].show(records, peak)}", flush=True)


def _show_all(records: Sequence[Record]) -> None:
    print(f"## overall\n\n{overall.show(records)}", flush=True)


def settings_of(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Settings:
    """Returns the settings of parsed arguments; ends with a message if they make no sense."""
    given = {
        field.name: value for field in dataclasses.fields(Settings) if (value := getattr(args, field.name)) is not None
    }
    for name, known in (("only", SECTIONS), ("sizes", tuple(SIZES))):
        if unknown := sorted(set(given.get(name, ())) - set(known)):
            parser.error(f"--{name}: unknown {', '.join(unknown)}; choose from {', '.join(known)}")
    if "gguf" in given:
        pairs = [pair.partition("=") for pair in given["gguf"]]
        if not all(size in SIZES and path for size, _, path in pairs):
            parser.error(f"--gguf takes SIZE=PATH with a size of {', '.join(SIZES)}")
        given["gguf"] = {size: str(Path(path).resolve()) for size, _, path in pairs}
    if "llama_bench" in given:
        program = shutil.which(given["llama_bench"])
        if program is None or "gguf" not in given:
            parser.error("--llama-bench takes a program, and needs --gguf SIZE=PATH")
        given["llama_bench"] = os.path.abspath(program)
    settings = dataclasses.replace(QUICK if args.quick else Settings(), **given)
    # The peak is what the figures of training are compared with.
    wanted = {*settings.only, *(["machine"] if "train" in settings.only else [])}
    return dataclasses.replace(settings, only=tuple(name for name in SECTIONS if name in wanted))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", type=_names, metavar="NAMES", help=f"sections, of {','.join(SECTIONS)} (all)")
    add("--sizes", type=_names, metavar="NAMES", help=f"models, of {','.join(SIZES)} (a few, by section)")
    add("--rounds", type=_positive, help=f"alternations ({Settings.rounds})")
    add("--seconds", type=float, help=f"least time of a measurement, where work repeats ({Settings.seconds:g})")
    add("--batches", type=_numbers, metavar="NUMBERS", help="of decode (1,8,32)")
    add("--prompt-len", type=_positive, help=f"of decode ({Settings.prompt_len})")
    add("--new-tokens", type=_positive, help=f"of decode ({Settings.new_tokens})")
    add("--answer-tokens", type=_positive, help=f"of samples ({Settings.answer_tokens})")
    add("--problems", type=_positive, help=f"of samples ({Settings.problems})")
    add("--samples", type=_positive, help=f"a problem ({Settings.samples})")
    add("--documents", type=_positive, help=f"of rows ({Settings.documents})")
    add("--without", type=_names, metavar="NAMES", help="contenders to leave out, such as hf-compiled,onnxruntime")
    add("--llama-bench", metavar="PATH", help="llama.cpp's llama-bench, for decode")
    add("--gguf", action="append", metavar="SIZE=PATH", help="model for it, by llama.cpp's converter; may be repeated")
    add("--json", metavar="FILE", help="writes every measurement")
    add("--show", nargs="+", metavar="FILE", help="prints the tables of earlier --json, and measures nothing")
    add("--quick", action="store_true", help="one round of tiny work: a test, not a measurement")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(name) for name in _names(text))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _write(path: Path, settings: Settings, records: Sequence[Record]) -> None:
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    tree = to_json(records, machine=machine.about(), versions=versions, settings=dataclasses.asdict(settings))
    path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    say(f"wrote {path}")


if __name__ == "__main__":
    main()
