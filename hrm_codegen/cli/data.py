"""`hrm-codegen data`: prepare data sets by name, convert files, and look inside them (`data_checks.py`: judge them)."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_codegen.cli import data_checks, options, output
from hrm_codegen.cli.parser import add_subcommand
from hrm_codegen.errors import UsageError

if TYPE_CHECKING:
    from hrm_codegen.data import Problem, SplitReport

TRAIN_TOKENIZER = "train"
_LOGGER = logging.getLogger("hrm_codegen.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a command for each data set, plug-ins included, and the file tools."""
    from hrm_codegen.data import available

    commands = parser.add_subparsers(dest="data_command", metavar="NAME", required=True)
    for info in available():
        _add_prepare(commands, info.name, info.description)
    listing = add_subcommand(commands, "list", "Data sets there are, plug-ins included", _list)
    about = add_subcommand(commands, "info", "What a token file or a problem file holds", _info)
    about.add_argument("file", metavar="FILE")
    convert = add_subcommand(commands, "convert", "Raw problems (JSON, JSONL) into a token file", _convert)
    convert.add_argument("source", metavar="SRC")
    convert.add_argument("target", metavar="DST")
    _add_token_options(convert, "default, byte or a tokenizer.json")
    peek = add_subcommand(commands, "peek", "The first examples of a file, as text", _peek)
    peek.add_argument("file", metavar="FILE")
    peek.add_argument("-n", type=options.positive_int, default=3, metavar="N", help="how many (3)")
    learn = add_subcommand(commands, "tokenizer", "Train a tokenizer on problems or on plain text", _tokenizer)
    learn.add_argument("files", nargs="+", metavar="FILE", help="problems (.json, .jsonl, .gz), else plain text")
    learn.add_argument("-o", "--output", default="tokenizer.json", metavar="FILE", help="default: tokenizer.json")
    learn.add_argument("--vocab-size", type=options.positive_int, default=1024, metavar="V", help="default: 1024")
    data_checks.add_arguments(commands)
    for command in (listing, about, convert, peek):
        command.add_argument("--json", action="store_true", help="as JSON")


def _add_prepare(commands: Any, name: str, description: str) -> None:
    prepare = add_subcommand(commands, name, f"Prepare {description.rstrip('.')}", _prepare)
    prepare.add_argument("--split", nargs="+", metavar="S", help="default: all of them")
    prepare.add_argument("--source", metavar="FILE", help="a local copy instead of a download")
    prepare.add_argument("--out", metavar="DIR", help=f"default: data/{name}")
    prepare.add_argument(
        "--set", action="append", default=[], metavar="A=V", help="an option of its reader; repeatable"
    )
    _add_token_options(prepare, f"default, byte, a tokenizer.json, or '{TRAIN_TOKENIZER}': one of its own")
    prepare.add_argument("--vocab-size", type=options.positive_int, default=1024, metavar="V", help="of 'train' (1024)")
    prepare.add_argument("--json", action="store_true", help="as JSON")


def _add_token_options(parser: argparse.ArgumentParser, tokenizers: str) -> None:
    parser.add_argument("--tokenizer", default="default", metavar="T", help=tokenizers)
    parser.add_argument(
        "--prompt-tests", type=options.non_negative_int, default=1, metavar="N", help="asserts a prompt shows (1)"
    )
    parser.add_argument(
        "--condition", default="", metavar="C", help="HRM-Text's condition tokens, as in synth,cot (none)"
    )


def _prepare(args: argparse.Namespace) -> int:
    from hrm_codegen import data

    name: str = args.data_command
    out = Path(args.out or f"data/{name}")
    reader_options = dict(_reader_option(text) for text in args.set)
    tokenizer = args.tokenizer
    if tokenizer == TRAIN_TOKENIZER:
        try:
            problems = data.get_reader(name).load(source=args.source, **reader_options)
        except TypeError as error:
            raise UsageError(f"{name}: {error}") from error
        tokenizer = str(_train_tokenizer(_texts(problems.get("train", [])), args.vocab_size, out / "tokenizer.json"))
    reports = data.prepare(
        name,
        out=out,
        splits=args.split,
        source=args.source,
        tokenizer=tokenizer,
        prompt_tests=args.prompt_tests,
        condition=args.condition,
        **reader_options,
    )
    _print_reports(reports, as_json=args.json)
    return 0


def _convert(args: argparse.Namespace) -> int:
    from hrm_codegen.data import convert_raw_to_bin

    how: dict[str, Any] = {"tokenizer": args.tokenizer, "prompt_tests": args.prompt_tests, "condition": args.condition}
    report = convert_raw_to_bin(args.source, args.target, **how)
    _print_reports([report], as_json=args.json)
    return 0


def _print_reports(reports: Sequence[SplitReport], *, as_json: bool) -> None:
    rows = [dataclasses.asdict(report) for report in reports]
    if as_json:
        print(output.json_line({"splits": rows}))
        return
    for row in rows:
        row["status"] = "up to date" if row.pop("up_to_date") else "written"
    print(output.table(rows))


def _list(args: argparse.Namespace) -> int:
    from hrm_codegen.data import available

    rows = [dataclasses.asdict(info) for info in available()]
    if args.json:
        print(output.json_line(rows))
    else:
        print(output.table([row | {"splits": " ".join(row["splits"])} for row in rows]))
    return 0


def _info(args: argparse.Namespace) -> int:
    from hrm_codegen.data import describe

    facts = describe(args.file)
    print(output.json_line(facts) if args.json else output.table([{"field": k, "value": v} for k, v in facts.items()]))
    return 0


def _peek(args: argparse.Namespace) -> int:
    from hrm_codegen.data import peek

    texts = peek(args.file, args.n)
    print(output.json_line(texts) if args.json else "\n\n".join(f"# {i}\n{text}" for i, text in enumerate(texts)))
    return 0


def _tokenizer(args: argparse.Namespace) -> int:
    from hrm_codegen.data import load_problems
    from hrm_codegen.data.problems import read_text

    texts: list[str] = []
    for file in args.files:
        is_problems = Path(file).suffix in {".json", ".jsonl", ".gz"}
        texts += _texts(load_problems(file)) if is_problems else [read_text(Path(file))]
    print(_train_tokenizer(texts, args.vocab_size, Path(args.output)))
    return 0


def _texts(problems: Sequence[Problem]) -> list[str]:
    return [text for problem in problems for text in (problem.text, *problem.test_list, problem.code) if text]


def _train_tokenizer(texts: list[str], vocab_size: int, path: Path) -> Path:
    from hrm_codegen.data import Tokenizer

    if not texts:
        raise UsageError("nothing to train a tokenizer on: there is no train split")
    tokenizer = Tokenizer.train(texts, vocab_size=vocab_size)
    tokenizer.save(path)
    _LOGGER.info("tokenizer: %d entries from %d texts, %s", tokenizer.vocab_size, len(texts), path)
    return path


def _reader_option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--set takes NAME=VALUE, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
