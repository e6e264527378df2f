"""Runs the tests of one case against a program that lives in another process, and says what came of it.

The only place where a verdict is made. It believes nothing that the solver says of itself: a pass means that every
test ran to its end here, on plain values, within the limits that were measured from outside.
"""

from __future__ import annotations

import collections
import itertools
import reprlib
import signal
import sys
import types
from typing import Any, NamedTuple

from .exceptions import Fields
from .line import Line, Stopped
from .names import Namespace, bind_names
from .session import Session
from .testcode import COMPARE, HOLDS, TestCode, compile_prelude, compile_tests, failing_line

_TEXT_LIMIT, _MESSAGE_LIMIT = 2000, 500
_PARTS = 2000
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict, _SHORT.maxset = 2, 40, 40, 40, 40


class Case(NamedTuple):
    """A program and what it is judged by; the fields of `verdicts.Program`, and its wall seconds."""

    code: str
    test_list: tuple[str, ...]
    test_setup_code: str
    prelude: str
    entry_point: str | None
    timeout: float
    wall_seconds: float
    all_tests: bool


class Report(types.SimpleNamespace):
    """What is told to the evaluator; its attributes are the first fields of `verdicts.ProgramResult`."""

    def __init__(self, verdict: str = "passed", message: str = "", tests_total: int = 0) -> None:
        """Makes the report of a program that has passed no test so far."""
        nothing = dict.fromkeys(("failing_test", "call", "expected", "got"))
        super().__init__(verdict=verdict, message=message, **nothing, tests=[], tests_total=tests_total)


class _Compare:
    """Stands in for what an assert asserts; remembers the sides of a comparison that differ, and that one failed.

    Attributes:
      failed: The sides that differ, the expected one first; None if the last one was no comparison, or held.
      broken: Whether any assert has failed.
    """

    failed: tuple[Any, Any] | None = None
    broken = False

    def __call__(self, left: Any, right: Any, identity: bool, expected_left: bool) -> bool:
        """Compares."""
        self.failed = None
        if (left is right) if identity else (left == right):
            return True
        self.failed = (left, right) if expected_left else (right, left)
        self.broken = True
        return False

    def holds(self, value: Any) -> bool:
        """Notes whether something else holds."""
        self.failed = None
        if value:
            return True
        self.broken = True
        return False


def prepare(case: Case) -> TestCode | Report:
    """Compiles the tests; a report that blames the harness if that is impossible."""
    try:
        return compile_tests(case.test_list, case.test_setup_code, case.entry_point)
    except ValueError as error:
        return Report(verdict="harness_error", message=_clip(str(error), _MESSAGE_LIMIT))


def run_tests(case: Case, code: TestCode, line: Line) -> Report:
    """Loads the program and runs the tests on it; raises nothing for anything that either does."""
    report = Report(tests_total=len(code.tests))
    session = Session(line)
    try:
        _run(case, code, session, report)
    except Stopped:
        pass
    except MemoryError:
        report.verdict, report.message = "memory", "out of memory"
    except Exception as error:  # no test is running: what the program has sent was more than we could take
        report.verdict, report.message = "protocol", f"the judge could not go on: {type(error).__name__}"
    if line.stopped is not None and report.verdict == "passed":  # a bare `except:` of a test may have swallowed it
        report.verdict, report.message = line.stopped.reason, line.stopped.message
    return report


def finish(case: Case, report: Report, line: Line) -> Report:
    """Corrects a report by what was seen from outside: how the solver ended, and what CPU time it took."""
    status, seconds = line.dead or (0, 0.0)
    number = status & 0x7F
    # A program may also send itself the signal that ends those out of time.
    out_of_time = line.out_of_time or (number == signal.SIGXCPU and seconds > case.timeout / 2)
    if report.verdict == "harness_error":
        return report
    if seconds > case.timeout or (report.verdict == "ended" and out_of_time):
        report.verdict, report.message = "timeout_cpu", f"more than {case.timeout:g} s of CPU time"
    elif report.verdict == "timeout_wall":
        report.message = f"no end after {case.wall_seconds:.1f} s of wall time"
    elif line.output_bytes > line.output_limit:
        report.verdict, report.message = "output_limit", f"printed more than {line.output_limit} bytes"
    elif report.verdict == "ended" and number:
        report.verdict, report.message = "crash", f"killed by {_signal_name(number)}"
    elif report.verdict == "ended":
        report.verdict = "protocol"
        report.message = f"the process ended with exit status {status >> 8} before the tests were done"
    return report


