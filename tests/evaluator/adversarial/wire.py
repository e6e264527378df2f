"""Source text that lets a hostile program talk to the judge by itself, in frames and values of its own making."""

from __future__ import annotations

# forge(payload): sends the payload as the answer to the call that is running, and to all that follow.
WIRE = """
import os, socket, struct, sys, time
S = socket.socket(fileno=os.dup(3))
def u32(n): return struct.pack(">I", n)
def text(t):
    data = t.encode("utf-8", "surrogatepass")
    return u32(len(data)) + data
def s(t): return b"s" + text(t)
def i(n): return b"i" + struct.pack(">q", n)
def big(n):
    data = n.to_bytes(n.bit_length() // 8 + 1, "big", signed=True)
    return b"I" + u32(len(data)) + data
def l(*items): return b"l" + u32(len(items)) + b"".join(items)
def t(*items): return b"t" + u32(len(items)) + b"".join(items)
def h(n, kind): return b"h" + u32(n) + text(kind)
def x(name="E", bases=("ValueError",), message="m", line=None):
    line = i(0) if line is None else line
    return b"X" + t(s(name), l(*map(s, bases)), s(message), line, b"N", b"N")
def r(value): return b"R" + u32(0) + value
def number():
    frame = sys._getframe()
    while frame:
        found = getattr(frame.f_locals.get("self"), "_number", None)
        if found is not None:
            return found
        frame = frame.f_back
    return 1
def send(n, message): S.sendall(struct.pack(">II", len(message), n) + message)
def get():
    head = b""
    while len(head) < 8:
        part = S.recv(8 - len(head))
        if not part: os._exit(0)
        head += part
    size, n = struct.unpack(">II", head)
    body = b""
    while len(body) < size: body += S.recv(size - len(body))
    return n, body
def forge(payload):
    n = number()
    for _ in range(1000):
        send(n, payload)
        n, _body = get()
"""
