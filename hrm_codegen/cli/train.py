"""`hrm-codegen train`: options onto the configuration, then `jobs.train`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_codegen.cli import options, output

if TYPE_CHECKING:
    from hrm_codegen.config import Config

_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `train`."""
    options.add_config_options(parser)
    parser.add_argument("--data", metavar="FILE", help="token file or raw problems to train on")
    parser.add_argument("--eval-data", metavar="FILE", help="the same for the validation loss")
    parser.add_argument("--out", metavar="DIR", help="the run's directory (default: checkpoints/<run name>)")
    parser.add_argument("--run-name", metavar="NAME", help="default: the configuration's name and a number")
    parser.add_argument("--no-wandb", action="store_true", help="do not log to Weights & Biases")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--resume", nargs="?", const=True, default=False, metavar="DIR", help="go on with the latest run, or this one"
    )
    weights = start.add_argument("--init-from", metavar="CKPT", help="start from these weights, at step 0")
    options.complete(weights, options.checkpoint_paths)
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    parser.add_argument("--json", action="store_true", help="metrics as one JSON object, the last line of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains, or prints what would be trained."""
    if isinstance(args.resume, str) and args.config is None and (Path(args.resume) / "config.yaml").is_file():
        args.config = str(Path(args.resume) / "config.yaml")
    fields: dict[str, Any] = {
        "data.train": args.data,
        "data.eval": args.eval_data,
        "train.out_dir": args.out,
        "train.run_name": args.run_name,
        "train.wandb": "disabled" if args.no_wandb else None,
    }
    if args.init_from is not None and args.config is None:
        fields |= _model_fields(args.init_from)
    config = _drop_absent_validation(args, options.load_config(args, fields))
    if args.dry_run:
        from hrm_codegen.config import to_dict, to_yaml

        print(output.json_line(to_dict(config)) if args.json else to_yaml(config).rstrip("\n"))
        return 0
    from hrm_codegen import jobs

    metrics = jobs.train(config, resume=args.resume, init_from=args.init_from, device=args.device)
    print(output.json_line(metrics) if args.json else output.table([metrics]))
    return 0


def _drop_absent_validation(args: argparse.Namespace, config: Config) -> Config:
    """Trains other data than the configuration's without its validation set, if that isn't there."""
    path = config.data.eval
    if args.data is None or args.eval_data is not None or path is None or Path(path).exists():
        return config
    _LOGGER.info("no --eval-data, and no file %s: training without a validation loss", path)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, eval=None))


def _model_fields(checkpoint: str) -> dict[str, Any]:
    """Returns the fields that the weights of a checkpoint fit, so that `--init-from` needs no `-c`."""
    from hrm_codegen.config import to_dict
    from hrm_codegen.interop import find_bundle, load_bundle

    tree = to_dict(load_bundle(find_bundle(checkpoint)).config)
    fields = {f"model.{name}": value for name, value in tree["model"].items()}
    return fields | {f"data.{name}": tree["data"][name] for name in ("prompt_tests", "condition")}
