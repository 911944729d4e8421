"""How entries, checkpoints and anchors are written, hashed and signed.

Text is hashed as it is stored, never normalised. What is read here is written in one way: another spelling of
a time, a digest or a signature is refused, and so is JSON in which a name stands twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, NamedTuple, Optional

UNREADABLE = (ValueError, RecursionError, LookupError, TypeError, AttributeError, OverflowError)
"""What reading a document raises that Keydeck didn't write."""

FIRST = bytes(32)
"""The digest that the first entry, and the first record, name as the one before."""
CHECKPOINT, RECORD, PURGE = "journal checkpoint", "evidence record", "evidence purge"
"""What the journal calls a checkpoint, a record of evidence, and the removal of old records' documents."""
BREAK_PURPOSE, ANCHOR_PURPOSE = "journal break", "journal anchor"
DONE = "done"
CLOCKS, LATE = timedelta(minutes=10), timedelta(hours=6)
"""How much clocks differ, and how long a record may take from its measurement to its entry."""
LEAST_DAYS = 400
"""So long documents of records are kept at least, in days."""
LARGEST_LINE = 256 * 1024 * 1024
"""Bytes of one line; the head of a journal holds all checkpoints."""
_DEEPEST = 64
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?\+00:00", re.ASCII)


@dataclass(frozen=True)
class Signature:
    """A signature, or a message authentication code, over a SHA-256 digest of 32 bytes."""

    key_arn: str
    algorithm: str
    """As KMS names it, such as ECDSA_SHA_256, RSASSA_PSS_SHA_256 or HMAC_SHA_256."""
    value: bytes

    def as_json(self) -> dict[str, Any]:
        value = b64encode(self.value).decode()
        return {"key_arn": self.key_arn, "algorithm": self.algorithm, "signature": value}


@dataclass(frozen=True)
class SigningTime:
    """A moment at which something was signed already, and who says so: never the signature's own maker."""

    at: datetime
    evidence: str
    """Such as "the journal's entry 7"."""


class Answer(NamedTuple):
    """Whether a signature holds: None where that could not be checked, for the reason in `why`.

    Of a former key that signed after its end `why` says so, and `valid` is False.
    """

    valid: bool | None
    why: str = ""


Claim = tuple[bytes, Signature, Optional[SigningTime]]
"""The 32 bytes that are signed, the signature, and when it was there already, None if nothing tells."""
Ask = Callable[[Sequence[Claim]], Sequence[Answer]]
"""Verifies signatures."""
StampTime = Callable[[bytes, bytes], "datetime | str"]
"""The time that an RFC 3161 response vouches for over a message, or why it doesn't count."""


def digest_of(purpose: str, *parts: str | bytes) -> bytes:
    """Return the SHA-256 digest to sign for a purpose, such as "journal checkpoint", and its fields.

    The encoding is injective: each part stands with its kind and its length (8 bytes, big-endian), and their
    number before them. With the purpose in it, what was signed as one thing can't be taken for another.
    """
    every = (purpose, *parts)
    state = hashlib.sha256(b"keydeck signature 1\0" + len(every).to_bytes(8, "big"))
    for part in every:
        kind, raw = (b"t", part.encode()) if isinstance(part, str) else (b"b", part)
        state.update(kind + len(raw).to_bytes(8, "big") + raw)
    return state.digest()


