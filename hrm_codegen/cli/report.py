"""`hrm-codegen report`: finished evaluations side by side, problem by problem, compared, as a page."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hrm_codegen.cli import options, output
from hrm_codegen.errors import UsageError

if TYPE_CHECKING:
    from hrm_codegen.evaluator.compare import Comparison
    from hrm_codegen.evaluator.leaderboard import Entry

_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `report`."""
    parser.add_argument("folders", nargs="+", metavar="DIR", help="of `eval --out`, or a folder of such folders")
    parser.add_argument("--k", nargs="+", metavar="K", help="default: those of the evaluations")
    parser.add_argument("--by-problem", action="store_true", help="a row a problem, with the first failure")
    parser.add_argument("--compare", action="store_true", help="is the second of two folders better than the first?")
    parser.add_argument("--html", metavar="FILE", help="write all of it as a page that needs no other file")
    parser.add_argument("--json", action="store_true", help="one JSON object a folder; with --compare one more")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the leaderboard, and what else was asked for."""
    from hrm_codegen.evaluator.leaderboard import by_dataset, ranked

    entries, ks = _load(args.folders, options.int_list(args.k, "--k"), all_of_them=args.compare)
    comparisons = _compare(entries, ks) if args.compare else []
    if args.html is not None:
        from hrm_codegen.config.files import atomic_write
        from hrm_codegen.evaluator.page import render_page

        with atomic_write(args.html) as file:
            file.write(render_page(entries, ks, comparisons))
        _LOGGER.info("page: %s", args.html)
    if not args.json:
        print("\n\n".join(_texts(entries, ks, comparisons, by_problem=args.by_problem)))
        return 0
    for entry in (entry for group in by_dataset(entries) for entry in ranked(group, ks[0])):
        print(output.json_line(_to_json(entry, ks, by_problem=args.by_problem)))
    if args.compare:
        first, second = (entry.folder for entry in entries)
        rows = [comparison.to_json() for comparison in comparisons]
        print(output.json_line({"first": first, "second": second, "comparisons": rows}))
    return 0


def _load(
    folders: Sequence[str], ks: tuple[int, ...] | None, *, all_of_them: bool
) -> tuple[list[Entry], tuple[int, ...]]:
    """Returns the finished evaluations, and the k that some of them can tell; warns of the others."""
    from hrm_codegen.evaluator.breakdown import with_ks
    from hrm_codegen.evaluator.leaderboard import Entry
    from hrm_codegen.evaluator.runs import find_runs, load_run, what_is_missing

    found = find_runs(folders)
    missing = {folder: what_is_missing(folder) for folder in found}
    unfinished = [text for text in missing.values() if text is not None]
    if unfinished and (all_of_them or len(unfinished) == len(found)):
        raise UsageError("\n".join(unfinished))
    for text in unfinished:
        _LOGGER.warning("%s", text)
    results = {str(folder): load_run(folder) for folder in found if missing[folder] is None}
    wanted = ks or tuple(sorted({k for result in results.values() for k in result.settings["k"]}))
    entries = [Entry(folder, with_ks(result, wanted)) for folder, result in results.items()]
    for entry in entries:
        for k in wanted:
            if ks and k not in entry.result.settings["k"]:
                _LOGGER.warning("no pass@%d of %s: it has fewer samples of some problem", k, entry.folder)
    told = tuple(k for k in wanted if any(k in entry.result.settings["k"] for entry in entries))
    if not told:
        raise UsageError(f"no folder has enough samples of every problem for k = {', '.join(map(str, wanted))}")
    return entries, told


def _compare(entries: Sequence[Entry], ks: Sequence[int]) -> list[Comparison]:
    from hrm_codegen.evaluator.compare import compare_runs
    from hrm_codegen.evaluator.table import visible

    if len(entries) != 2:
        raise UsageError(f"--compare takes two evaluations, got {len(entries)}")
    first, second = (entry.result for entry in entries)
    common = [k for k in ks if k in first.settings["k"] and k in second.settings["k"]]
    if not common:
        raise UsageError("there is no k that both evaluations have enough samples for: choose another --k")
    comparisons = [compare_runs(first, second, k=k) for k in common]
    for note in comparisons[0].notes:
        _LOGGER.warning("%s", visible(note))
    return comparisons


def _texts(
    entries: Sequence[Entry], ks: Sequence[int], comparisons: Sequence[Comparison], *, by_problem: bool
) -> list[str]:
    from hrm_codegen.evaluator.breakdown import render_breakdown
    from hrm_codegen.evaluator.compare import render_comparison
    from hrm_codegen.evaluator.leaderboard import render_leaderboard
    from hrm_codegen.evaluator.table import visible

    texts = [render_leaderboard(entries, ks)]
    if comparisons:
        texts.append("\n".join(f"{n}: {visible(e.folder)}" for n, e in zip(("first", "second"), entries, strict=True)))
        texts += [render_comparison(comparison) for comparison in comparisons]
    if by_problem:
        texts += [f"{visible(entry.folder)}\n{render_breakdown(entry.result, ks)}" for entry in entries]
    return texts


def _to_json(entry: Entry, ks: Sequence[int], *, by_problem: bool) -> dict[str, Any]:
    from hrm_codegen.evaluator.breakdown import break_down

    row = {"folder": entry.folder, **entry.result.to_json()}
    return row | {"problems": [p.to_json() for p in break_down(entry.result, ks)]} if by_problem else row
