"""Objects between two processes of Keydeck's own, over a pipe: each with its length and a checksum.

A pipe that broke, or brings anything else, is told from the end of what is sent.
"""

from __future__ import annotations

import pickle
import zlib
from struct import Struct
from typing import IO, Any

_HEAD = Struct(">4sQI")
_MARK = b"kdf1"
_LONGEST = 2**30


class BrokenPipeOfFramesError(Exception):
    """The other process is gone, or what it sends is none of this."""


def send(pipe: IO[bytes], content: object) -> None:
    """Send an object. Raises OSError."""
    body = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    pipe.write(_HEAD.pack(_MARK, len(body), zlib.crc32(body)))
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Return the next object that was sent. Raises EOFError at the end, BrokenPipeOfFramesError."""
    head = pipe.read(_HEAD.size)
    if not head:
        raise EOFError
    if len(head) < _HEAD.size:
        raise BrokenPipeOfFramesError
    mark, length, checksum = _HEAD.unpack(head)
    if mark != _MARK or length > _LONGEST:
        raise BrokenPipeOfFramesError
    body = pipe.read(length)
    if len(body) < length or zlib.crc32(body) != checksum:
        raise BrokenPipeOfFramesError
    return pickle.loads(body)  # noqa: S301  # of a process that this one started, or was started by
