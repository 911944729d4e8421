"""Fixes checkpoints outside of the database, wherever that is configured, and reads what was fixed.

An anchor is a line of JSON, in a file of many or alone in an object: {"keydeck_anchor": 1, "checkpoint": …,
"time_stamp": base64 of an RFC 3161 response, or null}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from crypto_core.database.state.anchors.time_stamps import TimeStampAuthority, TimeStampRoots
from crypto_core.proof.forms import UNREADABLE, Anchor, Checkpoint, anchor_in, document_of
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import AbsentAnchorsError, KeydeckError, RefusedError
from crypto_core.values.json_records import JsonRecord, shape

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


@dataclass(frozen=True, slots=True)
class AnchorOutcome(JsonRecord):
    """What came of anchoring a checkpoint in one place: `error` is why it isn't there. Cleaned text."""

    where: CleanText
    error: CleanText = NO_TEXT
    at: datetime | None = None

    json_shape = shape("... error? at", at=lambda outcome: outcome.at and outcome.at.astimezone(UTC))


@dataclass(frozen=True, slots=True)
class AnchorsRead:
    anchors: tuple[Anchor, ...] = ()
    problems: tuple[str, ...] = ()
    """What is there and no anchor, or could not be read; a sentence each."""
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Without anything configured it does nothing. `unusable` is configured and can't be used."""

    authority: TimeStampAuthority | None = None
    stores: Sequence[AnchorStore] = ()
    roots: TimeStampRoots | None = None
    """By which time stamps are verified; None where they can't be."""
    unusable: Sequence[AnchorOutcome] = field(default=())

    def anchor(self, checkpoint: Checkpoint) -> tuple[bytes, tuple[AnchorOutcome, ...]]:
        """Fix a checkpoint; returns its time stamp, b"" without one, and the outcome in each place."""
        outcomes, stamp = list(self.unusable), b""
        if self.authority is not None:
            try:
                stamp, at = self.authority.stamp(Anchor(checkpoint).stamped)
                outcomes.append(AnchorOutcome(self.authority.where, at=at))
            except KeydeckError as error:
                outcomes.append(AnchorOutcome(self.authority.where, clean(error, 600)))
        for store in self.stores:
            try:
                store.keep(Anchor(checkpoint, stamp))
                outcomes.append(AnchorOutcome(store.where))
            except KeydeckError as error:
                outcomes.append(AnchorOutcome(store.where, clean(error, 600)))
        return stamp, tuple(outcomes)

    def read(self) -> AnchorsRead:
        anchors: list[Anchor] = []
        absent: list[str] = []
        problems: list[str] = []
        for store in self.stores:
            try:
                for one in store.read():
                    if isinstance(one, Anchor):
                        anchors.append(one)
                    else:
                        problems.append(one)
            except AbsentAnchorsError:
                absent.append(store.where)
            except KeydeckError as error:
                problems.append(f"{store.where}: {error.message}")
        return AnchorsRead(tuple(anchors), tuple(problems), tuple(absent))
