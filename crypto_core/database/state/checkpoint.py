"""What a checkpoint of the journal is, and a break of the journal that one acknowledges.

A checkpoint is the digest of one entry, signed; it stands for every entry up to that one. Where entries that
were signed are missing, or the chain is damaged, the next one has to acknowledge that: it names the break,
under its signature, and the journal begins anew with it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crypto_core.errors import RefusedError
from crypto_core.guard.signature import Signature, digest_of
from crypto_core.text.cleaning import CleanText, clean, cleans

ACTION = "journal checkpoint"
PURPOSE = "journal checkpoint"
BREAK_PURPOSE = "journal break"
MOST_LOST = 1_000
"""So many lost checkpoints a break can name."""


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """An entry as a checkpoint names it."""

    seq: int
    digest: bytes
    at: datetime
    """When that was signed, by the signer's word."""

    def as_json(self) -> dict[str, Any]:
        """A JSON document's part."""
        return {"seq": self.seq, "digest": self.digest.hex(), "at": _moment(self.at)}


@dataclass(frozen=True, slots=True)
@cleans(reason=1_000, by=500, problems=1_000)
class JournalBreak:
    """What was wrong with a journal when it began anew, and who acknowledged that. Cleaned text."""

    reason: CleanText
    by: CleanText
    problems: tuple[CleanText, ...]
    whole_to: int
    """The newest entry that a valid checkpoint still covered; 0 if none did."""
    last: SignedEntry | None
    """The last checkpoint before, whether its entry is still there or not; None if there was none."""
    lost: tuple[SignedEntry, ...]
    """What was signed and is missing."""
    contents: bytes
    """SHA-256 over the journal and its checkpoints as they stood."""

    def as_json(self) -> dict[str, Any]:
        """A JSON document's part; `break_of` reads it."""
        return {
            "reason": self.reason,
            "by": self.by,
            "problems": list(self.problems),
            "whole_to": self.whole_to,
            "last": self.last.as_json() if self.last else None,
            "lost": [one.as_json() for one in self.lost],
            "contents": self.contents.hex(),
        }

    @property
    def canonical(self) -> str:
        """Its JSON, written in one way."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The journal's digest at entry `seq`, signed. `at` is when, in UTC, by the signer's word."""

    seq: int
    digest: bytes
    at: datetime
    signature: Signature
    database_id: str = ""
    """The id of the journal's database, "" in one that was made before there was an id."""
    broken: JournalBreak | None = None
    """The break that it acknowledges: the journal begins anew with it."""

    @property
    def signed(self) -> bytes:
        """The digest that the signature is over."""
        of = [self.database_id] if self.database_id else []
        fields: tuple[str | bytes, ...] = (*of, str(self.seq), self.digest, _moment(self.at))
        if self.broken is not None:
            return digest_of(BREAK_PURPOSE, *fields, self.broken.canonical)
        return digest_of(PURPOSE, *fields)

    @property
    def entry(self) -> SignedEntry:
        """The entry that it is over."""
        return SignedEntry(self.seq, self.digest, self.at)

    def as_json(self) -> dict[str, Any]:
        """The document to keep elsewhere; `checkpoint_of` reads it."""
        return {
            "seq": self.seq,
            "digest": self.digest.hex(),
            "at": _moment(self.at),
            "database_id": self.database_id,
            **self.signature.as_json(),
            **({"broken": self.broken.as_json()} if self.broken else {}),
        }

    def __str__(self) -> str:
        return f"The checkpoint over entry {self.seq} of {self.at:%Y-%m-%d %H:%M:%S} UTC"


def checkpoint_of(document: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint that a document tells. Raises RefusedError for what is none."""
    try:
        signature = Signature(
            str(document["key_arn"]),
            str(document["algorithm"]),
            b64decode(document["signature"], validate=True),
        )
        entry = _entry(document)
        broken = document.get("broken")
        return Checkpoint(
            *(entry.seq, entry.digest, entry.at, signature, clean(document.get("database_id"), 100)),
            broken=None if broken is None else break_of(broken),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, Base64Error) as error:
        raise RefusedError(
            "This is not a checkpoint of the journal.",
            remedy="One is printed by: keydeck journal checkpoint --json.",
        ) from error


def break_of(document: Mapping[str, Any]) -> JournalBreak:
    """Return the break that a document tells. Raises KeyError, TypeError, ValueError, AttributeError."""
    last = document["last"]
    return JournalBreak(
        clean(document["reason"], 1_000),
        clean(document["by"], 500),
        tuple(clean(problem, 1_000) for problem in document["problems"]),
        int(document["whole_to"]),
        None if last is None else _entry(last),
        tuple(_entry(one) for one in document["lost"]),
        bytes.fromhex(document["contents"]),
    )


def told_break(made: Checkpoint) -> CleanText:
    """Return a sentence or two on the break that a checkpoint acknowledges."""
    broken = made.broken
    if broken is None:
        return clean("")
    last = "It was never signed before."
    if broken.last is not None:
        signed = f"The last checkpoint before was over entry {broken.last.seq}"
        last = f"{signed}, of {broken.last.at:%Y-%m-%d %H:%M:%S} UTC."
    missing = ", ".join(str(one.seq) for one in broken.lost[:20]) + (" …" if len(broken.lost) > 20 else "")
    return clean(
        f"The journal was broken, and began anew at entry {made.seq} on {made.at:%Y-%m-%d %H:%M:%S} UTC, as "
        f"{broken.by} acknowledged: {broken.reason} {last} "
        f"{f'Missing or changed at signed entries: {missing}.' if broken.lost else ''}",
        1_800,
    )


def break_from(text: str) -> JournalBreak | None:
    """Return the break that a table's text tells; None for no text, an empty one if it is none."""
    if not text:
        return None
    try:
        return break_of(json.loads(text))
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError, OverflowError):
        return JournalBreak(clean("not readable"), clean(""), (), 0, None, (), b"")


def _entry(document: Mapping[str, Any]) -> SignedEntry:
    at = datetime.fromisoformat(document["at"]).astimezone(UTC)
    return SignedEntry(int(document["seq"]), bytes.fromhex(document["digest"]), at)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
