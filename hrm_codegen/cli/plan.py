"""`hrm-codegen plan`: does a run fit an accelerator that is not here, and how fast can it be there at best."""

from __future__ import annotations

import argparse
import logging

from hrm_codegen.cli import options, output
from hrm_codegen.planning.environment import prepare_environment
from hrm_codegen.planning.targets import HELP, find_target

_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `plan`."""
    options.add_config_options(parser)
    parser.add_argument("--target", required=True, metavar="NAME", help=f"{HELP}; cpux8 rehearses on this CPU")
    parser.add_argument("--mode", choices=("train", "gen"), default="train", help="which step (default: train)")
    parser.add_argument(
        "--batch", type=options.positive_int, metavar="N", help="train.batch_size, or with gen eval.batch_size"
    )
    parser.add_argument("--no-suggest", action="store_true", help="do not look for the largest batch: one compilation")
    parser.add_argument("--json", action="store_true", help="one JSON object, the last line of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plans and prints; 1 if the program does not fit."""
    target = find_target(args.target)
    field = "train.batch_size" if args.mode == "train" else "eval.batch_size"
    config = options.load_config(args, {field: args.batch})
    prepare_environment(target)
    from hrm_codegen.planning.plan import make_plan

    plan = make_plan(config, target, args.mode, suggest=not args.no_suggest)
    print(output.json_line(plan.to_json()) if args.json else plan.to_text())
    if plan.fits:
        return 0
    short = (plan.memory.peak - target.usable_bytes) / 2**30
    best = plan.suggestion
    if best is None:
        advice = "not even one row a device fits: shard it with mesh.fsdp or mesh.tensor" * (not args.no_suggest)
    elif args.mode == "gen":
        advice = f"eval.batch_size={best.batch_size} fits"
    else:
        keep = f"train.grad_accum={best.grad_accum} fits with the same global batch; " if best.grad_accum else ""
        advice = f"{keep}train.batch_size={best.batch_size} is the largest with grad_accum {plan.grad_accum}"
    _LOGGER.error("does not fit %s by %.2f GiB a device%s", target.name, short, f": {advice}" if advice else "")
    return 1
