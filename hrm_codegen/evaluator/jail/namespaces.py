"""Tier A: a root folder, a process table, a network and users of our own, without root and as root alike.

`enter` moves the calling process; `become_init` makes it process 1 of a new process table. As root the uid is given up
first: limits on processes do not hold for uid 0, and files that only root may read would be readable. Needs Linux
5.12 (mount_setattr) and a kernel that grants user namespaces; says OSError otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence

from . import linux

BOX, PACKAGES = "/box", "/packages"
UID = 1000
_FIRST_UID, _UIDS, _NOBODY = 165536, 60000, 65534
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/libx32", "/bin", "/sbin")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_MOUNT_POINTS = ("/mnt", "/media", "/srv", "/tmp", "/var/tmp")
_EVERYTHING = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS


def enter(box_bytes: int, packages: Sequence[str]) -> None:
    """Moves the process behind the walls.

    Args:
      box_bytes: Size of the one folder that can be written to.
      packages: Folders of packages that programs may import, to be found in `PACKAGES`.

    Raises:
      OSError: Where the kernel refuses a step; the process is then of no more use.
    """
    if not linux.supported():
        raise OSError(errno.ENOSYS, "namespaces are set up on Linux for x86-64 and arm64 only")
    proc = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.geteuid() == 0:
            linux.unshare(linux.CLONE_NEWNS)
            _build_root(packages)
            _drop_to_any_uid()
            _unshare_everything(proc)
        else:
            _unshare_everything(proc)
            _build_root(packages)
    finally:
        os.close(proc)
    mount_box(box_bytes)


def become_init() -> None:
    """Goes on as process 1 of a new process table; the calling process waits for its end and ends."""
    linux.unshare(linux.CLONE_NEWPID)
    child = os.fork()
    if child:
        linux.close_from(0)
        os.waitpid(child, 0)
        os._exit(0)


def mount_box(size: int) -> None:
    """Puts a fresh, empty folder in the place of the writable one."""
    options = f"size={size},nr_inodes=4096,mode=700,uid={UID},gid={UID}"
    linux.mount("tmpfs", BOX, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC, options)


def renew_box(size: int) -> None:
    """Replaces the writable folder by a fresh one."""
    linux.unmount(BOX)
    mount_box(size)


def unprivileged_uid() -> int:
    """Returns a uid that nobody has."""
    return _FIRST_UID + int.from_bytes(os.urandom(4), "big") % _UIDS


def drop_uid(uid: int) -> None:
    """Gives root's uid up for another, for good; raises OSError where this container has no such user."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # a change of uid takes our own files in /proc away from us


def _unshare_everything(proc: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(_EVERYTHING)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{UID} {uid} 1"), ("gid_map", f"{UID} {gid} 1")):
        descriptor = os.open(name, os.O_WRONLY, dir_fd=proc)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _drop_to_any_uid() -> None:
    try:
        drop_uid(unprivileged_uid())
    except OSError:
        with contextlib.suppress(OSError):  # a container with one user only: its root is nobody outside
            drop_uid(_NOBODY)


def _build_root(packages: Sequence[str]) -> None:
    sources = _sources()
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    root = _mount_point([*sources, *packages])
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=755")
    for source in sources:
        _bind(source, root, source)
    for package in packages:
        _bind(package, root, f"{PACKAGES}/{os.path.basename(package)}")
    for name in _DEVICES:
        _bind_device(f"/dev/{name}", root)
    for folder in ("/etc", "/dev", BOX):
        os.makedirs(root + folder, exist_ok=True)
    if not os.path.exists(f"{root}/tmp"):  # it does where the interpreter lives in there
        os.symlink(BOX[1:], f"{root}/tmp")
    os.symlink(f"..{BOX}", f"{root}/dev/shm")
    with open(f"{root}/etc/passwd", "w") as file:
        file.write(f"user:x:{UID}:{UID}::{BOX}:/bin/sh\n")
    linux.enter_root(root)
    linux.mount(
        "none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
    )


def _sources() -> list[str]:
    """Returns what a Python program needs to see: the system's libraries and the interpreter's own folders."""
    folders = [*_SYSTEM]
    for prefix in {sys.base_prefix, sys.base_exec_prefix}:
        folders += [f"{os.path.realpath(prefix)}/{name}" for name in ("bin", "lib", "lib64")]
    seen = [folder for folder in folders if os.path.isdir(folder)]
    return [f for f in seen if not any(f != other and f.startswith(f"{other}/") for other in seen)]


def _mount_point(sources: list[str]) -> str:
    """Returns a folder to build in; a source below it would be hidden by the mount."""
    for folder in _MOUNT_POINTS:
        if os.path.isdir(folder) and not any(source.startswith(f"{folder}/") for source in sources):
            return folder
    raise OSError(errno.ENOENT, f"none of {', '.join(_MOUNT_POINTS)} is a folder to build a root in")


def _bind(source: str, root: str, target: str) -> None:
    if os.path.islink(source):  # /bin -> usr/bin
        os.symlink(os.readlink(source), root + target)
        return
    os.makedirs(root + target)
    linux.mount(source, root + target, None, linux.MS_BIND | linux.MS_REC)
    linux.make_read_only(root + target)


def _bind_device(device: str, root: str) -> None:
    os.makedirs(f"{root}/dev", exist_ok=True)
    with open(root + device, "w"):
        pass
    linux.mount(device, root + device, None, linux.MS_BIND)
