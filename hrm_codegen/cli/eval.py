"""`hrm-codegen eval`: Pass@k of checkpoints, or of completions made by anyone."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_codegen.cli import options, output
from hrm_codegen.errors import UsageError

if TYPE_CHECKING:
    from hrm_codegen.evaluator import EvalResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `eval`."""
    checkpoint = parser.add_argument("--ckpt", nargs="+", metavar="FILE", help="default: the newest local best.pt")
    options.complete(checkpoint, options.checkpoint_paths)
    parser.add_argument("--data", metavar="FILE", help="problems, or a data set's name (its test split)")
    parser.add_argument("--samples", metavar="FILE", help="score these completions (.jsonl) instead of a model's")
    parser.add_argument("--k", nargs="+", metavar="K", help="as in --k 1 10 or --k 1,10")
    parser.add_argument(
        "--n", type=options.positive_int, metavar="N", help="programs a problem (default: the largest k)"
    )
    parser.add_argument("--timeout", type=options.positive_float, metavar="S", help="CPU seconds a program")
    parser.add_argument("--limit", type=options.positive_int, metavar="N", help="first so many problems only")
    options.add_sampling_options(parser)
    parser.add_argument("--workers", type=options.positive_int, metavar="N", help="programs run at a time")
    parser.add_argument("--out", metavar="DIR", help="keep results.jsonl and report.json there")
    parser.add_argument(
        "--show-failures", type=options.non_negative_int, default=0, metavar="N", help="show so many failures as diffs"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a checkpoint, the last line of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluates one after the other; prints the failures, then a table or JSON."""
    if args.samples is not None:
        _refuse_model_options(args)
    from hrm_codegen import jobs
    from hrm_codegen.evaluator import render_table
    from hrm_codegen.interop import find_bundle

    results = []
    checkpoints = args.ckpt or [None]
    if args.samples is None and len(checkpoints) > 1:
        for checkpoint in checkpoints:  # not only after the ones before it were scored
            find_bundle(checkpoint)
    for number, checkpoint in enumerate(checkpoints, start=1):
        several = args.out is not None and len(checkpoints) > 1
        result = jobs.evaluate(
            ckpt=checkpoint,
            data=args.data,
            samples=args.samples,
            k=options.int_list(args.k, "--k"),
            num_samples=args.n,
            timeout=args.timeout,
            limit=args.limit,
            out=f"{args.out}/{number}-{Path(checkpoint).stem}" if several else args.out,
            temperature=args.temperature,
            top_p=args.top_p,
            max_tokens=args.max_tokens,
            seed=args.seed,
            batch_size=args.batch,
            workers=args.workers,
            device=args.device,
        )
        _print_failures(result, args.show_failures)
        results.append(result)
    if args.json:
        print("\n".join(output.json_line(result.to_json()) for result in results))
    else:
        print(render_table(results))
    return 0


def _refuse_model_options(args: argparse.Namespace) -> None:
    given = [name for name in ("ckpt", "n", "temperature", "top_p", "max_tokens", "seed", "batch")
             if getattr(args, name) is not None]  # fmt: skip
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"--samples scores completions that exist already: leave out {names}")


def _print_failures(result: EvalResult, count: int) -> None:
    from hrm_codegen.evaluator import Verdict, render_diff

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    failed = (sample for sample in result.samples if sample.verdict is not Verdict.PASSED)
    for sample in itertools.islice(failed, count):
        print(f"# {sample.task_id}, sample {sample.sample}: {sample.verdict}")
        print(render_diff(sample.result, color=color), end="\n\n")
