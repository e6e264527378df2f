"""Programs that use calls of the kernel which make namespaces, mounts and keys, or have had their holes."""

from __future__ import annotations

from .case import Corpus, sections
from .cases_escape_files import attempt

CASES = Corpus("escape")

_CALLS = sections(
    r"""
=== unsets its filter
return call(317, 0, 0, 0) or 1
=== adds a filter that notifies
return call(317, 1, 8, ctypes.create_string_buffer(64)) or 1
=== mounts
return call(165, b'none', b'/tmp', b'tmpfs', 0, 0) or 1
=== unmounts
return call(166, b'/usr', 2) or 1
=== mounts by the new calls
return call(430, b'tmpfs', 0)
=== clones a mount
return call(428, -100, b'/', 1)
=== unshares a user namespace
return call(272, 0x10000000) or 1
=== unshares mounts
return call(272, 0x20000) or 1
=== unshares the network
return call(272, 0x40000000) or 1
=== unshares time
return call(272, 0x80) or 1
=== clones into a user namespace
pid = call(56, 0x10000000 | 17, 0, 0, 0, 0)
if not pid: os._exit(0)
return pid
=== clones into a mount namespace
pid = call(56, 0x20000 | 17, 0, 0, 0, 0)
if not pid: os._exit(0)
return pid
=== clones by clone3
a = struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0)
pid = call(435, a, 64)
if not pid: os._exit(0)
return pid
=== joins a namespace
return call(308, os.open('/proc/1/ns/net', 0), 0) or 1
=== joins by a process descriptor
return call(308, os.pidfd_open(os.getppid()), 0x40000000) or 1
=== changes its root
return call(161, b'/usr') or 1
=== pivots its root
return call(155, b'.', b'.') or 1
=== adds a key
return call(248, b'user', b'x', b'x', 1, -4)
=== asks for a key
return call(249, b'user', b'x', 0, -4)
=== lists keys
return call(250, 0, -5, 1)
=== loads a BPF program
return call(321, 0, ctypes.create_string_buffer(64), 64)
=== handles page faults
return call(323, 1)
=== handles page faults by a device
return os.open('/dev/userfaultfd', os.O_RDWR)
=== makes shared memory
return call(29, 0x1234, 4096, 0o1600)
=== makes semaphores
return call(64, 0x1234, 1, 0o1600)
=== makes a message queue
return call(68, 0x1234, 0o1600)
=== watches files
return call(294, 0)
=== watches all files
return call(300, 0, 0)
=== changes its personality
return call(135, 0x0040000)
=== loads a module
return call(175, b'x', 1, b'') or 1
=== restarts the machine
return call(169, 0, 0, 0, 0) or 1
=== sets the clock
return call(227, 0, ctypes.create_string_buffer(b'\xff' * 16)) or 1
=== renames the machine
return call(170, b'x', -1) or 1
=== reads the kernel's log
return call(103, 10, 0, 0)
=== turns swap off
return call(168, b'/nowhere') or 1
=== starts accounting
return call(163, b'/nowhere') or 1
=== uses ports
return call(172, 3) or 1
=== changes descriptors of segments
return call(154, 1, ctypes.create_string_buffer(16), 16)
=== hides memory
return call(447, 0)
=== types on the terminal
import fcntl
return fcntl.ioctl(0, 0x5412, b'x')
=== types on the console
import fcntl
return fcntl.ioctl(0, 0x541C, b'\x03')
=== takes a terminal
import pty
a, b = os.openpty()
return a
=== opens by a handle
return call(304, -100, ctypes.create_string_buffer(64), 0)
"""
)
for _name, _body in _CALLS.items():
    attempt(CASES, _name, _body)

_FOREIGN = """
import ctypes, mmap
def f():
    code = bytes([{code}]) + b"\\xc3"
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return function()
"""
_INT80 = "0x53, 0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0x5B"  # push rbx; mov eax, getpid; int 0x80; pop rbx
_X32 = "0xB8, 39, 0, 0, 0x40, 0x0F, 0x05"  # mov eax, 0x40000000 + getpid; syscall
CASES.add("calls the kernel as a 32-bit program", "crash exception", _FOREIGN.format(code=_INT80), "assert f() < 0")
CASES.add("calls the kernel as an x32 program", "crash exception", _FOREIGN.format(code=_X32), "assert f() < 0")
