"""Logging set-up of the front doors: plain lines or JSON lines on stderr.

Why here: the command line and the absl binaries want the same lines, and stdout belongs to data. A library user who
never calls `setup` keeps Python's own defaults. Not a metrics writer: those are in `hrm_codegen.training`.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from hrm_codegen.errors import UsageError

FORMATS = ("text", "json")
ENVIRONMENT = "HRM_CODEGEN_LOG_FORMAT"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "process_index"}
_STOPWATCH = "\u23f1\ufe0f"


class StderrHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at the moment of the record, so that redirections hold."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record; a reader that went away is no reason to stop working."""
        try:
            stream = sys.stderr
            stream.write(_printable(self.format(record), getattr(stream, "encoding", None) or "utf-8") + "\n")
            stream.flush()
        except (BrokenPipeError, ValueError):
            return


class TextFormatter(logging.Formatter):
    """The message alone; level and logger in front of it for debugging lines and other people's libraries."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line (or lines: a traceback goes before the message, which stays last)."""
        ours = record.name.partition(".")[0] == "hrm_codegen"
        plain = ours and record.levelno > logging.DEBUG
        line = record.getMessage() if plain else f"{record.levelname} {record.name}: {record.getMessage()}"
        return f"{self.formatException(record.exc_info)}\n{line}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a record: ts, level, event, logger, then step, process and every other `extra` field."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the object on one line."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields = {
            "ts": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "event": record.getMessage(),
            "logger": record.name,
        }
        if "process_index" in vars(record):  # LogRecord.process is the pid, and `extra` may not replace it.
            fields["process"] = vars(record)["process_index"]
        fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=True)


def requested_format(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Finds the log format before the arguments are parsed, because parsing them can fail.

    Args:
      argv: Arguments; the last `--log-format` wins. Wrong values are left to the parser to refuse.
      environ: Where `HRM_CODEGEN_LOG_FORMAT` is looked up.

    Returns:
      `text` or `json`.

    Raises:
      UsageError: If the environment variable is set to something else.
    """
    chosen = environ.get(ENVIRONMENT) or "text"
    if chosen not in FORMATS:
        raise UsageError(f"{ENVIRONMENT} is {chosen!r}; it must be one of {', '.join(FORMATS)}")
    for index, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name == "--log-format":
            value = value if equals else next(iter(argv[index + 1 :]), "")
            chosen = value if value in FORMATS else chosen
    return chosen


def setup(verbosity: int = 0, log_format: str = "text") -> None:
    """Sends the root logger to stderr; may be called again to change its mind.

    Args:
      verbosity: 0 for INFO of this package, 1 for its DEBUG, 2 for everybody's DEBUG.
      log_format: `text` or `json`.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, StderrHandler)]:
        root.removeHandler(handler)
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbosity >= 2 else logging.WARNING)
    logging.getLogger("hrm_codegen").setLevel(logging.DEBUG if verbosity else logging.INFO)
    logging.captureWarnings(log_format == "json")
    if log_format == "json":  # XLA's C++ code writes its own lines to stderr; only silence makes them JSON.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _printable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace(_STOPWATCH, "[timeout]").encode(encoding, "backslashreplace").decode(encoding)
    return text
