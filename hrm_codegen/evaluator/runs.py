"""Evaluations that were kept: finding their folders, and reading one back as an `EvalResult`.

The folders are those of `results_log`. Reading changes nothing in them, and trusts nothing in them either: a file that
was cut, edited or made by another tool is an error with its place, and never half a table.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hrm_codegen.errors import DatasetError, UsageError
from hrm_codegen.evaluator.report import EvalResult, SampleResult
from hrm_codegen.evaluator.results_log import REPORT, RESULTS, RUN
from hrm_codegen.evaluator.table import visible
from hrm_codegen.evaluator.verdicts import Verdict

_MOST = 10**7  # samples, or anything else that is counted
_OPTIONS = {"num_samples": "--n", "timeout": "--timeout", "seed": "--seed", "temperature": "--temperature",
            "max_tokens": "--max", "top_p": "--top-p"}  # fmt: skip


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """Returns the evaluation folders among `paths` and directly or deeper below them, each once, sorted below a path.

    Raises:
      UsageError: For a path that is no folder, or has no evaluation in it.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            raise UsageError(f"no folder {path}: a report is made of folders that `hrm-codegen eval --out DIR` wrote")
        below = [path] if _is_run(path) else sorted(file.parent for file in path.rglob(RUN) if _is_run(file.parent))
        if not below:
            raise UsageError(
                f"no evaluation in {path}: `hrm-codegen eval ... --out {shlex.quote(str(path))}` makes one"
            )
        found |= dict.fromkeys(below)
    return list(found)


def what_is_missing(folder: Path) -> str | None:
    """Returns how far an unfinished evaluation came and how to go on with it; None if it is finished.

    Args:
      folder: One of `find_runs`.
    """
    if (folder / REPORT).is_file():
        return None
    run = _read_json(folder / RUN)
    done = (folder / RESULTS).read_bytes().count(b"\n") if (folder / RESULTS).is_file() else 0
    words = ["hrm-codegen", "eval"]
    words += ["--samples", "FILE"] if "samples_sha256" in run else ["--ckpt", "FILE"]
    words += ["--data", "DATA"]
    given = {option: run[name] for name, option in _OPTIONS.items() if run.get(name) is not None}
    words += [str(word) for pair in given.items() for word in pair]
    words += ["--all-tests"] if run.get("all_tests") else []
    words += ["--no-confirm-timeouts"] if run.get("confirm_timeouts") is False else []
    words += ["--out", str(folder)]
    return visible(
        f"{folder} is not finished: {done} {'sample' if done == 1 else 'samples'} judged, no {REPORT}. "
        f"It goes on where it stopped if you repeat its command: {shlex.join(words)}"
    )


def load_run(folder: str | Path) -> EvalResult:
    """Reads a finished evaluation; problems in the order of the data set, and their samples by number.

    Older versions did not record that order; their problems come in the natural order of their names.

    Raises:
      UsageError: If the folder holds no evaluation, or one that is not finished.
      DatasetError: If a file in it is broken, or they don't belong together.
    """
    folder = Path(folder)
    if not _is_run(folder):
        raise UsageError(f"no evaluation in {folder}: it has no {RUN}")
    missing = what_is_missing(folder)
    if missing is not None:
        raise UsageError(missing)
    report = _read_report(folder / REPORT)
    samples = _read_samples(folder / RESULTS)
    task_ids = report["dataset"].get("task_ids")
    if task_ids is not None:  # an evaluation with a larger --limit may have left more in the folder
        order = {task_id: number for number, task_id in enumerate(task_ids)}
        mine = [sample for sample in samples if sample.task_id in order]
        samples = tuple(sorted(mine, key=lambda sample: (order[sample.task_id], sample.sample)))
    if len(samples) != report["metrics"]["n_samples"]:
        raise DatasetError(
            f"{folder}: {RESULTS} holds {len(samples)} samples, {REPORT} is about "
            f"{report['metrics']['n_samples']:.0f}. Run the evaluation again with the same settings; for another "
            "--limit choose another --out"
        )
    named, metrics = len({sample.task_id for sample in samples}), report["metrics"]
    if named + metrics["n_missing"] != metrics["n_problems"]:
        raise _broken(folder / REPORT, f"{named} problems have samples, which is not n_problems - n_missing")
    return EvalResult(samples=samples, **report)


def _is_run(folder: Path) -> bool:
    return (folder / RUN).is_file()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(tree, dict):
        raise _broken(path, "not an object")
    return tree


def _read_report(path: Path) -> dict[str, dict[str, Any]]:
    tree = _read_json(path)
    names = ("metrics", "dataset", "model", "sandbox", "settings")
    for name in names:
        if not isinstance(tree.get(name), dict):
            raise _broken(path, f"no object {name!r}")
    metrics, ks = tree["metrics"], tree["settings"].get("k")
    if not isinstance(ks, list) or not ks or not all(type(k) is int and k >= 1 for k in ks):
        raise _broken(path, "settings.k is no list of whole numbers")
    wanted = [f"pass@{k}{end}" for k in ks for end in ("", "_low", "_high")]
    wanted += [f"n_{name}" for name in ("problems", "samples", "missing", "timeouts", "errors")]
    for name in [*wanted, *metrics]:
        value = metrics.get(name)
        if type(value) not in (int, float) or not 0 <= value <= _MOST:
            raise _broken(path, f"metrics[{name!r}] is no number from 0 to {_MOST}")
    if not isinstance(tree["dataset"].get("sha256"), str):
        raise _broken(path, "no dataset.sha256")
    task_ids = tree["dataset"].get("task_ids", [])
    if not isinstance(task_ids, list) or not all(isinstance(task_id, str) for task_id in task_ids):
        raise _broken(path, "dataset.task_ids is no list of names")
    return {name: tree[name] for name in names}


def _read_samples(path: Path) -> tuple[SampleResult, ...]:
    """Reads the lines as `results_log` does on resuming: the last of a sample counts, a torn last line doesn't."""
    found: dict[tuple[str, int], SampleResult] = {}
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        raise DatasetError(f"no {path}, though there is a {REPORT}: run the evaluation again") from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError("not an object")
            sample = SampleResult.from_row(row)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _broken(path, f"{type(error).__name__}: {error}", line=number) from error
        if sample.verdict is not Verdict.HARNESS_ERROR:
            found[sample.task_id, sample.sample] = sample
    return tuple(found[key] for key in sorted(found, key=lambda key: (_natural_key(key[0]), *key)))


def _natural_key(name: str) -> list[tuple[str, int]]:
    """Sorts `mbpp/9` before `mbpp/10`."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d{0,18})", name)]


def _broken(path: Path, reason: str, *, line: int | None = None) -> DatasetError:
    place = path if line is None else f"{path}:{line}"
    if path.name == RUN:
        return DatasetError(f"{place}: broken ({reason}). Delete the folder and run the evaluation again")
    return DatasetError(
        f"{place}: broken ({reason}). Delete the {'file' if line is None else 'line'} and run the evaluation again "
        "with the same settings: what was judged is kept"
    )
