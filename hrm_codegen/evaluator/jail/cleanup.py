"""Removing a folder that hostile code has written in.

`shutil.rmtree` recurses (a chain of 1,000 folders overflows it) and stops at folders without permissions.
"""

from __future__ import annotations

import os
import uuid


def remove_tree(root: str, *, keep_root: bool = False) -> None:
    """Removes all below `root`, and `root` unless it is to be kept, following no link.

    Folders below the first level are moved up before they are emptied, so that no path gets long however deep the
    tree is, and none is visited recursively.
    """
    os.chmod(root, os.stat(root).st_mode | 0o700)
    while entries := list(os.scandir(root)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _flatten(root, entry.path)
            else:
                os.unlink(entry.path)
    if not keep_root:
        os.rmdir(root)


def _flatten(root: str, folder: str) -> None:
    os.chmod(folder, 0o700)
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, 0o700)  # moving a folder rewrites its "..", which needs write permission
            os.rename(entry.path, os.path.join(root, uuid.uuid4().hex))
        else:
            os.unlink(entry.path)
    os.rmdir(folder)
