"""`hrm-codegen benchmark`: tokens a second of training and of decoding, of a checkpoint or a configuration."""

from __future__ import annotations

import argparse
import logging

from hrm_codegen.cli import options, output
from hrm_codegen.errors import UsageError

_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `benchmark`."""
    parser.add_argument("what", nargs="?", choices=("train", "gen", "both"), default="both", help="default: both")
    options.add_config_options(parser)
    checkpoint = parser.add_argument(
        "--ckpt", metavar="FILE", help="measure this model, also hf:NAME or .gguf, instead of fresh weights"
    )
    options.complete(checkpoint, options.checkpoint_paths)
    parser.add_argument("--seq-len", type=options.positive_int, default=256, metavar="N", help="tokens a row (256)")
    parser.add_argument("--batch", type=options.positive_int, default=8, metavar="N", help="rows (8)")
    parser.add_argument("--steps", type=options.positive_int, default=10, metavar="N", help="train steps timed (10)")
    options.add_weights_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object, the last line of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints."""
    if args.ckpt is not None and (args.config is not None or args.set or args.size is not None):
        raise UsageError("--ckpt brings its own configuration: leave out -c, --set and --size")
    config = options.load_config(args) if args.ckpt is None else None
    from hrm_codegen import jobs

    result = jobs.measure(
        ckpt=args.ckpt,
        config=config,
        what=args.what,
        seq_len=args.seq_len,
        batch_size=args.batch,
        steps=args.steps,
        weights=args.weights,
        device=args.device,
    )
    print(
        output.json_line(result) if args.json else output.table([{"measure": k, "value": v} for k, v in result.items()])
    )
    return 0
