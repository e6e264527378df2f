"""Runs one untrusted program and its tests. A script of its own, started by `sandbox.py` in a fresh interpreter.

Imports nothing but the standard library, and little of it: a start costs CPU time for every program. It reads the job
from a file descriptor, limits itself, reports "ready", runs code, setup and tests in one module, and reports a verdict
over a second descriptor under a random nonce. What is *not* separated: tests and verdict live in the process of the
program, so code that walks frames or returns objects equal to everything can still cheat.
"""

from __future__ import annotations

import _ast  # the C module: `ast` itself costs 10 ms a start
import contextlib
import marshal
import math
import os
import resource
import signal
import sys
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any

_MODULE = "solution"
_SOLUTION, _SETUP, _TEST = "<solution>", "<setup>", "<test {}>"
_COMPARE = "@compare"  # no identifier, so no program can name it by accident
_TEXT_LIMIT = 2000
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1

Fields = tuple[str, str, "str | None", "str | None", "str | None"]  # verdict, message, failing test, expected, got


def main() -> None:
    """Reads the job, runs it, reports the verdict and leaves without running anything else of the program."""
    job_fd, verdict_fd = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(job_fd, "rb") as file:
        job = marshal.load(file)
    sys.argv[:] = [_MODULE]
    os.set_inheritable(verdict_fd, False)
    send = _sender(verdict_fd, job.pop("nonce"))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    isolated = _isolate(job["parent"])
    try:
        setup = compile(job["setup"], _SETUP, "exec", dont_inherit=True)
        texts = _with_call(job["tests"], job["entry_point"])
        tests = [_compile_test(text, _TEST.format(i)) for i, text in enumerate(texts)]
        broken = "" if any(count for _, count in tests) else "the tests have no statement"
    except BaseException as error:
        broken = f"the tests cannot be compiled: {_describe(error, None)}"
    started = _limit(job, isolated)
    send("ready", repr(started), "isolated" if isolated else "open")
    if broken:
        fields: Fields = ("harness_error", broken, None, None, None)
    else:
        fields = _judge(job["code"], setup, [*zip(texts, (code for code, _ in tests), strict=True)])
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(BaseException):
            if stream is not None:
                stream.flush()
    send("verdict", *fields)
    os._exit(0)


def _sender(fd: int, nonce: str) -> Callable[..., None]:
    """Returns the one way to report; a process that the program forked must not use it."""
    write, getpid, leave, owner = os.write, os.getpid, os._exit, os.getpid()

    def send(*fields: str | None) -> None:
        if getpid() != owner:
            leave(0)
        words = [nonce, *("-" if f is None else f"={f.encode('utf-8', 'surrogatepass').hex()}" for f in fields)]
        write(fd, " ".join(words).encode() + b"\n")

    return send


def _isolate(parent: int) -> bool:
    """Takes the network away if the kernel lets us, and dies with the evaluator. Returns whether the former worked."""
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        isolated = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        return False
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    return isolated


def _limit(job: dict[str, Any], isolated: bool) -> float:
    """Sets the limits as far as the hard ones allow. Returns the CPU seconds that the start has cost."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    started = usage.ru_utime + usage.ru_stime
    limits = dict(job["limits"], CPU=math.ceil(started + job["timeout"]) + 1)
    if not isolated:
        limits.pop("NPROC")  # outside a user namespace it counts all processes of the user
    if sys.platform == "darwin":
        limits.pop("AS")  # refused there, for every program
    for name, wanted in limits.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):
            kind = getattr(resource, f"RLIMIT_{name}")
            hard = resource.getrlimit(kind)[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (value, value))
    # RLIMIT_CPU counts whole seconds; this timer is exact, and with its default action no Python code has to run.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, job["timeout"])
    return started


def _judge(code: str, setup: CodeType, tests: list[tuple[str, CodeType]]) -> Fields:
    """Runs code, setup and tests in one module, and says what came of it."""
    sys.modules["__main__"] = type(sys)("__main__")
    module = sys.modules[_MODULE] = type(sys)(_MODULE)
    namespace = module.__dict__
    try:
        program = compile(code, _SOLUTION, "exec", dont_inherit=True)
    except BaseException as error:
        return "load_error", _describe(error, None), None, None, None
    try:
        exec(program, namespace)
    except MemoryError:
        return "memory", "out of memory while the program was loaded", None, None, None
    except BaseException as error:
        return "load_error", _describe(error, sys.exc_info()[2]), None, None, None
    compare = _Compare()
    namespace[_COMPARE] = compare
    try:
        exec(setup, namespace)
        for _, test in tests:
            compare.failed = None
            exec(test, namespace)
    except BaseException as error:
        trace = sys.exc_info()[2]
        failing = _failing_line([text for text, _ in tests], trace)
        if isinstance(error, MemoryError):
            return "memory", "out of memory", failing, None, None
        if not isinstance(error, AssertionError) or _inside_solution(trace):
            return "exception", _describe(error, trace), failing, None, None
        message = _describe(error, None)
        if compare.failed is None:
            return "wrong_answer", message, failing, None, None
        expected, got = (_clip(_repr(side)) for side in compare.failed)
        return "wrong_answer", message, failing, expected, got
    return "passed", "", None, None, None


class _Compare:
    """Stands in for `left == right` and `left is right` in an assert, and remembers the sides that differ."""

    failed: tuple[Any, Any] | None = None

    def __call__(self, left: Any, right: Any, identity: bool, expected_left: bool) -> bool:
        self.failed = None
        if (left is right) if identity else (left == right):
            return True
        self.failed = (left, right) if expected_left else (right, left)
        return False


def _with_call(tests: tuple[str, ...], entry_point: str | None) -> tuple[str, ...]:
    """Adds HumanEval's call where the tests define `check(candidate)` and nothing calls it: it would always pass."""
    if entry_point is None:
        return tests
    body = [node for text in tests for node in _parse(text).body]
    defined = any(isinstance(node, _ast.FunctionDef) and node.name == "check" for node in body)
    kinds = _ast.Expr | _ast.Assert | _ast.For | _ast.With | _ast.Try
    called = any(isinstance(n, kinds) and not isinstance(getattr(n, "value", None), _ast.Constant) for n in body)
    return (*tests, f"check({entry_point})") if defined and not called else tests


