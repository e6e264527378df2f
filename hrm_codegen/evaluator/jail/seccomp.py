"""The system calls that a solver is not given, as a classic BPF program (`linux.install_filter`).

A list of what is denied, not of what is allowed: programs may use any part of Python, and every wall that counts
(files, network, other processes) stands without this one. What is denied here is what a program has no use for and
what kernels have had their holes in. A denied call fails with EPERM; a call of another architecture kills.
"""

from __future__ import annotations

import struct

from . import linux

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _MASK = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCH, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24
_X32 = 0x40000000
_AUDIT_X86, _AUDIT_ARM = 0xC000003E, 0xC00000B7
_AF_UNIX = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

# name: (x86-64, arm64); None where the architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "get_robust_list": (274, 100),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "personality": (135, 92),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "fanotify_init": (300, 262),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "memfd_secret": (447, 447),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "vhangup": (153, 58),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
}
_CLONE3 = (435, 435)
_CLONE, _SOCKET, _IOCTL, _PRLIMIT = (56, 220), (41, 198), (16, 29), (302, 261)
_SIGACTION, _SIGCHLD = (13, 134), 17
_NEW_NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUSER
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWCGROUP
)
# Without namespaces: no socket but a pair, nobody's process but the own, files' attributes stay, one process group.
_DENIED_OUTSIDE: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "tkill": (200, 130),
}
_SOCKETPAIR, _FCNTL = (53, 199), (72, 25)
_SOCK_STREAM, _SOCK_SEQPACKET, _SOCK_TYPE_MASK = 1, 5, 0xF
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
_KILL_CALL, _TGKILL = (62, 129), (234, 131)
_FORK_CALLS = ((57, None), (58, None))
_CLONE_THREAD = 0x10000


def build_filter(*, own_pid: int | None = None, fork: bool = True) -> bytes:
    """Returns the program.

    Args:
      own_pid: Of a solver that shares a process table and a network with everybody else: it may signal itself only,
        gets no sockets and cannot leave its process group. None: it has namespaces of its own.
      fork: Whether it may have child processes.
    """
    column = 1 if linux.MACHINE in ("aarch64", "arm64") else 0
    rules: list[bytes] = []

    def when(call: tuple[int | None, int | None], *body: bytes) -> None:
        number = call[column]
        if number is not None:  # pragma: no branch
            rules.append(_op(_EQUAL, number, 0, len(body)) + b"".join(body))

    denied = _DENIED | (_DENIED_OUTSIDE if own_pid is not None else {})
    for call in denied.values():
        when(call, _error(_EPERM))
    when(_CLONE3, _error(_ENOSYS))  # its flags are in memory, out of reach; libc falls back to clone
    when(_CLONE, *_deny_bits(_NEW_NAMESPACES), *(() if fork else _deny_unless_bit(_CLONE_THREAD)))
    when(_IOCTL, *_deny_values(_ARGUMENT_1, _TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP))
    when(_PRLIMIT, *_deny_unless(_ARGUMENT_0, 0))
    # Children that are reaped by nobody would cost no CPU time: what becomes of them is not the program's to change.
    when(_SIGACTION, *_deny_change_of(_SIGCHLD))
    if own_pid is None:
        when(_SOCKET, *_deny_unless_any(_ARGUMENT_0, _AF_UNIX, 2, 10))
    else:
        when(_SOCKET, _error(_EPERM))
        # A pair of datagram sockets could be pointed at anybody's socket; and a signal owner may be anybody.
        when(_SOCKETPAIR, *_deny_unless_type(_SOCK_STREAM, _SOCK_SEQPACKET))
        when(_FCNTL, *_deny_values(_ARGUMENT_1, _F_SETOWN, _F_SETSIG, _F_SETOWN_EX))
        when(_KILL_CALL, *_deny_unless_any(_ARGUMENT_0, own_pid, 0))
        when(_TGKILL, *_deny_unless(_ARGUMENT_0, own_pid))
    for call in () if fork else _FORK_CALLS:
        when(call, _error(_EPERM))
    arch = _AUDIT_ARM if column else _AUDIT_X86
    head = _op(_LOAD, _ARCH) + _op(_EQUAL, arch, 1, 0) + _op(_RETURN, _KILL) + _op(_LOAD, _NUMBER)
    x32 = _op(_AT_LEAST, _X32, 0, 1) + _op(_RETURN, _KILL) if not column else b""
    return head + x32 + b"".join(rules) + _op(_RETURN, _ALLOW)


def _op(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, k)


def _error(number: int) -> bytes:
    return _op(_RETURN, _ERRNO | number)


def _deny_bits(bits: int) -> tuple[bytes, ...]:
    """Denies a call whose first argument has one of the bits; goes on behind the block otherwise."""
    return _op(_LOAD, _ARGUMENT_0), _op(_ANY_BIT, bits, 0, 1), _error(_EPERM), _op(_LOAD, _NUMBER)


def _deny_unless_bit(bit: int) -> tuple[bytes, ...]:
    return _op(_LOAD, _ARGUMENT_0), _op(_ANY_BIT, bit, 1, 0), _error(_EPERM), _op(_LOAD, _NUMBER)


def _deny_unless_type(*types: int) -> tuple[bytes, ...]:
    load, *rest = _deny_unless_any(_ARGUMENT_1, *types)
    return load, _op(_MASK, _SOCK_TYPE_MASK), *rest


def _deny_values(argument: int, *values: int) -> tuple[bytes, ...]:
    tests = [_op(_EQUAL, value, len(values) - i - 1, 1 if value == values[-1] else 0) for i, value in enumerate(values)]
    return _op(_LOAD, argument), *tests, _error(_EPERM), _op(_LOAD, _NUMBER)


def _deny_change_of(number: int) -> tuple[bytes, ...]:
    """Denies a call with this first argument and a second one that is not NULL."""
    return (
        _op(_LOAD, _ARGUMENT_0),
        _op(_EQUAL, number, 0, 5),
        _op(_LOAD, _ARGUMENT_1),
        _op(_EQUAL, 0, 0, 2),
        _op(_LOAD, _ARGUMENT_1 + 4),
        _op(_EQUAL, 0, 1, 0),
        _error(_EPERM),
        _op(_LOAD, _NUMBER),
    )


def _deny_unless(argument: int, value: int) -> tuple[bytes, ...]:
    return _deny_unless_any(argument, value)


def _deny_unless_any(argument: int, *values: int) -> tuple[bytes, ...]:
    tests = [_op(_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]
    return _op(_LOAD, argument), *tests, _error(_EPERM), _op(_LOAD, _NUMBER)