def canonical(document: Any) -> str:
    """Return a document's JSON, written in one way: sorted names, no spaces, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def document_of(text: str | bytes) -> Any:
    """Return what JSON text holds. Raises what is in UNREADABLE, also for names that stand twice."""
    found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_whole)
    _shallow(found, _DEEPEST)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _whole(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number is too large")
    return int(digits)


def _shallow(value: Any, depth: int) -> None:
    if depth < 0:
        raise ValueError("it is nested too deeply")
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _shallow(one, depth - 1)


def text_in(value: Any) -> str:
    """Return a text that can be encoded. Raises TypeError, ValueError."""
    if type(value) is not str:
        raise TypeError("it is no text")
    value.encode()
    return value


def number_in(value: Any) -> int:
    """Return a number as PostgreSQL has it. Raises TypeError, ValueError."""
    if type(value) is not int:
        raise TypeError("it is no number")
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("a number is too large")
    return value


def digest_in(value: Any) -> bytes:
    """Return bytes written in hex. Raises TypeError, ValueError."""
    found = bytes.fromhex(text_in(value))
    if found.hex() != value:
        raise ValueError("it is not written in hex as Keydeck does")
    return found


def base64_in(value: Any) -> bytes:
    """Return bytes written in base64, which spells some values in several ways. Raises ValueError."""
    found = b64decode(text_in(value), validate=True)
    if b64encode(found).decode() != value:
        raise ValueError("it is not written in base64 as Keydeck does")
    return found


def moment_in(value: Any) -> datetime:
    """Return a moment in UTC; another offset than +00:00 is refused. Raises TypeError, ValueError."""
    if not _MOMENT.fullmatch(text_in(value)):
        raise ValueError("it is no moment in UTC")
    return datetime.fromisoformat(value)


def moment_text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def shown_moment(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def signature_in(document: Any) -> Signature:
    """Return the signature that a document, or a part of one, tells. Raises what is in UNREADABLE."""
    arn, algorithm = text_in(document["key_arn"]), text_in(document["algorithm"])
    return Signature(arn, algorithm, base64_in(document["signature"]))


def key_fault(content: bytes) -> str:
    """Return what is wrong with a file that should hold a public key, as far as its outside tells."""
    if not content.strip():
        return "is empty: it should hold a public key"
    if b"-----BEGIN CERTIFICATE" in content:
        return "is a certificate, not a public key: openssl x509 -in FILE -pubkey -noout prints its key"
    if b"PRIVATE KEY-----" in content:
        return "is a private key: only its public key is needed here"
    return ""


def ended(key: str, end: datetime | None, when: SigningTime | None) -> str:
    """Return why a former key's signature doesn't count, "" if the key signed before its end."""
    if end is None or (when is not None and when.at <= end):
        return ""
    told = f"It is signed by {key}, a former key that ended on {shown_moment(end)}"
    if when is None:
        return f"{told}, and nothing but its own word says when."
    return f"{told}. It is known from {shown_moment(when.at)} on only, by {when.evidence}."


@dataclass(frozen=True)
class JournalEntry:
    """One journal entry. `detail` is JSON text; it never holds a token or an envelope.

    `database_role` is who had logged in to PostgreSQL, as the server says; None in entries of the first form.
    `database_id` tells the database, and its copies, from others; None in entries of the first two forms.
    `checked` is True where a function of its own checked what it records, None before there were any.
    `actor`, `host` and what follows are what the console says.

    The digest is SHA-256 over the previous digest and the entry's fields, each prefixed with its length (8
    bytes, big-endian), so no two different entries have the same encoding. There are four forms, and all may
    stand in one chain. Entries with a database role have `v2`, which is no entry's number, before their
    fields and the role behind them; those with a database id have `v3` and that id before them instead;
    those that say whether they were checked have `v4` in its place, and `checked` or `text` before the role.
    The database's functions make these, and compute the same in SQL. Entries without a role were inserted by
    consoles, and have none of it.
    """

    seq: int
    at: datetime
    actor: str
    host: str
    action: str
    subject: str
    outcome: str
    detail: str
    previous: bytes
    digest: bytes
    database_role: str | None = None
    database_id: str | None = None
    checked: bool | None = None

    @property
    def who(self) -> str:
        """Who acted, as the console says; and who had logged in to PostgreSQL, where that is another."""
        if self.database_role is None or self.actor.endswith(f", database role {self.database_role}"):
            return self.actor
        return f"{self.actor} (logged in as {self.database_role})"

    @property
    def evidence(self) -> SigningTime:
        """Its time, which PostgreSQL gave it, as evidence of when there was what it records."""
        clock = "" if self.database_role is not None else ", by the console's clock"
        return SigningTime(self.at, f"the journal's entry {self.seq}{clock}")

    def computed_digest(self) -> bytes:
        """What the digest must be for these fields."""
        form = [] if self.database_role is None else ["v2"]
        if self.database_id is not None:
            form = ["v3" if self.checked is None else "v4", self.database_id]
        texts = (self.actor, self.host, self.action, self.subject, self.outcome, self.detail)
        role = [] if self.database_role is None else [self.database_role]
        if self.checked is not None:
            role.insert(0, "checked" if self.checked else "text")
        state = hashlib.sha256(self.previous)
        for field in (*form, str(self.seq), moment_text(self.at), *texts, *role):
            encoded = field.encode()
            state.update(len(encoded).to_bytes(8, "big") + encoded)
        return state.digest()

    def as_json(self) -> dict[str, Any]:
        """One entry of an export, and of what `keydeck journal list --json` prints."""
        told = {"at": self.at.isoformat(), "previous": self.previous.hex(), "digest": self.digest.hex()}
        return asdict(self) | told


def entry_in(document: Any) -> JournalEntry:
    """Return the entry of a line of an export. Raises what is in UNREADABLE."""
    names = {field.name for field in fields(JournalEntry)}
    if not isinstance(document, dict) or {*document, "checked"} != names:
        raise ValueError("it has other fields")
    checked = document.get("checked")
    if checked is not None and type(checked) is not bool:
        raise TypeError("it is neither checked nor text")
    read: dict[str, Callable[[Any], Any]] = dict.fromkeys(names, text_in)
    read.update(seq=number_in, at=moment_in, previous=digest_in, digest=digest_in)
    optional = ("database_role", "database_id")
    told: dict[str, Any] = {
        name: None if document[name] is None and name in optional else read[name](document[name])
        for name in names - {"checked"}
    }
    return JournalEntry(**told, checked=checked)


class WrittenLast(NamedTuple):
    """The entry that was written last, as the row says that is kept for it, and the database's id."""

    seq: int
    digest: bytes
    database_id: str


