"""The folder of an evaluation: `run.json`, `results.jsonl` as it goes, `report.json` in the end; and resuming.

A line is appended as each sample is judged, so a kill at any moment loses at most a torn last line. `run.json` says
what the lines belong to: a run with other settings refuses the folder instead of mixing two models' samples. A lock on
the folder, which ends with the process, keeps a second evaluation out.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hrm_codegen.config.files import atomic_write
from hrm_codegen.errors import DatasetError, UsageError
from hrm_codegen.evaluator.report import EvalResult, SampleResult
from hrm_codegen.evaluator.verdicts import Verdict

_LOG = logging.getLogger("hrm_codegen.evaluator")
RUN, RESULTS, REPORT = "run.json", "results.jsonl", "report.json"


class ResultsLog:
    """Appends results to a folder; a context manager.

    Attributes:
      finished: What an earlier run of the same settings left, by (task_id, sample).
    """

    def __init__(self, folder: str | Path, fingerprint: Mapping[str, Any]) -> None:
        """Opens a new folder or one of an interrupted run.

        Args:
          folder: Made if missing.
          fingerprint: All that a sample's verdict depends on; JSON-able.

        Raises:
          UsageError: If the folder holds results of something else, or another evaluation writes there.
          DatasetError: If a line before the last is broken.
        """
        self._folder = Path(folder)
        try:
            with contextlib.ExitStack() as stack:
                self._folder.mkdir(parents=True, exist_ok=True)
                stack.callback(os.close, _lock(self._folder))
                for left in [left for name in (RUN, RESULTS, REPORT) for left in self._folder.glob(f".{name}.*")]:
                    left.unlink()  # of a file that was being written when its evaluation was killed
                self._check_fingerprint(json.loads(json.dumps(fingerprint)))
                kept = self._read_results()
                with atomic_write(self._folder / RESULTS) as file:
                    file.writelines(json.dumps(result.to_row()) + "\n" for result in kept)
                results = (self._folder / RESULTS).open("a", encoding="utf-8", newline="\n")
                self._file = stack.enter_context(results)
                self._open = stack.pop_all()
        except OSError as error:
            raise UsageError(f"cannot write results to {folder}: {error.strerror or error}") from error
        self.finished = {(result.task_id, result.sample): result for result in kept}

    def __enter__(self) -> ResultsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def append(self, result: SampleResult) -> None:
        """Writes one line and hands it to the operating system."""
        self._file.write(json.dumps(result.to_row()) + "\n")
        self._file.flush()

    def write_report(self, result: EvalResult) -> None:
        """Writes `report.json`, whole or not at all."""
        with atomic_write(self._folder / REPORT) as file:
            json.dump(result.to_json(), file, indent=1)
            file.write("\n")

    def _check_fingerprint(self, fingerprint: dict[str, Any]) -> None:
        path = self._folder / RUN
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if (self._folder / RESULTS).exists():
                raise UsageError(
                    f"{self._folder} has a {RESULTS} but no {RUN}: it is not of this version; choose another --out"
                ) from None
            with atomic_write(path) as file:
                json.dump(fingerprint, file, indent=1)
            return
        except ValueError as error:
            raise UsageError(f"{path} is broken ({error}); choose another --out, or delete the folder") from error
        if found != fingerprint:
            keys = [key for key in fingerprint | found if fingerprint.get(key) != found.get(key)]
            differences = "; ".join(f"{key} was {found.get(key)!r}, now {fingerprint.get(key)!r}" for key in keys)
            raise UsageError(
                f"{self._folder} holds results of other settings ({differences}): "
                "choose another --out, delete the folder, or resume with the same settings"
            )

    def _read_results(self) -> list[SampleResult]:
        """Returns the finished samples; a torn last line and the harness's own errors are to be done again."""
        path = self._folder / RESULTS
        if not path.exists():
            return []
        *lines, torn = path.read_bytes().split(b"\n")
        results = []
        for number, line in enumerate(lines, 1):
            try:
                results.append(SampleResult.from_row(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{path}:{number}: not a line of results ({type(error).__name__}: {error}); "
                    "delete the line to have the sample judged again"
                ) from error
        del torn
        return [result for result in results if result.verdict is not Verdict.HARNESS_ERROR]


def _lock(folder: Path) -> int:
    """Returns a descriptor that holds the folder until it is closed; also where the file system knows no locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"another evaluation is writing to {folder}: wait for it, or choose another --out") from None
    except OSError:
        _LOG.debug("no locks in %s", folder)
    return descriptor
