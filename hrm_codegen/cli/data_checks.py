"""`hrm-codegen data check` and `data verify`: whether a data set can be trusted to score a model.

Both print what is wrong and exit with 1 if anything is; 0 means that nothing was found.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from typing import Any

from hrm_codegen.cli import options, output
from hrm_codegen.cli.parser import add_subcommand

_SOURCES = "\nFILE is problems (see docs/data-formats.md); NAME is a data set of 'hrm-codegen data list'."
_CHECK = """
A test task is flagged if a training task has the same program (also under other names, or with other constants if it
is not tiny), or shares enough 8-grams with its description, its tests or its program.
A NAME stands for its train or its test split; NAME/SPLIT for any.
Exit code: 0 clean, 1 contaminated."""
_VERIFY = """
Runs three programs a task in the sandbox: the reference solution, which has to pass; the same with every function
emptied and an empty program, which have to fail. A NAME stands for all of its splits; NAME/SPLIT for one.
Exit code: 0 nothing found, 1 a reference fails or tests prove nothing."""


def add_arguments(commands: Any) -> None:
    """Adds both commands."""
    check = add_subcommand(commands, "check", "Find the test tasks that a training set gives away", _check)
    check.description = f"{check.description}{_CHECK}{_SOURCES}"
    check.add_argument("train", metavar="TRAIN", help="FILE, NAME or NAME/SPLIT")
    check.add_argument("test", metavar="TEST", help="FILE, NAME or NAME/SPLIT")
    check.add_argument(
        "--min-overlap", type=_share, default=0.5, metavar="X", help="share of 8-grams that is too much (0.5; 0: any)"
    )
    verify = add_subcommand(commands, "verify", "Test a data set's tests", _verify)
    verify.description = f"{verify.description}{_VERIFY}{_SOURCES}"
    verify.add_argument("source", metavar="FILE|NAME", help="FILE, NAME or NAME/SPLIT")
    verify.add_argument(
        "--timeout",
        type=options.positive_float,
        default=2.0,
        metavar="S",
        help="CPU seconds a program (2, as in eval; 15 times as much for HumanEval+ and MBPP+)",
    )
    verify.add_argument("--workers", type=options.positive_int, metavar="N", help="programs run at a time")
    verify.add_argument("--limit", type=options.positive_int, metavar="N", help="first so many problems only")
    for command in (check, verify):
        command.add_argument("--json", action="store_true", help="as JSON")


def _check(args: argparse.Namespace) -> int:
    from hrm_codegen.data.contamination import find_contamination
    from hrm_codegen.data.sources import find_problems

    train, test = find_problems(args.train, split="train"), find_problems(args.test, split="test")
    findings = find_contamination(train, test, min_overlap=args.min_overlap)
    rows = [dataclasses.asdict(finding) for finding in findings]
    reasons = Counter(str(finding.level) for finding in findings)
    if args.json:
        counts = {"train": len(train), "test": len(test), "flagged": len(rows)}
        print(output.json_line(counts | {"reasons": reasons, "findings": rows}))
        return 1 if rows else 0
    named = ({"test task": r["task_id"], "training task": r["train_id"], "reason": r["level"], "share": r["share"]}
             for r in rows)  # fmt: skip
    _print_table(list(named))
    told = "".join(f", {count} by {reason}" for reason, count in reasons.most_common())
    print(f"{len(rows)} of {len(test)} test tasks are given away by {len(train)} training tasks{told}")
    return 1 if rows else 0


def _verify(args: argparse.Namespace) -> int:
    from hrm_codegen.data.sources import find_problems
    from hrm_codegen.evaluator.verification import verify_problems

    problems = find_problems(args.source)[: args.limit]
    found = verify_problems(problems, timeout=args.timeout, workers=args.workers)
    rows = [dataclasses.asdict(offence) for offence in found.offences]
    if args.json:
        print(output.json_line({"checked": found.checked, "skipped": found.skipped, "offences": rows}))
        return 1 if rows else 0
    _print_table([{"task": r["task_id"], **{k: r[k] for k in ("candidate", "verdict", "message")}} for r in rows])
    tasks = len({row["task_id"] for row in rows})
    print(f"{tasks} of {found.checked} tasks have tests that cannot be trusted, {len(found.skipped)} skipped: no code")
    return 1 if rows else 0


def _print_table(rows: list[dict[str, Any]]) -> None:
    if rows:
        print(output.table(rows), end="\n\n")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, got {text!r}")
    return value
