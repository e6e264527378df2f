"""The walls of each tier: what the worker does once, the zygote once, and each solver for itself.

Tier A: namespaces and seccomp. Tier B: Landlock and seccomp, where no namespaces are to be had. Tier C: the limits of
POSIX only, which stop accidents and no attacker.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import Protocol

from . import landlock, linux, namespaces, seccomp
from .cleanup import remove_tree


class Walls(Protocol):
    """What a worker asks of its tier.

    Attributes:
      folder: The one folder that a solver may write to.
      packages: The folder in which the packages are that programs may import.
      init: Whether the zygote is process 1 of a process table of its own.
    """

    folder: str
    packages: str
    init: bool

    def enter(self) -> None:
        """Moves the worker; raises OSError where the kernel refuses."""

    def process_limit(self, own: int) -> int:
        """Returns the limit on a user's processes by which solvers can have `own` of them."""

    def give_up_rights(self) -> None:
        """In the zygote: gives up for good what no solver may have."""

    def restrict(self) -> None:
        """In a solver: what cannot be done once for all of them."""

    def renew_folder(self) -> None:
        """Between two solvers: makes the folder empty."""


class Namespaces:
    """Tier A."""

    folder, packages, init = namespaces.BOX, namespaces.PACKAGES, True

    def __init__(self, folder: str, size: int, packages: Sequence[str]) -> None:
        self._size, self._sources = size, packages
        self._clean: os.stat_result | None = None

    def enter(self) -> None:
        """Moves the worker."""
        namespaces.enter(self._size, self._sources)
        self._clean = os.stat(self.folder)

    def process_limit(self, own: int) -> int:
        """In here there is nobody else."""
        return own

    def give_up_rights(self) -> None:
        """Becomes process 1, drops capabilities, and filters system calls for all solvers at once."""
        namespaces.become_init()
        linux.prctl(linux.PR_SET_PDEATHSIG, 9)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        linux.drop_capabilities()
        linux.install_filter(seccomp.build_filter())

    def restrict(self) -> None:
        """Nothing: all is inherited."""

    def renew_folder(self) -> None:
        """Mounts an empty folder over a used one."""
        now = os.stat(self.folder)
        if self._clean is None or now.st_ctime_ns != self._clean.st_ctime_ns or os.listdir(self.folder):
            namespaces.renew_box(self._size)
            self._clean = os.stat(self.folder)


class Posix:
    """Tier C."""

    init = False

    def __init__(self, folder: str, size: int, packages: Sequence[str]) -> None:
        self._sources = packages
        self.packages = f"{folder}/packages"
        # One level down: the owner of a folder may rename it, and put a link to another in its place.
        self.folder = f"{folder}/box"
        uid = namespaces.unprivileged_uid()
        self._uid = uid if os.geteuid() == 0 and _works_as(uid) else None

    def enter(self) -> None:
        """Makes the folder, and gives it to the user whom solvers will be."""
        os.mkdir(self.packages)
        for source in self._sources:
            os.symlink(source, f"{self.packages}/{os.path.basename(source)}")
        os.mkdir(self.folder, 0o700)
        os.chmod(os.path.dirname(self.folder), 0o711)
        if self._uid is not None:
            os.chown(self.folder, self._uid, self._uid)

    def process_limit(self, own: int) -> int:
        """Counts the user's other processes in, as the kernel does; a user that nobody else is has none."""
        return own if self._uid is not None else own + _tasks_of(os.geteuid())

    def give_up_rights(self) -> None:
        """Gives root's rights up, where the interpreter can still be read without them."""
        if sys.platform == "linux":
            linux.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        if self._uid is not None:
            namespaces.drop_uid(self._uid)

    def restrict(self) -> None:
        """Nothing more."""

    def renew_folder(self) -> None:
        """Removes what the last solver left."""
        remove_tree(self.folder, keep_root=True)


class Landlock(Posix):
    """Tier B."""

    def enter(self) -> None:
        """Makes sure that the kernel has Landlock."""
        if not linux.supported() or not linux.landlock_version():
            raise OSError(errno.ENOSYS, "this kernel has no Landlock")
        super().enter()

    def restrict(self) -> None:
        """Shuts the solver in: files, network, signals, system calls."""
        landlock.restrict(self.folder, [self.packages, *self._sources])
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        linux.drop_capabilities()
        linux.install_filter(seccomp.build_filter(own_pid=os.getpid(), fork=os.geteuid() != 0))


def _tasks_of(uid: int) -> int:
    """Returns how many processes and threads a user has; 0 where there is no /proc."""
    count = 0
    with contextlib.suppress(OSError):
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _works_as(uid: int) -> bool:
    """Whether a process can become this user and still find the interpreter's library; tried in a child."""
    child = os.fork()
    if not child:
        try:
            namespaces.drop_uid(uid)
            with open(os.__file__):
                os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


TIERS: dict[str, type[Namespaces] | type[Posix]] = {"A": Namespaces, "B": Landlock, "C": Posix}
_PR_SET_CHILD_SUBREAPER = 36
