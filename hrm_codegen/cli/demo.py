"""`hrm-codegen demo` (alias `quickstart`): data, training, Pass@k and one generated function, in one command.

Each step is printed as the command that does the same, so that the demo is also the tutorial. Nothing in it is
special: it calls what those commands call.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_codegen.cli import options, output

if TYPE_CHECKING:
    from hrm_codegen.data import Problem
    from hrm_codegen.evaluator import EvalResult

NUM_SAMPLES = 10
PER_LEVEL = 12
FAST_SIZES = {"train_size": 300}
_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `demo`."""
    parser.add_argument("--out", default="demo", metavar="DIR", help="work folder (demo)")
    parser.add_argument(
        "--fast", action="store_true", help="the smoke configuration: seconds, and a model that knows nothing"
    )
    parser.add_argument(
        "--minutes", type=options.positive_float, default=6.0, metavar="M", help="of training, at most (6)"
    )
    options.add_sandbox_option(parser)
    parser.add_argument("--json", action="store_true", help="results as one JSON object, the last line of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the four steps."""
    from hrm_codegen import config as configs
    from hrm_codegen import data, jobs
    from hrm_codegen.evaluator import render_table

    start = time.monotonic()
    out = Path(args.out)
    sizes: dict[str, Any] = FAST_SIZES if args.fast else {}
    _say(
        "data", "basics", "--out", out / "data", *_repeated("--set", [f"{key}={value}" for key, value in sizes.items()])
    )
    data.prepare("basics", out=out / "data", **sizes)

    name, run_dir = "smoke" if args.fast else options.DEFAULT_CONFIG, _free(out)
    train, validation = out / "data" / "train.bin", out / "data" / "validation.bin"
    limit = options.override("train.time_limit_minutes", args.minutes)
    _say(
        *("train", "-c", name, "--data", train, "--eval-data", validation),
        *("--out", run_dir, "--no-wandb", "--set", limit),
    )
    paths = {"data.train": train, "data.eval": validation, "train.out_dir": run_dir}
    settings = [limit, options.override("train.wandb", "disabled")]
    settings += [options.override(field, str(path)) for field, path in paths.items()]
    trained = jobs.train(configs.load(name, settings), device=args.device)

    ckpt, sample = run_dir / "best.pt", out / "test_sample.json"
    problems = _by_level(data.load_problems(out / "data" / "test_raw.json"), 1 if args.fast else PER_LEVEL)
    data.save_problems(sample, problems)
    _say("eval", "--ckpt", ckpt, "--data", sample, "--k", 1, NUM_SAMPLES)
    result = jobs.evaluate(
        ckpt=str(ckpt), data=str(sample), k=(1, NUM_SAMPLES), device=args.device, sandbox=args.sandbox
    )

    shown, solved = _best_solved(problems, result)
    prompt = data.render_prompt(shown, num_tests=result.settings["prompt_tests"])
    _say("gen", "--ckpt", ckpt, "--temperature", 0, "--prompt", prompt)
    (code,) = jobs.generate(ckpt=str(ckpt), prompts=[prompt], temperature=0.0, device=args.device)

    if args.json:
        print(
            output.json_line({"train": trained, **result.to_json(), "prompt": prompt, "code": code, "ckpt": str(ckpt)})
        )
        return 0
    minutes = (time.monotonic() - start) / 60
    print(f"Pass@k on {len(problems)} tasks of basics that the model has not seen:\n\n{render_table(result)}")
    print(f"\n{solved}:\n\n{prompt}\n\nIts answer, drawn greedily:\n\n{code}")
    print(f"\n{minutes:.1f} minutes; the model is {ckpt}")
    return 0


def _say(*words: Any) -> None:
    _LOGGER.info("$ hrm-codegen %s", shlex.join(str(word) for word in words))


def _repeated(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _free(out: Path) -> Path:
    """Returns the folder of a new run, beside those of earlier demos."""
    return next(path for number in itertools.count(1) if not (path := out / f"run-{number}").exists())


def _best_solved(problems: list[Problem], result: EvalResult) -> tuple[Problem, str]:
    """Returns the task of the highest level with the most samples that passed, and words to introduce it."""
    passed = {problem.task_id: 0 for problem in problems}
    for sample in result.samples:
        passed[sample.task_id] += sample.verdict == "passed"
    best = max(problems, key=lambda problem: (passed[problem.task_id] > 0, problem.level or 0, passed[problem.task_id]))
    count = passed[best.task_id]
    return best, f"One of them (level {best.level}; {count} of its {NUM_SAMPLES} samples pass)"


def _by_level(problems: list[Problem], count: int) -> list[Problem]:
    """Returns the first `count` problems of each level, in the order of levels."""
    levels = sorted({problem.level or 0 for problem in problems})
    return [p for level in levels for p in [p for p in problems if (p.level or 0) == level][:count]]