def _run(case: Case, code: TestCode, session: Session, report: Report) -> None:
    failure = session.load(case.code, code.names)
    if failure is not None:
        out_of_memory = failure.name == "MemoryError"
        report.verdict = "memory" if out_of_memory else "load_error"
        report.message = "out of memory while the program was loaded" if out_of_memory else _remote_text(failure)
        return
    compare = _Compare()
    namespace = Namespace(session)
    namespace.update({"__name__": "__main__", COMPARE: compare, HOLDS: compare.holds})
    _seed()
    try:
        exec(compile_prelude(case.prelude), namespace)
    except Exception as error:
        report.verdict, report.message = "harness_error", f"the problem's own stub fails: {_describe(error)}"
        return
    try:
        bind_names(namespace, code, session, case.entry_point)
        exec(code.setup, namespace)
        _lend_classes(namespace, session)
    except Stopped:
        raise
    except BaseException as error:
        _blame(report, code, compare, session, error)
        return
    for test in code.tests:
        compare.failed = session.last_call = None
        compare.broken = False
        try:
            exec(test, namespace)
            if compare.broken and not code.catches_assertions:
                # A program's own context manager, or exception type, must not be where a failure ends.
                raise AssertionError("an assertion failed, and what it raised was swallowed")
        except Stopped:
            raise
        except BaseException as error:
            blamed = _blame(Report(), code, compare, session, error)
            report.tests.append(blamed.verdict)
            if report.verdict == "passed":
                vars(report).update(vars(blamed) | {"tests": report.tests, "tests_total": report.tests_total})
            if not case.all_tests:
                return
        else:
            report.tests.append("passed")


def _lend_classes(namespace: Namespace, session: Session) -> None:
    """Gives the program the classes of the setup (a `TreeNode`) that it may want to make instances of."""
    classes = {
        name: value for name, value in namespace.items() if type(value) is type and value.__module__ == "__main__"
    }
    if classes:
        session.request("define", classes)


def _blame(report: Report, code: TestCode, compare: _Compare, session: Session, error: BaseException) -> Report:
    """Fills a report in for what a test raised."""
    if session.stopped is not None:
        raise session.stopped
    report.failing_test = _clip(failing_line(code, error.__traceback__))
    remote = getattr(error, "remote", None)
    if isinstance(error, ModuleNotFoundError) and remote is None:
        report.verdict, report.message = "harness_error", f"the tests need a module that is not here: {error.name}"
    elif isinstance(error, MemoryError):
        report.verdict, report.message = "memory", "out of memory"
    elif not isinstance(error, AssertionError) or remote is not None:
        report.verdict = "exception"
        report.message = _remote_text(remote) if remote is not None else _describe(error)
    else:
        report.verdict, report.message = "wrong_answer", _describe(error)
        report.call = _call_text(session)
        if compare.failed is not None:
            report.expected, report.got = (_clip(_repr(side)) for side in compare.failed)
    return report


def _call_text(session: Session) -> str | None:
    call = session.last_call_text()
    if call is None:
        return None
    name, arguments, named = call
    parts = [*map(_repr, arguments), *(f"{key}={_repr(value)}" for key, value in named.items())]
    return _clip(f"{name}({', '.join(parts)})")


def _remote_text(fields: Fields) -> str:
    place = f" (line {fields.line})" if fields.line else ""
    return _clip(f"{fields.name[:100]}{': ' if fields.text else ''}{fields.text}", _MESSAGE_LIMIT) + place


def _describe(error: BaseException) -> str:
    """Returns type and text of an exception raised here; its arguments may be the program's."""
    try:
        text = str(error)
    except BaseException as inner:
        text = f"<str() raised {type(inner).__name__}>"
    return _clip(f"{type(error).__name__}{': ' if text else ''}{text}", _MESSAGE_LIMIT)


def _repr(value: Any) -> str:
    """Returns the `repr`, in short where that would be endless."""
    try:
        return repr(value) if _is_small(value) else _SHORT.repr(value)
    except BaseException as error:
        return f"<repr() raised {type(error).__name__}>"


def _is_small(value: Any) -> bool:
    """Whether it has few parts, each counted as often as it would be shown."""
    pending, seen = [value], 0
    while pending:
        part = pending.pop()
        seen += 1
        if type(part) is dict:
            pending += [item for pair in itertools.islice(part.items(), _PARTS) for item in pair]
        elif type(part) in (list, tuple, set, frozenset, collections.deque):
            pending += itertools.islice(part, _PARTS)
        if seen > _PARTS:
            return False
    return True


def _clip(text: str | None, limit: int = _TEXT_LIMIT) -> Any:
    return text if text is None or len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _seed() -> None:
    """Gives every case the same random numbers, where tests draw some."""
    if "random" in sys.modules:
        sys.modules["random"].seed(0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