def _parse(text: str) -> Any:
    return compile(text, _TEST, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)


def _compile_test(text: str, name: str) -> tuple[CodeType, int]:
    """Compiles a test with each `assert a == b` taken apart. Returns it and its number of statements."""
    tree = _parse(text)
    pending: list[Any] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, _ast.Assert) and isinstance(node.test, _ast.Compare):
            _take_apart(node)
        pending.extend(_children(node))
    return compile(tree, name, "exec", dont_inherit=True), len(tree.body)


def _take_apart(node: Any) -> None:
    compare = node.test
    if len(compare.ops) != 1 or not isinstance(compare.ops[0], _ast.Eq | _ast.Is):
        return
    left, right = compare.left, compare.comparators[0]
    place = {name: getattr(compare, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")}
    flags = (isinstance(compare.ops[0], _ast.Is), _is_literal(left) and not _is_literal(right))
    arguments = [left, right, *(_ast.Constant(value=flag, **place) for flag in flags)]
    function = _ast.Name(id=_COMPARE, ctx=_ast.Load(), **place)
    node.test = _ast.Call(func=function, args=arguments, keywords=[], **place)


def _children(node: Any) -> list[Any]:
    values = [getattr(node, field, None) for field in node._fields]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [item for item in flat if isinstance(item, _ast.AST)]


def _is_literal(node: Any) -> bool:
    pending = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, _ast.Call | _ast.Name):
            return False
        pending.extend(_children(item))
    return True


def _frames(trace: TracebackType | None) -> list[tuple[str, int]]:
    found = []
    while trace is not None:
        found.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return found


def _inside_solution(trace: TracebackType | None) -> bool:
    return any(name == _SOLUTION for name, _ in _frames(trace))


def _failing_line(texts: list[str], trace: TracebackType | None) -> str | None:
    """Returns the line of a test that failed; the whole test if it is one statement, None if the setup failed."""
    places = {_TEST.format(i): text for i, text in enumerate(texts)}
    found = [(places[name], line) for name, line in _frames(trace) if name in places]
    if not found:
        return None
    text, number = found[-1]
    body = _parse(text).body
    whole = len(body) == 1 and isinstance(body[0], _ast.Assert | _ast.Expr)
    return _clip(text.strip() if whole else text.splitlines()[number - 1].strip())


def _describe(error: BaseException, trace: TracebackType | None) -> str:
    """Returns `Type: text (line n)` of an exception, whatever its class does when it is asked for a text."""
    try:
        text = str(error)
    except BaseException as inner:
        text = f"<str() raised {type(inner).__name__}>"
    lines = [line for name, line in _frames(trace) if name == _SOLUTION]
    place = f" (line {lines[-1]})" if lines else ""
    return _clip(f"{type(error).__name__}{': ' if text else ''}{text}", 500) + place


def _repr(value: Any) -> str:
    try:
        return "".join((repr(value),))  # a plain str, also where the program's class returns a subclass
    except BaseException as error:
        return f"<repr() raised {type(error).__name__}>"


def _clip(text: str, limit: int = _TEXT_LIMIT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


if __name__ == "__main__":
    main()
