"""Folders of sandboxes, and what a killed sandbox left behind.

A sandbox keeps everything in one temporary folder and holds a lock (flock) on the file `owner` in it for as
long as it lives; the system drops the lock when its process dies, however it dies. So a folder whose lock is
free is a leftover. Whoever creates a folder and whoever removes one follow the same protocol: open or create
`owner`, lock it without waiting, and look whether the locked file is still the one in the folder. Who loses
lets go, so a folder is never removed while somebody settles in it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from console.sandbox.postgres_files import ServiceUser, service_user
from console.sandbox.processes import family, send, still_running
from crypto_core.values.errors import KeydeckError

PREFIX = "keydeck-sandbox-"
OWNER = "owner"

_PROGRAMS = frozenset({"postgres", "initdb"})
_STOP_LIMIT = 5.0
_log = logging.getLogger(__name__)


class FolderError(KeydeckError, remedy="Set TMPDIR to a folder that you can write to."):
    """No temporary folder can be used for a sandbox."""


@dataclass(frozen=True, slots=True)
class SandboxFolder:
    """A folder that is ours while `lock`, a file descriptor, is open."""

    path: Path
    lock: int

    def remove(self) -> None:
        """Stop what runs from the folder, remove it with all its content, then let go of the lock."""
        try:
            _stop_programs(self.path)
            for entry in self.path.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry.name != OWNER:
                    entry.unlink()
            # The owner file goes last: without it nobody would know a half removed folder for a sandbox's.
            (self.path / OWNER).unlink()
            _remove_empty(self.path)
        finally:
            os.close(self.lock)


def claim_folder() -> SandboxFolder:
    """Create a folder of our own, reachable by the service user where there is one. Raises FolderError."""
    user = service_user()
    for place in _places():
        if user is not None and not _may_enter(place, user):
            continue
        while True:
            try:
                path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            except OSError:
                break
            lock = _take(path)
            if lock is None:
                continue  # somebody took it for a leftover in the moment before it was locked
            if user is not None:
                path.chmod(0o711)
            return SandboxFolder(path, lock)
    raise FolderError("No temporary folder can hold a sandbox: none can be written to and entered.")


def remove_leftovers() -> list[Path]:
    """Stop and remove what killed sandboxes of this user left; return the removed folders.

    A folder that can't be removed is logged and left for the next start.
    """
    removed = []
    for path in _candidates():
        lock = _take(path)
        if lock is None:
            continue
        try:
            SandboxFolder(path, lock).remove()
        except OSError as error:
            _log.warning("A leftover sandbox could not be removed: %s", error)
        else:
            removed.append(path)
    return removed


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        # Whoever clears up may have taken the empty folder for a leftover, and then removes it instead of us.
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise


def _places() -> list[Path]:
    """Where sandboxes are kept: the temporary folder; as root the system's too, which others can enter."""
    names = [tempfile.gettempdir(), *(("/tmp", "/var/tmp") if os.geteuid() == 0 else ())]  # noqa: S108
    return list(dict.fromkeys(Path(name).resolve() for name in names))


def _candidates() -> Iterator[Path]:
    for place in _places():
        try:
            entries = [*os.scandir(place)]
        except OSError:
            continue
        for entry in entries:
            if not entry.name.startswith(PREFIX):
                continue
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and _is_sandbox(Path(entry.path)):
                yield Path(entry.path)


def _is_sandbox(folder: Path) -> bool:
    """True for a folder with an owner file, and for an empty one: whoever made it died before the file."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return False
    return not names or OWNER in names


def _take(path: Path) -> int | None:
    """Return a descriptor that holds the folder's lock, None where somebody else has it or it is gone."""
    owner = path / OWNER
    try:
        lock = os.open(owner, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), owner.lstat()):
            return lock
    except OSError:
        pass  # locked by its owner, or removed while we looked
    os.close(lock)
    return None


def _may_enter(place: Path, user: ServiceUser) -> bool:
    for folder in (place, *place.parents):
        state = folder.stat()
        allowed = (
            stat.S_IXUSR if state.st_uid == user.uid
            else stat.S_IXGRP if state.st_gid == user.gid
            else stat.S_IXOTH
        )  # fmt: skip
        if not state.st_mode & allowed:
            return False
    return True


def _stop_programs(folder: Path) -> None:
    """Stop the PostgreSQL servers whose command line names the folder."""
    running = []
    for process in psutil.process_iter(["cmdline"]):
        command: list[str] = process.info["cmdline"] or []
        if (
            command
            and Path(command[0]).name in _PROGRAMS
            and any(Path(argument).is_relative_to(folder) for argument in command[1:])
        ):
            running.append(process)
    everything = [member for process in running for member in family(process.pid)]
    send(running, signal.SIGINT)  # fast shutdown
    send(everything, signal.SIGCONT)  # it may have been paused
    stubborn = still_running(everything, _STOP_LIMIT)
    send(stubborn, signal.SIGKILL)
    still_running(stubborn, _STOP_LIMIT)
