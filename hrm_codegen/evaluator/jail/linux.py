"""The few Linux calls that Python has no name for, through ctypes; each raises OSError with the call's name.

Numbers are those of x86-64 and arm64, which differ only where a table says so.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEWCGROUP = 0x2000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38

MACHINE = os.uname().machine
_ARM = MACHINE in ("aarch64", "arm64")
_PIVOT_ROOT, _SECCOMP = (41, 277) if _ARM else (155, 317)
_CLOSE_RANGE, _MOUNT_SETATTR = 436, 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def supported() -> bool:
    """Whether the numbers in here are this machine's."""
    return sys.platform == "linux" and MACHINE in ("x86_64", "aarch64", "arm64")


def unshare(flags: int) -> None:
    """Puts the process into new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mounts, binds or remounts."""
    encoded = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _check(_libc.mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]), f"mount {target}")


def unmount(target: str) -> None:
    """Takes a mount away, at once for everybody who looks again."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def make_read_only(target: str, *, devices: bool = False) -> None:
    """Makes a mount and all below it read-only, without set-user-id programs, and without devices unless asked for."""
    flags = _ATTR_RDONLY | _ATTR_NOSUID | (0 if devices else _ATTR_NODEV)
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    _syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), _AT_RECURSIVE, ctypes.byref(attributes), 32)


def enter_root(folder: str) -> None:
    """Makes `folder`, a mount, the root, and lets go of the old one."""
    os.chdir(folder)
    _syscall(_PIVOT_ROOT, b".", b".")
    unmount(".")
    os.chdir("/")


def prctl(option: int, argument: int = 0) -> None:
    """Sets an attribute of the process."""
    _check(_libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0), f"prctl {option}")


def drop_capabilities() -> None:
    """Gives up every capability, for the process and for whatever it will execute."""
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break  # EINVAL after the last one of this kernel; EPERM where there are none to drop
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "capset")


def close_from(first: int) -> None:
    """Closes all descriptors from `first` on."""
    _syscall(_CLOSE_RANGE, first, 0xFFFFFFFF, 0)


def install_filter(program: bytes) -> None:
    """Installs a seccomp filter (see `seccomp.py`), for good and for all children."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _syscall(_SECCOMP, 1, 0, ctypes.byref(Program(len(program) // 8, program)))


def landlock_version() -> int:
    """Returns the version of Landlock that the kernel has, 0 for none."""
    version = int(_libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    return max(0, version)


def landlock_create(file_access: int, net_access: int, scopes: int) -> int:
    """Makes a ruleset that handles these; rights that an older kernel does not know have to be 0."""
    attributes = (ctypes.c_uint64 * 3)(file_access, net_access, scopes)
    size = 24 if scopes else 16 if net_access else 8
    return _syscall(_LANDLOCK_CREATE, ctypes.byref(attributes), ctypes.c_size_t(size), 0)


def landlock_allow(ruleset: int, path: str, access: int) -> None:
    """Allows `access` to a file, or to a folder and all below it."""

    class Rule(ctypes.Structure):
        _pack_ = 1
        _layout_ = "ms"
        _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))

    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _syscall(_LANDLOCK_ADD, ruleset, 1, ctypes.byref(Rule(access, descriptor)), 0)
    finally:
        os.close(descriptor)


def landlock_enter(ruleset: int) -> None:
    """Restricts the process, for good and for all children."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _syscall(_LANDLOCK_RESTRICT, ruleset, 0)


def _syscall(number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *wide), f"system call {number}")


def _check(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} ({name})")
    return int(result)


_libc.syscall.restype = ctypes.c_long
