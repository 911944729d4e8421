"""One anchor: a checkpoint as it is kept outside of the database, with a time stamp if there is one.

It is a line of JSON, in a file of many or alone in an object: {"keydeck_anchor": 1, "checkpoint": …,
"time_stamp": base64 of an RFC 3161 response, or null}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from crypto_core.errors import RefusedError
from crypto_core.proof.forms import UNREADABLE, Anchor, anchor_in, document_of
from crypto_core.text.clean_text import CleanText

LARGEST_ANCHOR = 262_144
"""Bytes of one anchor; the break that a checkpoint acknowledges may name a thousand entries."""


class AnchorStore(Protocol):
    """Keeps anchors outside of the database. Blocks."""

    @property
    def where(self) -> CleanText: ...

    def keep(self, anchor: Anchor) -> None:
        """Keep an anchor. Raises KeydeckError."""

    def read(self) -> Iterator[Anchor | str]:
        """Yield what is kept, and sentences on what is no anchor or was not read.

        Raises AbsentAnchorsError where nothing was ever kept or all of it is gone, else KeydeckError.
        """


def anchor_of(line: bytes, where: CleanText) -> Anchor:
    """Return the anchor, or the printed checkpoint, of a line. Raises RefusedError."""
    try:
        return anchor_in(document_of(line), where)
    except UNREADABLE as error:
        raise RefusedError(
            f"{where} is not an anchor of the journal, nor a checkpoint.",
            remedy="One is printed by: keydeck journal checkpoint --json.",
        ) from error
