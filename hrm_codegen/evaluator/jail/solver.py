"""The untrusted side: a process that loads one program and answers calls with plain data.

Everything in here runs beside hostile code and may be changed by it; nothing in here is believed. What it sends are
answers that the program could have given anyway. It has the program, and of the tests no more than the arguments of
the calls that it is asked to make.
"""

from __future__ import annotations

import copy
import itertools
import math
import operator
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .decoder import Decoder
from .encoder import U32, Encoder
from .reply import pack, snapshot, unpack
from .zygote import REQUEST

MODULE, FILE = "solution", "<solution>"
_TEXT_LIMIT = 500
_NAME_LIMIT = 20_000
_BUILTIN_MODULES = ("builtins", "math", "cmath", "operator", "itertools", "functools")
_DECODING_LIMIT = 5000  # frames that the deepest message takes to read
_CHUNK = 1 << 16
_FRAME = struct.Struct(">II")


def serve(line: socket.socket, request: bytes, restrict: Callable[[], None]) -> NoReturn:
    """Becomes the solver.

    Args:
      line: To the judge.
      request: What it may use, as the zygote was told.
      restrict: Puts up the walls that each solver needs for itself.
    """
    _, seconds, address_space, file_size = REQUEST.unpack(request)
    descriptor = line.detach()
    os.dup2(descriptor, 3)
    os.closerange(4, 256)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for kind, value in (
        (resource.RLIMIT_AS, address_space if sys.platform != "darwin" else resource.RLIM_INFINITY),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CPU, math.ceil(seconds) + 1),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    restrict()
    # RLIMIT_CPU counts whole seconds; this timer is exact, and with its default action no Python code has to run.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    Solver(socket.socket(fileno=3)).run()


