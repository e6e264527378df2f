"""What a hostile program may look for outside, all of it planted: secret files, a secret variable, listeners.

Standard library only. Programs are given the places by `@NAME@`; `check` tells afterwards what was touched.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .run import IDLE_SECONDS

_BESIDE = Path(__file__).resolve().parent


class Surroundings:
    """Planted secrets and listeners.

    Attributes:
      values: What stands for `@NAME@` in programs.
    """

    def __init__(self, folder: Path) -> None:
        """Plants everything; `folder` is readable for everybody, and so is what is in it."""
        self.folder = folder
        self.secret = f"CANARY-{secrets.token_hex(12)}"
        self.marker = f"3{secrets.randbelow(10**6):06d}"
        self.files = {name: folder / name for name in ("home", "project", "plain")}
        for path in self.files.values():
            path.write_text(self.secret)
            path.chmod(0o666)
        self.private = folder / "private"
        self.private.write_text(self.secret)
        self.private.chmod(0o600)
        self.writable = folder / "writable"
        self.writable.mkdir()
        self.writable.chmod(0o777)
        (self.writable / "kept").write_text("kept")
        self._streams = [socket.create_server(("127.0.0.1", 0)), _path_socket(folder / "stream", socket.SOCK_STREAM)]
        self._datagrams = [_udp("127.0.0.1", socket.AF_INET), _path_socket(folder / "datagram", socket.SOCK_DGRAM)]
        ports6 = [0, 0]
        with contextlib.suppress(OSError):
            self._streams.append(socket.create_server(("::1", 0), family=socket.AF_INET6))
            self._datagrams.append(_udp("::1", socket.AF_INET6))
            ports6 = [self._streams[-1].getsockname()[1], self._datagrams[-1].getsockname()[1]]
        self.abstract = f"hrm-test-{secrets.token_hex(6)}"
        for kind, found in ((socket.SOCK_STREAM, self._streams), (socket.SOCK_DGRAM, self._datagrams)):
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(f"\0{self.abstract}-{int(kind)}")
            found.append(listener)
        for listener in self._streams:
            listener.listen()
        for listener in (*self._streams, *self._datagrams):
            listener.setblocking(False)
        self.values = {
            "FOLDER": str(folder),
            "PRIVATE": str(self.private),
            "WRITABLE": str(self.writable),
            "PLAIN": str(self.files["plain"]),
            "HOME": str(self.files["home"]),
            "PROJECT": str(self.files["project"]),
            "SOURCE": str(_BESIDE),
            "TCP": str(self._streams[0].getsockname()[1]),
            "UDP": str(self._datagrams[0].getsockname()[1]),
            "TCP6": str(ports6[0]),
            "UDP6": str(ports6[1]),
            "ABSTRACT": self.abstract,
            "MARKER": self.marker,
            "PID": str(os.getpid()),
            "SECRET_TAIL": self.secret[7:],
        }
        self._before = self._contents()

    def check(self) -> list[str]:
        """Returns what was touched; an empty list if nothing was."""
        found = [f"{name} was changed" for name, text in self._before.items() if self._contents().get(name) != text]
        found += [f"{name} is new" for name in self._contents() if name not in self._before]
        for listener in self._streams:
            with contextlib.suppress(BlockingIOError):
                listener.accept()
                found.append(f"a connection to {listener.getsockname()}")
        for listener in self._datagrams:
            with contextlib.suppress(BlockingIOError):
                found.append(f"{listener.recv(100)!r} to {listener.getsockname()}")
        return found

    def close(self) -> None:
        """Takes everything away."""
        for listener in (*self._streams, *self._datagrams):
            listener.close()
        shutil.rmtree(self.folder)

    def _contents(self) -> dict[str, tuple[int, str]]:
        found = {}
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            text = path.read_text() if path.is_file() and not path.is_symlink() else ""
            found[str(path.relative_to(self.folder))] = (status.st_mode, text)
        return found


@contextlib.contextmanager
def planted() -> Iterator[Surroundings]:
    """Plants surroundings, and the secret in this process's environment."""
    folder = Path(tempfile.mkdtemp(prefix="hrm_test_outside_"))
    folder.chmod(0o755)
    surroundings = Surroundings(folder)
    os.environ["HRM_TEST_SECRET"] = surroundings.secret
    try:
        yield surroundings
    finally:
        del os.environ["HRM_TEST_SECRET"]
        surroundings.close()


def processes_left(marker: str = str(IDLE_SECONDS)) -> list[str]:
    """Returns the command lines of all processes with the marker: by default, of these tests' sandboxes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if marker in words and int(entry.name) != os.getpid():
                found.append(f"{entry.name}: {words}")
    return found


def settled(marker: str = str(IDLE_SECONDS)) -> list[str]:
    """Returns what `processes_left` says when those that were killed a moment ago have gone."""
    for _ in range(50):
        if not processes_left(marker):
            return []
        time.sleep(0.1)
    return processes_left(marker)


def _udp(host: str, family: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    listener.bind((host, 0))
    return listener


def _path_socket(path: Path, kind: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(str(path))
    path.chmod(0o777)
    return listener
