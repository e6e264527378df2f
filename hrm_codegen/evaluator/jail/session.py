"""The judge's conversation with one solver: questions, answers, and calls back into the tests."""

from __future__ import annotations

import sys
import types
from typing import Any

from .decoder import Decoder
from .encoder import U32, Encoder, WireError
from .line import Line, Stopped
from .remote import Remote, RemoteCallable, RemoteIterator, local_exception
from .reply import pack, snapshot, unpack

SOLUTION = "solution"
_KINDS = {"o": Remote, "c": RemoteCallable, "i": RemoteIterator}
_MODULES = ("builtins", "math", "cmath", "operator", "itertools", "functools")
_FUNCTIONS = (types.FunctionType, types.MethodType)
_DEPTH_LIMIT = 30


class Session:
    """Talks to a solver.

    Attributes:
      names: Global names of the program and what they are, once it is loaded.
      last_call: Bytes of the last call that a test made.
    """

    def __init__(self, line: Line) -> None:
        """Takes the line to a solver that has just started."""
        self._line = line
        self._number = 0
        self._depth = 0
        self._callbacks: list[Any] = []
        self.names: dict[str, str] = {}
        self.last_call: bytes | None = None

    @property
    def stopped(self) -> Stopped | None:
        """Why the program cannot be asked any more; None while it can."""
        return self._line.stopped

    def load(self, code: str) -> tuple[str, list[str], str, int] | None:
        """Has the program loaded. Returns the fields of the exception that this raised, None if it went well."""
        answer = self._line.exchange(0, code.encode("utf-8", "surrogatepass"))
        if answer[:1] == b"X":
            return self._error_fields(answer[1:])
        names = self._decode(answer[1:]) if answer[:1] == b"L" else None
        try:
            self.names = {str(name): str(kind) for name, kind in names}  # type: ignore[union-attr]
        except (TypeError, ValueError):
            raise self._line.stop("protocol", "no list of names") from None
        return None

    def request(self, operation: str, /, *arguments: Any, **named: Any) -> Any:
        """Asks the program for something.

        Raises:
          Stopped: If there is no answer, or no believable one.
          Exception: What the program raised, as `remote.local_exception` says.
        """
        encoder = Encoder(self._send_opaque)
        try:
            message = encoder.encode((operation, arguments, named))
        except (WireError, RecursionError) as error:
            raise self._line.stop("harness_error", f"a test passes what cannot be sent: {error}") from None
        if operation == "call":
            self.last_call = message
        self._number = number = self._number + 1
        answer = self._line.exchange(number, message)
        while answer[:1] == b"K":
            answer = self._line.exchange(number, self._call_back(answer[1:]))
        if answer[:1] == b"X":
            raise local_exception(self._error_fields(answer[1:]))
        if answer[:1] != b"R":
            raise self._line.stop("protocol", "neither an answer nor an exception")
        try:
            return unpack(answer[1:], self._take_opaque, encoder.objects)
        except WireError as error:
            raise self._line.stop("protocol", f"a value that is none: {error}") from None

    def take(self, iterator: RemoteIterator, count: int) -> tuple[list[Any], Any]:
        """Returns up to `count` items of an iterator, and what ended them: None, True, or an exception's fields."""
        match self.request("take", iterator, count):
            case (list() as items, (None | True) as end) if len(items) <= count and (end or items):
                return items, end
            case (list() as items, tuple() as fields) if len(items) <= count:
                return items, self._checked(fields)
        raise self._line.stop("protocol", "no items")

    def last_call_text(self) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
        """Returns what was called last, with the arguments as they were then; None if nothing was."""
        if self.last_call is None:
            return None
        _, (target, *arguments), named = Decoder(self.last_call, self._describe_opaque).decode()
        return str(target), tuple(arguments), named

    def _call_back(self, message: bytes) -> bytes:
        """Calls a function of the tests for the program."""
        decoder = Decoder(message, self._take_opaque)
        try:
            number = decoder.count(len(self._callbacks))
            function, (arguments, named) = self._callbacks[number], decoder.decode()
            if type(arguments) is not tuple or type(named) is not dict or not all(type(key) is str for key in named):
                raise WireError("no arguments")
        except (WireError, IndexError, TypeError, ValueError) as error:
            raise self._line.stop("protocol", f"a call of no function: {error}") from None
        if self._depth >= _DEPTH_LIMIT:
            return b"X" + Encoder(self._send_opaque).encode(("RecursionError", ["RecursionError"], "calls too deep", 0))
        before, objects = snapshot(arguments, named), list(decoder.objects)
        self._depth += 1
        try:
            value = function(*arguments, **named)
        except Exception as error:
            ancestors = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
            return b"X" + Encoder(self._send_opaque).encode((type(error).__name__, ancestors, str(error)[:500], 0))
        finally:
            self._depth -= 1
        try:
            changed = bool(objects) and before != snapshot(arguments, named)
            return pack(value, self._send_opaque, objects, changed=changed)
        except WireError as error:
            raise self._line.stop("harness_error", f"a test returns what cannot be sent: {error}") from None

    def _error_fields(self, message: bytes) -> tuple[str, list[str], str, int]:
        return self._checked(self._decode(message))

    def _checked(self, fields: Any) -> tuple[str, list[str], str, int]:
        match fields:
            case (str(), list() as ancestors, str(), int()) if all(type(name) is str for name in ancestors):
                return fields  # type: ignore[return-value]
        raise self._line.stop("protocol", "an exception that is none")

    def _decode(self, message: bytes) -> Any:
        try:
            return Decoder(message, self._take_opaque).decode()
        except WireError as error:
            raise self._line.stop("protocol", f"a value that is none: {error}") from None

    def _take_opaque(self, tag: bytes, number: int, text: str) -> Any:
        if tag == b"u":
            return self._callbacks[number]
        if tag != b"h" or text[:1] not in _KINDS:
            raise WireError("an object of no kind")
        return _KINDS[text[0]](self, number, text[1:] or "object")

    def _send_opaque(self, value: Any) -> bytes:
        if isinstance(value, Remote):
            key = value._key
            if isinstance(key, str):
                return _packed(b"g", 0, f"{SOLUTION}:{key}")
            return _packed(b"h", key, "")
        if isinstance(value, _FUNCTIONS):
            self._callbacks.append(value)
            return _packed(b"u", len(self._callbacks) - 1, getattr(value, "__name__", "function"))
        home, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if isinstance(value, types.MethodDescriptorType):
            home = "builtins"
        if home in _MODULES and getattr(sys.modules.get(home), name.partition(".")[0], None) is not None:
            return _packed(b"g", 0, f"{home}:{name}")
        if callable(value):
            self._callbacks.append(value)
            return _packed(b"u", len(self._callbacks) - 1, getattr(value, "__name__", "function"))
        raise WireError(f"a {type(value).__name__} of the tests")

    def _describe_opaque(self, tag: bytes, number: int, text: str) -> Any:
        if tag == b"g":
            return _Named(text.partition(":")[2])
        return _Named(text if tag == b"u" else "<object of the program>")


class _Named(str):
    """A name that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _packed(tag: bytes, number: int, text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return tag + U32.pack(number) + U32.pack(len(data)) + data
