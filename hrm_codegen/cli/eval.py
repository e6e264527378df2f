"""`hrm-codegen eval`: Pass@k of checkpoints, or of completions made by anyone."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_codegen.cli import options, output, progress
from hrm_codegen.errors import UsageError

if TYPE_CHECKING:
    from hrm_codegen.evaluator import EvalResult
    from hrm_codegen.evaluator.events import Listener
    from hrm_codegen.evaluator.sweep import Cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `eval`."""
    checkpoint = parser.add_argument(
        "--ckpt", nargs="+", metavar="FILE", help="checkpoints, hf:NAME or .gguf (default: the newest local best.pt)"
    )
    options.complete(checkpoint, options.checkpoint_paths)
    parser.add_argument("--data", metavar="FILE", help="problems, or a data set's name (its test split)")
    parser.add_argument("--samples", metavar="FILE", help="score these completions (.jsonl) instead of a model's")
    parser.add_argument("--k", nargs="+", metavar="K", help="as in --k 1 10 or --k 1,10")
    parser.add_argument(
        "--n", type=options.positive_int, metavar="N", help="programs a problem (default: the largest k)"
    )
    parser.add_argument("--timeout", type=options.positive_float, metavar="S", help="CPU seconds a program")
    parser.add_argument("--limit", type=options.positive_int, metavar="N", help="first so many problems only")
    options.add_sampling_options(parser, several=True)
    parser.add_argument("--workers", type=options.positive_int, metavar="N", help="programs run at a time")
    options.add_sandbox_option(parser)
    parser.add_argument("--all-tests", action="store_true", help="go on after a failing test, for a share of tests")
    parser.add_argument(
        "--no-confirm-timeouts", dest="confirm_timeouts", action="store_false",
        help="believe the first timeout (default: programs out of time run again, alone, before it counts)",
    )  # fmt: skip
    parser.add_argument(
        "--no-cache", dest="cache", action="store_false",
        help="run every program anew (default: verdicts are kept in ~/.cache/hrm-codegen/verdicts)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="keep results.jsonl and report.json there")
    parser.add_argument(
        "--events",
        metavar="FILE",
        help="append events (run_started, sample_judged, progress, ...) as JSON lines; -: to stderr",
    )
    parser.add_argument(
        "--show-failures", type=options.non_negative_int, default=0, metavar="N", help="show so many failures as diffs"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object an evaluation, a line each, the last lines of stdout"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluates one after the other; prints the failures, then a table or JSON."""
    if args.samples is not None:
        _refuse_model_options(args)
    from hrm_codegen.baselines import check_model
    from hrm_codegen.evaluator import render_table
    from hrm_codegen.evaluator.report import label
    from hrm_codegen.evaluator.sweep import grid, render_sweep

    checkpoints = args.ckpt or [None]
    if args.samples is None and len(checkpoints) > 1:
        for checkpoint in checkpoints:  # not only after the ones before it were scored
            check_model(checkpoint)
    cells = grid(_flat(args.temperature), _flat(args.top_p))
    groups: list[list[EvalResult]] = []
    with progress.listener(args) as on_event:
        for number, checkpoint in enumerate(checkpoints, start=1):
            several = args.out is not None and len(checkpoints) > 1
            out = f"{args.out}/{number}-{Path(checkpoint.removeprefix('hf:')).stem}" if several else args.out
            groups.append([])
            for result in _evaluate(args, checkpoint, cells, out, on_event):
                _print_failures(result, args.show_failures)
                groups[-1].append(result)
    results = [result for group in groups for result in group]
    if args.json:
        print("\n".join(output.json_line(result.to_json()) for result in results))
    elif len(cells) > 1:
        print("\n\n".join(f"{label(group[0])}\n{render_sweep(group)}" for group in groups))
    else:
        print(render_table(results))
    return 0


def _evaluate(
    args: argparse.Namespace, checkpoint: str | None, cells: Sequence[Cell], out: str | None, on_event: Listener
) -> Iterable[EvalResult]:
    """Evaluates samples, or a checkpoint in every cell; each cell of a sweep has its own folder."""
    from hrm_codegen import jobs

    common: dict[str, Any] = {
        "data": args.data,
        "k": options.int_list(args.k, "--k"),
        "timeout": args.timeout,
        "limit": args.limit,
        "workers": args.workers,
        "sandbox": args.sandbox,
        "confirm_timeouts": args.confirm_timeouts,
        "all_tests": args.all_tests,
        "cache": args.cache,
        "on_event": on_event,
    }
    if args.samples is not None:
        return [jobs.evaluate(ckpt=None, samples=args.samples, out=out, **common)]
    return jobs.sweep(
        ckpt=checkpoint,
        cells={cell: out if out is None or len(cells) == 1 else f"{out}/{cell.folder}" for cell in cells},
        num_samples=args.n,
        max_tokens=args.max_tokens,
        seed=args.seed,
        batch_size=args.batch,
        condition=args.condition,
        num_devices=args.num_devices,
        weights=args.weights,
        device=args.device,
        **common,
    )


def _flat(groups: Sequence[Sequence[float]] | None) -> list[float]:
    return [value for group in groups or () for value in group]


def _refuse_model_options(args: argparse.Namespace) -> None:
    of_drawing = ("n", "temperature", "top_p", "max_tokens", "seed", "batch")
    of_models = ("condition", "num_devices", "weights")
    given = [name for name in ("ckpt", *of_drawing, *of_models) if getattr(args, name) is not None]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"--samples scores completions that exist already: leave out {names}")


def _print_failures(result: EvalResult, count: int) -> None:
    from hrm_codegen.evaluator import Verdict, render_diff
    from hrm_codegen.evaluator.breakdown import describe_tests
    from hrm_codegen.evaluator.table import visible

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    failed = (sample for sample in result.samples if sample.verdict is not Verdict.PASSED)
    for sample in itertools.islice(failed, count):
        told = ", ".join(filter(None, (str(sample.verdict), describe_tests(sample.result))))
        print(f"# {visible(sample.task_id)}, sample {sample.sample}: {told}")
        print(render_diff(sample.result, color=color), end="\n\n")
