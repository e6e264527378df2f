"""`hrm-codegen`: parse, call, print. The one place where errors become lines and exit codes.

Exit codes: 0 done, 1 failed at run time, 2 wrong usage or configuration, 3 missing extra, 130 Ctrl-C. Commands live in
one module each and import what is heavy inside their functions, so that `--help` costs nothing.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from hrm_codegen import logs
from hrm_codegen.errors import HRMCodeGenError, UsageError
from hrm_codegen.machine import restart_with_large_pages

__all__ = ["main"]

_LOGGER = logging.getLogger("hrm_codegen.cli")
_TRAINS = {"train", "demo", "benchmark"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
      argv: Arguments without the program's name; None: those of the process.

    Returns:
      The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None and not _TRAINS.isdisjoint(arguments[:1]):
        restart_with_large_pages()
    logs.setup()
    try:
        logs.setup(log_format=logs.requested_format(arguments))
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse after --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    except HRMCodeGenError as error:
        return _fail(error.render(), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        _discard_stdout()
        return 1
    except OSError as error:
        place = f": {error.filename}" if error.filename is not None else ""
        return _fail(f"{type(error).__name__}: {error.strerror or error}{place}", 1)
    except Exception as error:  # A bug of ours: the traceback is the message.
        _LOGGER.error("%s: %s (unexpected; please report it)", type(error).__name__, error, exc_info=True)
        return 1


def _fail(message: str, exit_code: int) -> int:
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        _LOGGER.debug("raised here", exc_info=True)
    _LOGGER.error("%s", message, extra={"exit_code": exit_code})
    return exit_code


def _run(argv: list[str]) -> int:
    from hrm_codegen.cli import parser as parsing

    completing = "_ARGCOMPLETE" in os.environ
    parser = parsing.build_parser(fill_all=completing)
    if completing:
        import argcomplete

        argcomplete.autocomplete(parser)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        raise UsageError(parsing.describe_unknown(args.parser, unknown))
    verbosity = parsing.verbosity(args)
    logs.setup(verbosity, logs.requested_format(argv))
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    _LOGGER.debug("hrm-codegen %s", " ".join(argv))
    return int(args.run(args))


def _discard_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's last flush doesn't meet the broken pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
