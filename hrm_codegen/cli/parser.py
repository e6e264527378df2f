"""The parser: which commands there are, the options all of them take, and errors that suggest.

A command's own options are added when that command is parsed (or when all are needed, for completion), so that
`--help` imports no command module. Nothing here knows what a command does.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from hrm_codegen.errors import UsageError
from hrm_codegen.logs import FORMATS
from hrm_codegen.version import __version__

PROG = "hrm-codegen"
COMMANDS = {
    "train": "Train a model",
    "eval": "Evaluate checkpoint(s)",
    "gen": "Generate code from prompt",
    "data": "Dataset utilities",
    "benchmark": "Measure throughput",
    "export": "Export model formats",
}
MORE_COMMANDS = {
    "report": "Compare finished evaluations: leaderboard, problems, significance, HTML",
    "push": "Upload a model or a file to the Hugging Face Hub",
    "config": "List, copy, show and check configurations",
    "demo": "From nothing to a trained, scored model in minutes (alias: quickstart)",
    "completion": "Print the shell's completion script",
    "plan": "Compile ahead of time for accelerators that are not here",
    "doctor": "Show versions, devices, sandbox and extras",
}
ALIASES = {"demo": ["quickstart"]}
DEVICES = ("auto", "cpu", "cuda", "gpu", "rocm", "tpu", "mps")


class Parser(argparse.ArgumentParser):
    """An argument parser with the global options, filled on first use, raising `UsageError`."""

    def __init__(self, *, fill: Callable[[Parser], None] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)
        self._fill = fill
        self._add_global_options()
        self.set_defaults(parser=self)

    def fill(self) -> None:
        """Adds the command's own options, once."""
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, after `fill`."""
        self.fill()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Leaves printing and the exit code to `main`."""
        raise UsageError(f"{message}\n{self.format_usage().strip()}\nsee: {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            message = f"invalid choice: {value!r}{suggest(str(value), choices)} (choose from {', '.join(choices)})"
            raise argparse.ArgumentError(action, message)

    def _add_global_options(self) -> None:
        # A command's values are copied over those given before it, so only the outermost parser may have defaults.
        # The count is kept by depth for the same reason: `-v data -v` is 2.
        depth = self.prog.count(" ")
        nested: dict[str, Any] = {"default": argparse.SUPPRESS} if depth else {}
        group = self.add_argument_group("global options")
        group.add_argument(
            "-v",
            "--verbose",
            action="count",
            dest=f"verbose_{depth}",
            help="more log lines; -vv: everybody's",
            **nested,
        )
        group.add_argument("--device", choices=DEVICES, help="where to compute (default: auto)", **nested)
        group.add_argument("--log-format", choices=FORMATS, help="of stderr (or HRM_CODEGEN_LOG_FORMAT)", **nested)


def build_parser(*, fill_all: bool = False) -> Parser:
    """Makes the parser of `hrm-codegen`.

    Args:
      fill_all: Add the options of every command at once; shell completion needs them.
    """
    parser = Parser(prog=PROG, usage=f"{PROG} [GLOBAL-OPTS] <command> [ARGS]", description=_overview())
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    parser.set_defaults(command=None, device="auto")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    for name, summary in (COMMANDS | MORE_COMMANDS).items():
        command = commands.add_parser(
            name,
            aliases=ALIASES.get(name, []),
            help=summary,
            description=summary + ".",
            prog=f"{PROG} {name}",
            fill=_filler(name),
        )
        if fill_all:
            command.fill()
    return parser


def add_subcommand(commands: Any, name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> Parser:
    """Adds a command below a command, for example `data list`."""
    parser: Parser = commands.add_parser(name, help=summary, description=summary + ".")
    parser.set_defaults(run=run)
    return parser


def verbosity(args: argparse.Namespace) -> int:
    """Sums `-v` over all the places where it may stand."""
    return sum(count or 0 for name, count in vars(args).items() if name.startswith("verbose_"))


def describe_unknown(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> str:
    """Says which arguments nobody knows, and what the first may have meant."""
    known = [option for action in parser._actions for option in action.option_strings]
    first = unknown[0].partition("=")[0]
    return f"unrecognized arguments: {' '.join(unknown)}{suggest(first, known)}\nsee: {parser.prog} --help"


def suggest(word: str, choices: Sequence[str]) -> str:
    """Returns `, did you mean 'x'?`, or nothing if no choice is close."""
    close = difflib.get_close_matches(word, choices, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _filler(name: str) -> Callable[[Parser], None]:
    def fill(parser: Parser) -> None:
        importlib.import_module(f"hrm_codegen.cli.{name}").add_arguments(parser)

    return fill


def _overview() -> str:
    tables = [("commands", COMMANDS), ("more commands", MORE_COMMANDS)]
    text = [f"{title}:\n" + "\n".join(f"  {name:<12} {summary}" for name, summary in t.items()) for title, t in tables]
    return "Train, evaluate and ship small Hierarchical Reasoning Models that write Python.\n\n" + "\n\n".join(text)
