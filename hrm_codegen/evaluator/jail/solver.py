"""The untrusted side: a process that loads one program and answers calls with plain data.

Everything in here runs beside hostile code and may be changed by it; nothing in here is believed. What it sends are
answers that the program could have given anyway. It has the program, and of the tests no more than the arguments of
the calls that it is asked to make.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the part of `signal` that is in C
import builtins
import importlib
import operator
import os
import resource
import struct
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from .decoder import Decoder
from .encoder import OWN_MODULE, SHADOWED, U32, Encoder
from .operations import OPERATIONS, CallBack, ForeignIterator, ForeignObject, describe, flags, kind_of, local_exception
from .reply import is_changed, pack, unpack
from .zygote import REQUEST, register_fork_handlers

FILE = "<solution>"
_LINE = 3
_DECODING_LIMIT = 5000  # frames that the deepest message takes to read
_CHUNK = 1 << 16
_FRAME = struct.Struct(">II")


def serve(line: int, request: bytes, restrict: Callable[[], None]) -> NoReturn:
    """Becomes the solver.

    Every page of memory that is written to from here on is copied for this solver alone, which is most of what a case
    costs: so this goes by the shortest ways that there are (`_signal` has no enums).

    Args:
      line: Descriptor of the line to the judge.
      request: As the zygote was asked; has the CPU seconds.
      restrict: Puts up the walls that each solver needs for itself.
    """
    _, seconds = REQUEST.unpack(request)
    os.dup2(line, _LINE)  # closes the zygote's own line, which has this number
    os.close(line)
    os.setsid()
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    # The zygote measures exactly; this is for what it cannot see. The kernel counts in ticks here, and may err by half.
    whole = int(1.5 * seconds) + 2
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    whole = whole if hard == resource.RLIM_INFINITY else min(whole, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))
    restrict()
    register_fork_handlers()
    Solver(_LINE).run()


class Solver:
    """Loads a program and obeys.

    Attributes:
      namespace: Of the program.
    """

    def __init__(self, line: int) -> None:
        """Takes the line to the judge."""
        self._line = line
        self._owner = os.getpid()
        self._buffer = b""
        self._number = 0
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._lent: dict[int, CallBack] = {}
        self._module = type(sys)(OWN_MODULE)
        self.namespace = self._module.__dict__

    def run(self) -> NoReturn:
        """Serves until the judge hangs up."""
        try:
            self._load(*Decoder(self._receive(), self._opaque).decode())
            while True:
                self._answer(self._receive())
        except BaseException:  # the line is gone, or the program has damaged what we stand on
            os._exit(1)

    def call_back(self, number: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Has the judge call a function of the tests; answers what that asks of the program meanwhile."""
        encoder = Encoder(self._handle)
        self._send(b"K" + U32.pack(number) + encoder.encode((arguments, named)))
        while (message := self._receive())[:1] not in b"RX":
            self._answer(message)
        if message[:1] == b"X":
            raise local_exception(Decoder(message[1:], self._opaque).decode())
        return unpack(message[1:], self._opaque, encoder.objects)

    def describe(self, error: BaseException) -> Any:
        """Returns the fields of an exception, as they arrive at the judge."""
        return Decoder(self._described(error), self._opaque).decode()

    def _load(self, code: str, wanted: tuple[str, ...]) -> None:
        sys.modules["__main__"] = type(sys)("__main__")
        sys.modules[OWN_MODULE] = self._module
        try:
            exec(_compile(code), self.namespace)
        except BaseException as error:
            self._send(b"X" + self._described(error))
            return
        kinds = [(name, kind_of(self.namespace[name])) for name in wanted if name in self.namespace]
        self._send(b"L" + Encoder(self._handle).encode(kinds))

    def _answer(self, message: bytes) -> None:
        decoder = Decoder(message, self._opaque)
        limit = sys.getrecursionlimit()
        try:
            sys.setrecursionlimit(max(limit, _DECODING_LIMIT))
            operation, arguments, named = decoder.decode()
            sys.setrecursionlimit(limit)
            objects = list(decoder.objects)
            if operation == "call":
                value = arguments[0](*arguments[1:], **named)
            else:
                value = OPERATIONS[operation](self, *arguments)
        except BaseException as error:
            self._send(b"X" + self._described(error))
            return
        # The first two objects are the request's own empty ones where there is nothing else to change.
        changed = len(objects) > 1 and is_changed(message, (operation, arguments, named), decoder.opaque_bytes)
        self._send(pack(value, self._handle, objects, changed=changed))

    def _handle(self, value: Any) -> bytes:
        if isinstance(value, CallBack):
            return b"u" + U32.pack(value.number) + U32.pack(0)
        number = self._numbers.get(id(value))
        if number is None:
            self._numbers[id(value)] = number = len(self._objects)
            self._objects.append(value)
        text = flags(value).encode("utf-8", "replace")[:200]
        tag = b"p" if isinstance(value, SHADOWED) and type(value).__module__ == OWN_MODULE else b"h"
        return tag + U32.pack(number) + U32.pack(len(text)) + text

    def _opaque(self, tag: bytes, number: int, text: str) -> Any:
        if tag == b"h":
            return self._objects[number]
        kind, _, name = text.partition(":")
        if tag == b"u":
            if number not in self._lent:
                self._lent[number] = {"i": ForeignIterator, "o": ForeignObject}.get(kind, CallBack)(self, number, name)
            return self._lent[number]
        if kind == "error":
            name, _, text = name.partition(":")
            return getattr(builtins, name)(*([text] if text else []))
        if kind == OWN_MODULE:
            return self.namespace[name]
        if kind == "module":
            return importlib.import_module(name)
        return operator.attrgetter(name)(importlib.import_module(kind))

    def _described(self, error: BaseException) -> bytes:
        fields = describe(error, FILE)
        try:
            return Encoder(self._handle).encode(fields)
        except Exception:  # arguments that are too deep
            return Encoder(self._handle).encode((*fields[:4], None, fields[5]))

    def _receive(self) -> bytes:
        while True:
            if len(self._buffer) >= _FRAME.size:
                size, self._number = _FRAME.unpack_from(self._buffer)
                if len(self._buffer) >= _FRAME.size + size:
                    message = self._buffer[_FRAME.size : _FRAME.size + size]
                    self._buffer = self._buffer[_FRAME.size + size :]
                    return message
                data = os.read(self._line, max(_CHUNK, min(size, 1 << 24)))
            else:
                data = os.read(self._line, _CHUNK)
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
        rest = _FRAME.pack(len(message), self._number) + message
        while (sent := os.write(self._line, rest)) < len(rest):
            rest = rest[sent:]


def _compile(code: str) -> Any:
    try:
        return compile(code, FILE, "exec", dont_inherit=True)
    except (MemoryError, RecursionError) as error:
        raise SyntaxError("too large or too deeply nested to be compiled") from error


def _leave(code: object = None) -> NoReturn:
    """Stands in for `exit` and `quit`, which interpreters get from `site`."""
    raise SystemExit(code)


builtins.exit = builtins.quit = _leave  # type: ignore[assignment]
