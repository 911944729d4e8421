"""Files that nobody but the operator is to read: Keydeck's own, and those with secrets to be read in."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError
from crypto_core.values.secret import Secret


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


MOST_BYTES = 4_000_000


def read_secret_file(path: str, *, most: int = MOST_BYTES) -> Secret:
    """Return what a file of at most so many bytes holds.

    Raises RefusedError for what is no file, can't be read, is too large, belongs to another user, or may be
    read or written by others: what stood in it may be known to them.
    """
    name = clean(path, 300)
    try:
        # Whoever opens a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no file name"
        raise RefusedError(f"{name} can't be read: {reason}.") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise RefusedError(f"{name} is no file.", remedy="For a pipe, use - for standard input.")
        if found.st_uid not in (os.geteuid(), 0):
            raise RefusedError(f"{name} belongs to another user, who can read and change it.")
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise RefusedError(
                f"{name} may be read or written by others (mode {mode:04o}): they may know its tokens.",
                remedy="chmod 600 it. For root's file, such as a Kubernetes secret, use - for standard "
                "input. If others use this host, have the tokens issued again.",
            )
        content = bytearray()
        while len(content) <= most and (part := os.read(descriptor, 1 << 20)):
            content += part
    except OSError as error:
        raise RefusedError(f"{name} can't be read: {os.strerror(error.errno or 0)}.") from None
    finally:
        os.close(descriptor)
    secret = Secret.adopt(content)
    if len(secret) > most:
        secret.wipe()
        raise RefusedError(f"{name} is larger than {most:,} bytes.")
    return secret
