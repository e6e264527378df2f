"""Messages between the evaluator and a worker, which trust each other: JSON behind its length."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct(">I")


def send(line: socket.socket, message: dict[str, Any]) -> None:
    """Sends a message."""
    data = json.dumps(message).encode()
    line.sendall(_LENGTH.pack(len(data)) + data)


def receive(line: socket.socket) -> dict[str, Any] | None:
    """Returns the next message, None at the end."""
    head = _exactly(line, _LENGTH.size)
    body = _exactly(line, _LENGTH.unpack(head)[0]) if head else None
    return None if body is None else json.loads(body)


def _exactly(line: socket.socket, size: int) -> bytes | None:
    parts, missing = [], size
    while missing:
        part = line.recv(min(missing, 1 << 20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
