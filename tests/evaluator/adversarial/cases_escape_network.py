"""Programs that try to reach somebody: loopback, the network, local sockets of all kinds."""

from __future__ import annotations

from .case import Corpus, sections
from .cases_escape_files import attempt

CASES = Corpus("escape")

_CONNECTS = sections(
    r"""
=== loopback
return socket.create_connection(('127.0.0.1', @TCP@), 1)
=== loopback by another address
return socket.create_connection(('127.9.9.9', @TCP@), 1)
=== any address
return socket.create_connection(('0.0.0.0', @TCP@), 1)
=== loopback 6
return socket.create_connection(('::1', @TCP6@), 1)
=== mapped loopback
return socket.create_connection(('::ffff:127.0.0.1', @TCP@), 1)
=== loopback by a datagram
return socket.socket(2, 2).sendto(b'x', ('127.0.0.1', @UDP@))
=== loopback 6 by a datagram
return socket.socket(10, 2).sendto(b'x', ('::1', @UDP6@))
=== by fast open
return socket.socket(2, 1).sendto(b'x', 0x20000000, ('127.0.0.1', @TCP@))
=== a documentation address
return socket.create_connection(('192.0.2.1', 80), 0.2)
=== a link-local address
return socket.socket(2, 2).sendto(b'x', ('169.254.1.1', 80))
=== everybody
s = socket.socket(2, 2)
s.setsockopt(1, 6, 1)
return s.sendto(b'x', ('255.255.255.255', @UDP@))
=== a name server
return socket.getaddrinfo('example.invalid', 80)
=== an abstract stream
s = socket.socket(socket.AF_UNIX)
s.connect('\0@ABSTRACT@-1')
return s
=== an abstract datagram
return socket.socket(1, 2).sendto(b'x', '\0@ABSTRACT@-2')
=== an abstract datagram by a pair
return socket.socketpair(1, 2)[0].sendto(b'x', '\0@ABSTRACT@-2')
=== a path stream
s = socket.socket(socket.AF_UNIX)
s.connect('@FOLDER@/stream')
return s
=== a path datagram
return socket.socket(1, 2).sendto(b'x', '@FOLDER@/datagram')
=== a path datagram by a pair
return socket.socketpair(1, 2)[0].sendto(b'x', '@FOLDER@/datagram')
=== a path datagram by a raw pair
return socket.socketpair(1, 3)[0].sendto(b'x', '@FOLDER@/datagram')
=== a path datagram by connecting a pair
s = socket.socketpair(1, 2)[0]
s.connect('@FOLDER@/datagram')
return s.send(b'x')
=== a path stream by connecting a pair
s = socket.socketpair(1, 1)[0]
s.connect('@FOLDER@/stream')
return s.send(b'x')
=== a path socket by a link
os.symlink('@FOLDER@/stream', 's')
s = socket.socket(1)
s.connect('s')
return s
=== the system's log
s = socket.socketpair(1, 2)[0]
s.connect('/dev/log')
return s
=== a virtual machine's host
return socket.socket(40, 1).connect((2, 1234))
=== the kernel by netlink
return socket.socket(16, 3, 0)
=== a packet socket
return socket.socket(17, 3, 0x300)
=== a raw socket
return socket.socket(2, 3, 1)
=== a raw socket 6
return socket.socket(10, 3, 58)
=== the kernel's ciphers
return socket.socket(38, 5, 0)
=== Bluetooth
return socket.socket(31, 3, 1)
=== a CAN bus
return socket.socket(29, 3, 1)
=== a tipc socket
return socket.socket(30, 1)
=== an rds socket
return socket.socket(21, 5)
=== a key socket
return socket.socket(15, 3, 2)
=== a ping socket
return socket.socket(2, 2, 1).sendto(b'\x08\0\0\0\0\0\0\0', ('127.0.0.1', 1))
=== http
import urllib.request
return urllib.request.urlopen('http://127.0.0.1:@TCP@/', timeout=1)
=== a shell's network
import subprocess
return subprocess.check_output(['bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/@TCP@'], stderr=-3)
=== io_uring
return call(425, 8, ctypes.create_string_buffer(200))
=== an interface that it brings up
import fcntl
s = socket.socket(2, 2)
return fcntl.ioctl(s, 0x8914, struct.pack('16sh22x', b'lo', 0x49))
=== a tunnel
return open('/dev/net/tun', 'r+b', buffering=0)
"""
)
for _name, _body in _CONNECTS.items():
    attempt(CASES, f"reaches {_name}", _body)
CASES.add(
    "a listener of its own reaches nobody outside", "passed exception",
    """
    import socket
    def f():
        near, far = socket.socketpair()
        near.sendall(b"x")
        return far.recv(1)
    """,
    "assert f() == b'x'",
)  # fmt: skip
