"""`hrm-codegen export`: a checkpoint in another file format, tokenizer and configuration included."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from hrm_codegen.cli import options
from hrm_codegen.errors import UsageError

SUFFIXES = {"torch": ".pt", "safetensors": ".safetensors"}
_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `export`."""
    parser.add_argument("format", choices=tuple(SUFFIXES), help="torch: .pt, loads with weights_only=True")
    checkpoint = parser.add_argument("--ckpt", metavar="FILE", help="default: the newest local best.pt")
    options.complete(checkpoint, options.checkpoint_paths)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: beside the checkpoint")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the file and prints its path."""
    suffix = SUFFIXES[args.format]
    if args.output is not None and Path(args.output).suffix != suffix:
        raise UsageError(f"export {args.format} writes a {suffix} file, not {args.output}")
    from hrm_codegen import interop

    source = interop.find_bundle(args.ckpt)
    target = Path(args.output) if args.output is not None else source.with_suffix(suffix)
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{source} is a {suffix} file already; name another with -o")
    interop.save_bundle(target, interop.load_bundle(source))
    _LOGGER.info("wrote %s (%.1f MB) from %s", target, target.stat().st_size / 1e6, source)
    print(target)
    return 0