@dataclass(frozen=True)
class SignedEntry:
    seq: int
    digest: bytes
    at: datetime
    """When that was signed, by the signer's word."""

    def as_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "digest": self.digest.hex(), "at": moment_text(self.at)}


@dataclass(frozen=True)
class JournalBreak:
    """What was wrong with a journal when it began anew, and who acknowledged that."""

    reason: str
    by: str
    problems: tuple[str, ...]
    whole_to: int
    """The newest entry that a valid checkpoint still covered; 0 if none did."""
    last: SignedEntry | None
    """The last checkpoint before, whether its entry is still there or not; None if there was none."""
    lost: tuple[SignedEntry, ...]
    """What was signed and is missing."""
    contents: bytes
    """SHA-256 over the journal and its checkpoints as they stood."""

    def as_json(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "by": self.by,
            "problems": list(self.problems),
            "whole_to": self.whole_to,
            "last": self.last.as_json() if self.last else None,
            "lost": [one.as_json() for one in self.lost],
            "contents": self.contents.hex(),
        }


@dataclass(frozen=True)
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
        """The 32 bytes that the signature is over."""
        of = [self.database_id] if self.database_id else []
        parts: tuple[str | bytes, ...] = (*of, str(self.seq), self.digest, moment_text(self.at))
        if self.broken is not None:
            return digest_of(BREAK_PURPOSE, *parts, canonical(self.broken.as_json()))
        return digest_of(CHECKPOINT, *parts)

    @property
    def entry(self) -> SignedEntry:
        return SignedEntry(self.seq, self.digest, self.at)

    def as_json(self) -> dict[str, Any]:
        """The document to keep elsewhere; `checkpoint_in` reads it."""
        broken = {"broken": self.broken.as_json()} if self.broken else {}
        of = {"database_id": self.database_id}
        return {**self.entry.as_json(), **of, **self.signature.as_json(), **broken}

    def __str__(self) -> str:
        return f"The checkpoint over entry {self.seq} of {shown_moment(self.at)}"


def checkpoint_in(document: Any) -> Checkpoint:
    """Return the checkpoint that a document tells. Raises what is in UNREADABLE."""
    entry, broken = _signed_entry(document), document.get("broken")
    return Checkpoint(
        *(entry.seq, entry.digest, entry.at, signature_in(document)),
        text_in(document.get("database_id") or ""),
        None if broken is None else break_in(broken),
    )


