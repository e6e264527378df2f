"""Answers to calls: the value, and what the call did to the mutable arguments that it was given.

Both directions have the same form: the judge calls the program, and the program may call a function of the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .decoder import Decoder
from .encoder import U32, Encoder, WireError


def is_changed(request: bytes, head: tuple[Any, ...], opaque_bytes: dict[int, bytes]) -> bool:
    """Whether what came with a request is other than it was then.

    Sets in another order count as changed: the contents are then sent for nothing.

    Args:
      request: Bytes of the request.
      head: What they were read as.
      opaque_bytes: Of the decoder that has read them.
    """
    try:
        return Encoder(lambda value: opaque_bytes.get(id(value), b"?")).encode(head) != request
    except Exception:
        return True


def pack(value: Any, opaque: Callable[[Any], bytes], objects: list[Any], *, changed: bool) -> bytes:
    """Returns an answer.

    Args:
      value: What the call returned; sent as a handle where it is not plain.
      opaque: Makes handles.
      objects: Mutable objects of the request, by number.
      changed: Whether their contents are to be sent, too.
    """
    given = len(objects)
    encoder = Encoder(opaque, objects)
    try:
        body = encoder.encode(value)
    except Exception as error:  # too deep, or changing under our hands
        encoder = Encoder(opaque, objects)
        try:
            body = b"h" + opaque(value)[1:]
        except WireError:
            raise error from None
    if not changed:
        return b"R" + U32.pack(0) + body
    changes = [U32.pack(number) + encoder.contents(objects[number]) for number in range(given)]
    # The value comes first on the wire: the numbers of what is new in it are needed to read the changes.
    return b"R" + U32.pack(given) + body + b"".join(changes)


def unpack(message: bytes, opaque: Callable[[bytes, int, str], Any], objects: list[Any]) -> Any:
    """Reads an answer without its first byte, and gives the changed arguments their new contents.

    Raises:
      WireError: For bytes that are no answer.
    """
    decoder = Decoder(message, opaque, objects)
    given = len(objects)
    count = decoder.count(given)
    value = decoder.decode()
    for _ in range(count):
        decoder.decode_contents()
    if not decoder.ended:
        raise WireError("more bytes than an answer has")
    return value
