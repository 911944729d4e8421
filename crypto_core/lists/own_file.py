"""Files that hold what nobody but the operator is to read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def make_own(path: Path) -> bool:
    """Let a file be the operator's alone (mode 600), made with its folder where it isn't there yet.

    Returns False for a link, another's file, or what is no plain file: that is not to be used. A file that is
    there is not opened: closing it would end SQLite's locks of this process. Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    if not is_own(path):
        return False
    if stat.S_IMODE(path.lstat().st_mode) & 0o077:
        path.chmod(0o600)
    return True


def is_own(path: Path) -> bool:
    """Whether a file is a plain one of the operator's, and no link. Raises OSError."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
