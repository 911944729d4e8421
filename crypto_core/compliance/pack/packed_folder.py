"""The folder of a pack as it stands on a disk: nothing in it is trusted, and no link is followed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crypto_core.compliance.pack.manifest import MANIFEST, SIGNATURE, Manifest
from crypto_core.errors import EvidenceError
from crypto_core.text.cleaning import clean

LARGEST = 512 * 1024 * 1024
"""Bytes of a file that is read; a pack of a year has some MB."""
_PART = 1024 * 1024


class UnreadablePackError(EvidenceError):
    """A folder, or a file in it, can't be read."""


@dataclass(frozen=True, slots=True)
class PackedFolder:
    """A folder that may be a pack."""

    path: Path

    def names(self) -> dict[str, bool]:
        """Return what is in it, and whether that is a plain file. Raises UnreadablePackError."""
        try:
            with os.scandir(self.path) as found:
                return {one.name: one.is_file(follow_symlinks=False) for one in found}
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def content(self, name: str) -> bytes:
        """Return a file's content. Raises UnreadablePackError."""
        return b"".join(self._parts(name))

    def digest(self, name: str) -> tuple[int, str]:
        """Return how many bytes a file has, and their SHA-256 in hex. Raises UnreadablePackError."""
        state, size = hashlib.sha256(), 0
        for part in self._parts(name):
            state.update(part)
            size += len(part)
        return size, state.hexdigest()

    def _parts(self, name: str) -> Iterator[bytes]:
        try:
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
                    raise UnreadablePackError(
                        f"{clean(self.path / name, 300)} is no plain file, or larger than {LARGEST:,} bytes."
                    )
                while part := file.read(_PART):
                    yield part
        except OSError as error:
            raise _unreadable(self.path / name, error) from error


def wrong_files(folder: PackedFolder, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the files by the manifest, a sentence each. Raises UnreadablePackError."""
    there = folder.names()
    listed = {one.path: one for one in manifest.files}
    if len(listed) != len(manifest.files):
        yield "The manifest lists a file twice."
    for name in sorted(there.keys() - listed.keys() - {MANIFEST, SIGNATURE}):
        yield f"{clean(name, 200)} is in the folder, and not in the manifest."
    for name, file in sorted(listed.items()):
        if name not in there:
            yield f"{clean(name, 200)} is missing."
        elif not there[name]:
            yield f"{clean(name, 200)} is no plain file."
        elif folder.digest(name) != (file.bytes, file.sha256):
            yield f"{clean(name, 200)} was changed: it has another SHA-256 than the manifest says."


def _unreadable(path: Path, error: OSError) -> UnreadablePackError:
    return UnreadablePackError(f"{clean(path, 300)} can't be read: {clean(error.strerror, 100)}.")
