"""Verdicts that were found before, by content: what a program is, what it is judged by, and the sandbox it ran in.

An SQLite file, so that several evaluations may use it at once and a kill breaks nothing. A cache that cannot be used
(read-only, locked, damaged) costs a warning and time, never an evaluation. Only verdicts that another run would repeat
are kept: not those about time or memory, which a busy machine can cause, and not the harness's own errors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from hrm_codegen.data.download import cache_dir
from hrm_codegen.evaluator.report import result_from_row
from hrm_codegen.evaluator.verdicts import Program, ProgramResult, Verdict

_LOG = logging.getLogger("hrm_codegen.evaluator")
_FILE = "verdicts-1.sqlite3"  # another number for another layout
_PATIENCE = 5.0  # seconds that another process may hold the file
_REPEATABLE = frozenset({
    Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.EXCEPTION, Verdict.LOAD_ERROR, Verdict.PROTOCOL, Verdict.OUTPUT_LIMIT,
})  # fmt: skip
_T = TypeVar("_T")


def default_cache() -> Path:
    """Returns `$HRM_CODEGEN_CACHE/verdicts`, or `~/.cache/hrm-codegen/verdicts`."""
    return cache_dir() / "verdicts"


def cache_key(program: Program, sandbox: Mapping[str, Any]) -> str:
    """Returns a digest of all that a verdict depends on.

    Args:
      program: With its tests and limits.
      sandbox: What it says of itself: tier, version, limits, interpreter.
    """
    fields = dataclasses.asdict(program) | {"timeout": float(program.timeout)}
    return hashlib.sha256(json.dumps([fields, dict(sandbox)], sort_keys=True).encode()).hexdigest()


class VerdictCache:
    """A context manager; used from many threads."""

    def __init__(self, folder: str | Path) -> None:
        """Opens a cache.

        Args:
          folder: Made if missing.
        """
        self._path = Path(folder) / _FILE
        self._lock = threading.Lock()
        self._connection: Any = None
        self._attempt(self._open)

    def __enter__(self) -> VerdictCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attempt(self._close)

    def get(self, key: str) -> ProgramResult | None:
        """Returns the verdict kept under a key; None if there is none, or none that can be read."""

        def look() -> Any:
            return self._connection.execute("SELECT result FROM verdicts WHERE key = ?", (key,)).fetchone()

        row = self._attempt(look) if self._connection is not None else None
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            if row is not None and isinstance(fields := json.loads(row[0]), dict):
                result = result_from_row(fields)
                return result if result.verdict in _REPEATABLE else None
        return None

    def put(self, key: str, result: ProgramResult) -> None:
        """Keeps a verdict, if it is of a kind that another run would repeat."""
        if self._connection is None or result.verdict not in _REPEATABLE:
            return
        row = (key, json.dumps(dataclasses.asdict(result)))
        self._attempt(lambda: self._connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", row))

    def _open(self) -> None:
        import sqlite3

        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, result TEXT) WITHOUT ROWID")
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _attempt(self, action: Callable[[], _T]) -> _T | None:
        """Does something with the file; what goes wrong ends the cache's use with a warning."""
        with self._lock:
            try:
                return action()
            except Exception as error:  # sqlite3's errors, which have no name here where it is not installed
                self._connection = None
                _LOG.warning(
                    "going on without the verdict cache %s (%s: %s): delete the file if it is damaged, "
                    "or choose another place with HRM_CODEGEN_CACHE",
                    self._path,
                    type(error).__name__,
                    error,
                )
                return None
