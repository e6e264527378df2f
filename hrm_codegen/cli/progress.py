"""Who watches an evaluation that the command line started: a person, a log, a program that reads `--events`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hrm_codegen import logs

if TYPE_CHECKING:
    from hrm_codegen.evaluator.events import Event, Listener


@contextlib.contextmanager
def listener(args: argparse.Namespace) -> Iterator[Listener]:
    """Yields what `evaluate` tells its events to.

    A line that moves, only on a terminal whose stderr has nothing else to show than text; log lines otherwise.

    Args:
      args: Has `events` and `log_format`.
    """
    from hrm_codegen.evaluator.events import EventFile
    from hrm_codegen.evaluator.progress import LogProgress, moving_line

    text = (args.log_format or logs.requested_format([])) == "text"
    with contextlib.ExitStack() as stack:
        watching: list[Listener] = []
        if args.events is not None:
            watching.append(stack.enter_context(EventFile(args.events)))
        moves = text and args.events != "-" and sys.stderr.isatty()
        watching.append(stack.enter_context(moving_line()) if moves else LogProgress())

        def tell(event: Event) -> None:
            for each in watching:
                each(event)

        yield tell