class Solver:
    """Loads a program and obeys."""

    def __init__(self, line: socket.socket) -> None:
        """Takes the line to the judge."""
        self._line = line
        self._owner = os.getpid()
        self._buffer = b""
        self._number = 0
        self._objects: list[Any] = []
        self._module = type(sys)(MODULE)

    def run(self) -> NoReturn:
        """Serves until the judge hangs up."""
        try:
            self._load(self._receive().decode("utf-8", "surrogatepass"))
            while True:
                self._answer(self._receive())
        except BaseException:  # the line is gone, or the program has damaged what we stand on
            os._exit(1)

    def _load(self, code: str) -> None:
        sys.modules["__main__"] = type(sys)("__main__")
        sys.modules[MODULE] = self._module
        try:
            exec(_compile(code), self._module.__dict__)
        except BaseException as error:
            self._send(b"X" + self._describe(error))
            return
        names = itertools.islice(self._module.__dict__.items(), _NAME_LIMIT)
        kinds = [(name, _kind(value)) for name, value in names if type(name) is str]
        self._send(b"L" + Encoder(self._handle).encode(kinds))

    def _answer(self, message: bytes) -> None:
        decoder = Decoder(message, self._opaque)
        limit = sys.getrecursionlimit()
        try:
            sys.setrecursionlimit(max(limit, _DECODING_LIMIT))
            operation, arguments, named = decoder.decode()
            sys.setrecursionlimit(limit)
            before, objects = snapshot(arguments, named), list(decoder.objects)
            value = self._operate(operation, arguments, named)
        except BaseException as error:
            self._send(b"X" + self._describe(error))
            return
        changed = bool(objects) and before is not None and before != snapshot(arguments, named)
        self._send(pack(value, self._handle, objects, changed=changed))

    def _operate(self, operation: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if operation == "call":
            target, *rest = arguments
            return target(*rest, **named)
        return _OPERATIONS[operation](self, *arguments)

    def _call_back(self, number: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Asks the judge to call a function of the tests."""
        encoder = Encoder(self._handle)
        self._send(b"K" + U32.pack(number) + encoder.encode((arguments, named)))
        message = self._receive()
        if message[:1] == b"X":
            raise _local_exception(Decoder(message[1:], self._opaque).decode())
        return unpack(message[1:], self._opaque, encoder.objects)

    def _handle(self, value: Any) -> bytes:
        if type(value) is CallBack:
            return b"u" + U32.pack(value.number) + U32.pack(0)
        self._objects.append(value)
        text = f"{_flags(value)}{type(value).__name__}".encode("utf-8", "replace")[:200]
        return b"h" + U32.pack(len(self._objects) - 1) + U32.pack(len(text)) + text

    def _opaque(self, tag: bytes, number: int, text: str) -> Any:
        if tag == b"h":
            return self._objects[number]
        if tag == b"u":
            return CallBack(self, number, text)
        module, _, name = text.partition(":")
        if module == MODULE:
            return self._module.__dict__[name]
        assert module in _BUILTIN_MODULES
        return operator.attrgetter(name)(sys.modules[module])

    def _describe(self, error: BaseException) -> bytes:
        """Returns name, built-in ancestors, text and line of an exception, whatever its class does when asked."""
        try:
            text = "".join((str(error),))[:_TEXT_LIMIT]
        except BaseException as inner:
            text = f"<str() raised {type(inner).__name__}>"
        ancestors = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        try:
            frames = traceback.walk_tb(error.__traceback__)
            lines = [line for frame, line in frames if frame.f_code.co_filename == FILE]
        except BaseException:
            lines = []
        fields = (type(error).__name__, ancestors, text, lines[-1] if lines else 0)
        return Encoder(self._handle).encode(fields)

    def _receive(self) -> bytes:
        while True:
            if len(self._buffer) >= _FRAME.size:
                size, self._number = _FRAME.unpack_from(self._buffer)
                if len(self._buffer) >= _FRAME.size + size:
                    message = self._buffer[_FRAME.size : _FRAME.size + size]
                    self._buffer = self._buffer[_FRAME.size + size :]
                    return message
                data = self._line.recv(max(_CHUNK, min(size, 1 << 24)))
            else:
                data = self._line.recv(_CHUNK)
            if not data:
                os._exit(0)
            self._buffer = self._buffer + data if self._buffer else data

    def _send(self, message: bytes) -> None:
        if os.getpid() != self._owner:  # a child that the program forked
            os._exit(0)
        for stream in (sys.__stdout__, sys.__stderr__):
            try:
                if stream is not None:
                    stream.flush()
            except BaseException:
                pass
        self._line.sendall(_FRAME.pack(len(message), self._number) + message)


class CallBack:
    """A function of the tests, as the program gets it."""

    def __init__(self, solver: Solver, number: int, name: str) -> None:
        self.number = number
        self.__name__ = name
        self._solver = solver

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Calls it where it lives."""
        return self._solver._call_back(self.number, arguments, named)


def _compile(code: str) -> Any:
    try:
        return compile(code, FILE, "exec", dont_inherit=True)
    except (MemoryError, RecursionError) as error:
        raise SyntaxError("too large or too deeply nested to be compiled") from error


def _kind(value: Any) -> str:
    """Returns what the judge has to know of a name: a module's name, a built-in's, or whether it is called."""
    if type(value) is type(sys):
        return f"module:{value.__name__}"
    return "callable" if callable(value) else "value"


def _flags(value: Any) -> str:
    kind = type(value)
    return "i" if hasattr(kind, "__next__") else "c" if callable(value) else "o"


def _local_exception(fields: Any) -> BaseException:
    name, ancestors, text, _ = fields
    kinds = [getattr(sys.modules["builtins"], kind, None) for kind in (name, *ancestors)]
    kind = next((k for k in kinds if isinstance(k, type) and issubclass(k, Exception)), Exception)
    error = kind.__new__(kind, text)
    error.args = (text,)
    return error


def _take(solver: Solver, iterator: Iterator[Any], count: int) -> tuple[list[Any], Any]:
    """Returns up to so many items, and what ended them: None, True for the end, or the exception's fields."""
    items: list[Any] = []
    try:
        for _ in range(count):
            items.append(next(iterator))
    except StopIteration:
        return items, True
    except BaseException as error:
        return items, Decoder(solver._describe(error), solver._opaque).decode()
    return items, None


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda solver, *arguments: function(*arguments)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "global": lambda solver, name: solver._module.__dict__[name],
    "take": _take,
    "getattr": _plain(getattr),
    "copy": _plain(copy.copy),
    "deepcopy": _plain(copy.deepcopy),
    "setattr": _plain(setattr),
    "delattr": _plain(delattr),
    "len": _plain(len),
    "iter": _plain(iter),
    "repr": _plain(lambda value: "".join((repr(value),))),
    "str": _plain(lambda value: "".join((str(value),))),
    "bool": _plain(bool),
    "int": _plain(int),
    "float": _plain(float),
    "index": _plain(operator.index),
    "hash": _plain(hash),
    "round": _plain(round),
    "isinstance": _plain(isinstance),
    "enter": _plain(lambda value: value.__enter__()),
    "exit": _plain(lambda value: bool(value.__exit__(None, None, None))),
    **{
        name: _plain(getattr(operator, name))
        for name in "getitem setitem delitem eq lt le gt ge add sub mul truediv floordiv mod pow and_ or_ xor "
        "neg pos abs invert".split()
    },
}
