"""One anchor: a checkpoint as it is kept outside of the database, with a time stamp if there is one.

It is a line of JSON, in a file of many or alone in an object: {"keydeck_anchor": 1, "checkpoint": …,
"time_stamp": base64 of an RFC 3161 response, or null}.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from crypto_core.database.state.checkpoint import Checkpoint, checkpoint_of
from crypto_core.errors import RefusedError
from crypto_core.guard.signature import digest_of
from crypto_core.text.cleaning import NO_TEXT, CleanText

PURPOSE = "journal anchor"
LARGEST_ANCHOR = 262_144
"""Bytes of one anchor; the break that a checkpoint acknowledges may name a thousand entries."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint, the RFC 3161 response over it (b"" for none), and where it was found."""

    checkpoint: Checkpoint
    time_stamp: bytes = b""
    where: CleanText = NO_TEXT

    def as_json(self) -> dict[str, Any]:
        """The document that is kept."""
        stamp = b64encode(self.time_stamp).decode() if self.time_stamp else None
        return {"keydeck_anchor": 1, "checkpoint": self.checkpoint.as_json(), "time_stamp": stamp}

    def line(self) -> bytes:
        """The document as one line, with its end."""
        return json.dumps(self.as_json(), sort_keys=True, ensure_ascii=True).encode() + b"\n"


class AnchorStore(Protocol):
    """What keeps anchors outside of the database. Blocks."""

    @property
    def where(self) -> CleanText:
        """What it is called in sentences."""
        ...

    def keep(self, anchor: Anchor) -> None:
        """Keep an anchor. Raises KeydeckError."""
        ...

    def read(self) -> Iterator[Anchor | str]:
        """Yield what is kept, and sentences on what is no anchor or was not read.

        Raises AbsentAnchorsError where nothing was ever kept or all of it is gone, else KeydeckError.
        """
        ...


def stamped(checkpoint: Checkpoint) -> bytes:
    """Return what a time stamp is over: the digest of a checkpoint with its signature."""
    return digest_of(PURPOSE, json.dumps(checkpoint.as_json(), sort_keys=True, ensure_ascii=True))


def anchor_of(line: bytes, where: CleanText) -> Anchor:
    """Return the anchor that a line tells, or a checkpoint as it is printed. Raises RefusedError."""
    try:
        document = json.loads(line)
        stamp = document.get("time_stamp")
        checkpoint = checkpoint_of(document.get("checkpoint", document))
        return Anchor(checkpoint, b64decode(stamp, validate=True) if stamp else b"", where)
    except (AttributeError, ValueError, TypeError, RecursionError, RefusedError) as error:
        raise RefusedError(
            f"{where} is not an anchor of the journal, nor a checkpoint.",
            remedy="One is printed by: keydeck journal checkpoint --json.",
        ) from error
