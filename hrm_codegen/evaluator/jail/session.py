"""The judge's conversation with one solver: questions, answers, and calls back into the tests."""

from __future__ import annotations

import sys
import threading
import types
from typing import Any

from .decoder import Decoder
from .encoder import OWN_MODULE, U32, Encoder, TooDeep, WireError
from .exceptions import Fields, as_fields, local_exception
from .foreign import Foreign, as_function
from .line import Line, Stopped
from .remote import SHADOWS, Remote, RemoteIterator, is_remote, make_remote
from .reply import is_changed, pack, unpack

_MODULES = ("builtins", "math", "cmath", "operator", "itertools", "functools")
_DEPTH_LIMIT = 100
_COMPARISONS = ("eq", "lt", "le", "gt", "ge")


class Session:
    """Talks to a solver.

    Attributes:
      names: Global names of the program that the tests use, and what they are; once it is loaded.
      exception_types: Local types of the program's own exceptions, by name.
      last_call: Bytes of the last call that a test made.
    """

    def __init__(self, line: Line) -> None:
        """Takes the line to a solver that has just started."""
        self._line = line
        self._number = 0
        self._depth = 0
        self._one_at_a_time = threading.RLock()  # a test may start threads
        self._callbacks: list[Any] = []
        self._callback_numbers: dict[int, int] = {}
        self._remotes: dict[int, Remote] = {}
        self._shadows: dict[int, Any] = {}
        self.names: dict[str, str] = {}
        self.exception_types: dict[str, type] = {}
        self.last_call: bytes | None = None

    @property
    def stopped(self) -> Stopped | None:
        """Why the program cannot be asked any more; None while it can."""
        return self._line.stopped

    def load(self, code: str, wanted: tuple[str, ...]) -> Fields | None:
        """Has the program loaded. Returns the fields of the exception that this raised, None if it went well.

        Args:
          code: The program.
          wanted: Names that the tests use; the program's answer says which of them it has.
        """
        answer = self._line.exchange(0, Encoder(self._send_opaque).encode((code, wanted)))
        if answer[:1] == b"X":
            return self._error_fields(answer[1:])
        names = self._decode(answer[1:]) if answer[:1] == b"L" else None
        pairs: list[Any] = names if type(names) is list and len(names) <= len(wanted) else [None]
        if not all(type(pair) is tuple and len(pair) == 2 and {type(part) for part in pair} == {str} for pair in pairs):
            raise self._line.stop("protocol", "no list of names")
        self.names = dict(pairs)
        return None

    def request(self, operation: str, /, *arguments: Any, **named: Any) -> Any:
        """Asks the program for something.

        Raises:
          Stopped: If there is no answer, or no believable one.
          Exception: What the program raised, as `exceptions.local_exception` says.
        """
        with self._one_at_a_time:
            return self._request(operation, arguments, named)

    def _request(self, operation: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        encoder = Encoder(self._send_opaque)
        try:
            message = encoder.encode((operation, arguments, named))
        except TooDeep as error:  # tests are flat: the depth is that of something the program has sent
            raise self._line.stop("protocol", str(error)) from None
        except WireError as error:
            raise self._line.stop("harness_error", f"a test passes what cannot be sent: {error}") from None
        if operation == "call":
            self.last_call = message
        self._number = number = self._number + 1
        answer = self._line.exchange(number, message)
        while answer[:1] == b"K":
            answer = self._line.exchange(number, self._call_back(answer[1:]))
        if answer[:1] == b"X":
            raise local_exception(self._error_fields(answer[1:]), self.exception_types)
        if answer[:1] != b"R":
            raise self._line.stop("protocol", "neither an answer nor an exception")
        try:
            value = unpack(answer[1:], self._take_opaque, encoder.objects)
        except WireError as error:
            raise self._line.stop("protocol", f"a value that is none: {error}") from None
        if operation not in _COMPARISONS and any(is_remote(a) and a._tainted for a in arguments):
            _taint(value)
        return value

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
        _, (target, *arguments), named = Decoder(self.last_call, _describe_opaque).decode()
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
            return self._raise_there("RecursionError", ["RecursionError"], "calls too deep")
        request, objects = message[U32.size :], list(decoder.objects)
        self._depth += 1
        try:
            value = function(*arguments, **named)
            changed = len(objects) > 1 and is_changed(request, (arguments, named), decoder.opaque_bytes)
            return pack(value, self._send_opaque, objects, changed=changed)
        except TooDeep as error:
            raise self._line.stop("protocol", str(error)) from None
        except WireError as error:
            raise self._line.stop("harness_error", f"a test returns what cannot be sent: {error}") from None
        except Exception as error:
            ancestors = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
            return self._raise_there(type(error).__name__, ancestors, _text(error))
        finally:
            self._depth -= 1

    def _raise_there(self, name: str, ancestors: list[str], text: str) -> bytes:
        return b"X" + Encoder(self._send_opaque).encode((name, ancestors, text, 0))

    def _error_fields(self, message: bytes) -> Fields:
        return self._checked(self._decode(message))

    def _checked(self, value: Any) -> Fields:
        fields = as_fields(value)
        if fields is None:
            raise self._line.stop("protocol", "an exception that is none")
        return fields

    def _decode(self, message: bytes) -> Any:
        try:
            return Decoder(message, self._take_opaque).decode()
        except WireError as error:
            raise self._line.stop("protocol", f"a value that is none: {error}") from None

    def _take_opaque(self, tag: bytes, number: int, text: str, plain: Any = None) -> Any:
        if tag == b"u":
            function = self._callbacks[number]
            return function.value if type(function) is Foreign else function
        if tag not in (b"h", b"p"):
            raise WireError("an object of no kind")
        if tag == b"h" and text == "a:coroutine":
            return _run(make_remote(self, number, "o:coroutine"))
        if number not in self._remotes:
            self._remotes[number] = make_remote(self, number, text or "o:object")
        remote = self._remotes[number]
        if tag == b"h":
            return remote
        if number not in self._shadows:
            self._shadows[number] = SHADOWS[type(plain)](plain)
            self._shadows[number]._remote = remote
        return self._shadows[number]

    def _send_opaque(self, value: Any) -> bytes:
        if type(value) in _SHADOW_TYPES:
            value = value._remote
        if is_remote(value):
            key = value._key
            return _packed(b"g", 0, f"{OWN_MODULE}:{key}") if isinstance(key, str) else _packed(b"h", key, "")
        if isinstance(value, types.ModuleType):
            return _packed(b"g", 0, f"module:{value.__name__}")
        if isinstance(value, BaseException) and type(value).__module__ == "builtins":
            text = next((part for part in value.args if type(part) is str), "")
            return _packed(b"g", 0, f"error:{type(value).__name__}:{text}")
        home, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        home = "builtins" if isinstance(value, types.MethodDescriptorType) else home
        if home in _MODULES and hasattr(sys.modules.get(home), name.partition(".")[0]):
            return _packed(b"g", 0, f"{home}:{name}")
        kind, function = as_function(value)
        number = self._callback_numbers.get(id(value))
        if number is None:
            self._callback_numbers[id(value)] = number = len(self._callbacks)
            self._callbacks.append(function)
        return _packed(b"u", number, f"{kind}:{getattr(value, '__name__', type(value).__name__)}")


async def _run(coroutine: Remote) -> Any:
    """Stands in for a coroutine of the program: it runs over there, as a whole, when it is awaited here."""
    return coroutine._session.request("run", coroutine)


def _taint(value: Any) -> None:
    if not is_remote(value):
        raise TypeError("plain data of an object that was made of a test's own data")
    object.__setattr__(value, "_tainted", True)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception:
        return ""


def _describe_opaque(tag: bytes, number: int, text: str) -> Any:
    return _Named(text.partition(":")[2]) if tag in (b"g", b"u") else _Named("<object of the program>")


class _Named(str):
    """A name that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str.__str__(self)


def _packed(tag: bytes, number: int, text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return tag + U32.pack(number) + U32.pack(len(data)) + data


_SHADOW_TYPES = frozenset(SHADOWS.values())
