"""Removing a folder that hostile code has written in.

`shutil.rmtree` recurses (a chain of 1,000 folders overflows it), stops at folders without permissions, and trusts that
no folder on the way becomes a link. Here every step is taken from an open folder, and no link is followed.
"""

from __future__ import annotations

import os

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(root: str, *, keep_root: bool = False) -> None:
    """Removes all below `root`, and `root` unless it is to be kept.

    Folders below the first level are moved up before they are emptied, so that no path gets long however deep the
    tree is, and none is visited recursively.
    """
    top = os.open(root, _FOLDER)
    try:
        os.fchmod(top, 0o700)
        while names := os.listdir(top):
            for name in names:
                if _is_folder(name, top):
                    _flatten(name, top)
                else:
                    os.unlink(name, dir_fd=top)
    finally:
        os.close(top)
    if not keep_root:
        os.rmdir(root)


def _flatten(name: str, top: int) -> None:
    """Moves the folders in a folder to the top, removes the rest, and the folder."""
    folder = _open(name, top)
    try:
        for each in os.listdir(folder):
            if _is_folder(each, folder):
                os.close(_open(each, folder))  # moving a folder rewrites its "..", which needs write permission
                os.rename(each, os.urandom(16).hex(), src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(each, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _open(name: str, parent: int) -> int:
    """Opens a folder, after giving back the permissions that its owner has taken away."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        handle = os.open(name, getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)
        folder = os.open(name, _FOLDER, dir_fd=parent)
    os.fchmod(folder, 0o700)
    return folder


def _is_folder(name: str, parent: int) -> bool:
    return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode & 0o170000 == 0o040000