def break_in(document: Any) -> JournalBreak:
    """Return the break that a document tells. Raises what is in UNREADABLE."""
    last = document["last"]
    return JournalBreak(
        *(text_in(document["reason"]), text_in(document["by"])),
        tuple(map(text_in, document["problems"])),
        number_in(document["whole_to"]),
        None if last is None else _signed_entry(last),
        tuple(map(_signed_entry, document["lost"])),
        digest_in(document["contents"]),
    )


def _signed_entry(document: Any) -> SignedEntry:
    seq, digest = number_in(document["seq"]), digest_in(document["digest"])
    return SignedEntry(seq, digest, moment_in(document["at"]))


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint of the table, and who made it, by its word."""

    checkpoint: Checkpoint
    actor: str


@dataclass(frozen=True)
class Anchor:
    """A checkpoint, the RFC 3161 response over it (b"" for none), and where it was found."""

    checkpoint: Checkpoint
    time_stamp: bytes = b""
    where: str = ""

    def as_json(self) -> dict[str, Any]:
        stamp = b64encode(self.time_stamp).decode() if self.time_stamp else None
        return {"keydeck_anchor": 1, "checkpoint": self.checkpoint.as_json(), "time_stamp": stamp}

    def line(self) -> bytes:
        """The document as one line, with its end."""
        return json.dumps(self.as_json(), sort_keys=True, ensure_ascii=True).encode() + b"\n"

    @property
    def stamped(self) -> bytes:
        """What a time stamp is over: the digest of the checkpoint with its signature."""
        return digest_of(ANCHOR_PURPOSE, json.dumps(self.checkpoint.as_json(), sort_keys=True))


def anchor_in(document: Any, where: str = "") -> Anchor:
    """Return the anchor that a document tells, or a checkpoint as it is printed, or as an entry records it.

    Raises what is in UNREADABLE.
    """
    stamp = document.get("time_stamp")
    checkpoint = checkpoint_in(document.get("checkpoint", document))
    return Anchor(checkpoint, base64_in(stamp) if stamp else b"", where)


def export_lines(name: str, lines: Iterable[bytes]) -> Iterable[JournalEntry | str]:
    """Yield the entries of an export behind its head, and a sentence for each line that is none."""
    for number, line in enumerate(lines, 2):
        try:
            yield entry_in(document_of(line))
        except UNREADABLE:
            yield not_written(name, number)


def export_head(name: str, line: bytes) -> tuple[WrittenLast | None, tuple[StoredCheckpoint, ...], str]:
    """Return what the first line of an export tells: the entry written last, the checkpoints, a fault."""
    try:
        head = document_of(line)
        if head["keydeck_journal"] != 1:
            raise ValueError("another form")
        last = head["last"]
        stored = [StoredCheckpoint(checkpoint_in(one), text_in(one["actor"])) for one in head["checkpoints"]]
        if last is None:
            return None, tuple(stored), ""
        of = text_in(last["database_id"])
        return WrittenLast(number_in(last["seq"]), digest_in(last["digest"]), of), tuple(stored), ""
    except UNREADABLE:
        return None, (), not_written(name, 1)


def not_written(name: str, number: int) -> str:
    return f"{name}, line {number}, can't be read: this is not what Keydeck writes there."


def kept_anchors(name: str, content: bytes) -> Iterable[Anchor | str]:
    """Yield the anchors or checkpoints of a file that was kept, and a sentence for each line that is none.

    A checkpoint as it is printed stands on several lines: such a file begins with a brace alone. An empty one
    is a fault.
    """
    lines = content.splitlines()
    if lines and lines[0].strip() == b"{":
        lines = [content]
    there = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not there:
        yield f"{name} holds no checkpoint."
    for number, line in there:
        try:
            yield anchor_in(document_of(line), f"{name}, line {number}")
        except UNREADABLE:
            yield f"{name}, line {number}, is not an anchor of the journal, nor a checkpoint."


def another_database(what: str, expected: str, found: str) -> str:
    """Return a sentence if something is of another database than expected, "" if not or not known."""
    if not expected or not found or expected == found:
        return ""
    return f"{what} is of another database: its id is {found}, and {expected} was expected."
