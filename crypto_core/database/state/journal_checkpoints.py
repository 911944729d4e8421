"""Checkpoints of the journal: the digest at its end, signed by a KMS key, kept beside it.

Whoever may write to the database as its owner can remove the newest entries with the row that counts them,
or make the chain anew from some entry on. A checkpoint tells both, for it can't be made anew without the key.
It is kept in the table and in the journal itself, each telling when the other is gone; a copy kept elsewhere
tells when both are.

A checkpoint anchors every entry up to its own. It is made by `keydeck journal checkpoint`, best by cron, and
when an incident is closed.
"""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import journal_checkpoint as table
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal, chained, written_last
from crypto_core.database.state.journal_chain import Chain, another_database
from crypto_core.database.state.journal_entry import JournalEntry, microseconds, moment_of
from crypto_core.errors import AnotherDatabaseError, KmsError, RefusedError, SettingsError
from crypto_core.guard.guard import Guard
from crypto_core.guard.outcome import Outcome
from crypto_core.guard.signature import Signature, Signer, digest_of
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean, cleans

ACTION = "journal checkpoint"
PURPOSE = "journal checkpoint"
MOST_PROBLEMS = 100
"""So many are named; of more, their number."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The journal's digest at entry `seq`, signed. `at` is when, in UTC."""

    seq: int
    digest: bytes
    at: datetime
    signature: Signature
    database_id: str = ""
    """The id of the journal's database, "" in one that was made before there was an id."""

    @property
    def signed(self) -> bytes:
        """The digest that the signature is over."""
        of = [self.database_id] if self.database_id else []
        return digest_of(PURPOSE, *of, str(self.seq), self.digest, self.at.isoformat(timespec="microseconds"))

    def as_json(self) -> dict[str, Any]:
        """The document to keep elsewhere; `checkpoint_of` reads it."""
        return {
            "seq": self.seq,
            "digest": self.digest.hex(),
            "at": self.at.isoformat(timespec="microseconds"),
            "database_id": self.database_id,
            **self.signature.as_json(),
        }


def checkpoint_of(document: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint that a document tells. Raises RefusedError for what is none."""
    try:
        signature = Signature(
            str(document["key_arn"]),
            str(document["algorithm"]),
            b64decode(document["signature"], validate=True),
        )
        at = datetime.fromisoformat(document["at"]).astimezone(UTC)
        database_id = clean(document.get("database_id"), 100)
        return Checkpoint(int(document["seq"]), bytes.fromhex(document["digest"]), at, signature, database_id)
    except (KeyError, TypeError, ValueError, OverflowError, Base64Error) as error:
        raise RefusedError(
            "This is not a checkpoint of the journal.",
            remedy="One is printed by: keydeck journal checkpoint --json.",
        ) from error


@dataclass(frozen=True, slots=True)
@cleans(problems=1_000, unchecked=1_000, database_id=100)
class JournalCheck:
    """What the journal's verification found. Each problem is one sentence; cleaned text."""

    entries: int
    problems: tuple[str, ...]
    checkpoints: int
    database_id: CleanText = NO_TEXT
    """The id of the journal's database; "" if it is lost."""
    anchored: int = 0
    """The newest entry that a valid checkpoint covers; 0 if none does."""
    anchored_at: datetime | None = None
    unchecked: str = ""
    """Why signatures were not checked, "" if they were or there are none."""
    failed: bool = False
    """True if signatures were to be checked and KMS could not be asked."""

    @property
    def whole(self) -> bool:
        """True if nothing is wrong, as far as could be checked."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The document that `keydeck journal verify --json` prints."""
        return {
            "whole": self.whole,
            "broken": self.problems[0] if self.problems else None,
            "problems": list(self.problems),
            "entries": self.entries,
            "database_id": self.database_id or None,
            "checkpoints": self.checkpoints,
            "anchored": self.anchored,
            "anchored_at": self.anchored_at.isoformat() if self.anchored_at else None,
            "unanchored": max(self.entries - self.anchored, 0),
            "signatures_unchecked": self.unchecked,
        }


class JournalCheckpoints:
    """Makes checkpoints and checks the journal by them. Blocks on SQL and KMS."""

    def __init__(
        self,
        journal: Journal,
        signer: Signer | None,
        *,
        read_only: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`signer` is None where no signing key is configured: then nothing is anchored."""
        self._journal = journal
        self._signer = signer
        self._read_only = read_only
        self._clock = clock
        self._guard = Guard(journal, read_only=read_only, ready=require_schemas(journal.engine))

    @property
    def possible(self) -> bool:
        """True if checkpoints can be made here."""
        return self._signer is not None and not self._read_only

    def checkpoint(self) -> Checkpoint:
        """Sign the journal's end as it is now, and keep that. Journaled, failures and refusals too.

        What has come since the last checkpoint is verified before. Raises ReadOnlyError, SettingsError
        without a signing key or with one that can't sign, RefusedError for a journal that is empty or broken,
        KmsError, MissingSchemaError, DatabaseError.
        """
        self._guard.may_change("make a checkpoint")
        if self._signer is None:
            raise SettingsError(
                "No signing key is configured: the journal stays unanchored.",
                remedy="Set KEYDECK_SIGNING_KEY to a KMS key for signing (SIGN_VERIFY) or HMAC.",
            )
        actor = self._journal.actor()
        with self._guard.recording(ACTION, "journal"):
            database_id = self._journal.database_id()
            last = self._end(database_id)
            drafted = Checkpoint(last.seq, last.digest, self._clock(), Signature("", "", b""), database_id)
            signature = self._signer.sign(drafted.signed)
            made = replace(drafted, signature=signature)
            with connected(self._journal.engine, write=True) as connection:
                row = {"seq": made.seq, "digest": made.digest, "at": made.at, "actor": clean(actor, 500)}
                row |= {
                    "key_arn": signature.key_arn,
                    "algorithm": signature.algorithm,
                    "signature": signature.value,
                    "database_id": made.database_id,
                }
                connection.execute(insert(table), row)
                subject = f"journal up to entry {made.seq}"
                self._journal.record(
                    ACTION, subject, Outcome.DONE, made.as_json(), within=connection, actor=actor
                )
        return made

    def verify(self, *, kept: Sequence[Checkpoint] = (), database_id: str = "") -> JournalCheck:
        """Check every entry and every checkpoint, and those that were kept elsewhere.

        With a `database_id` the journal must be of that database.

        Without a signing key, or where KMS can't be asked, signatures are left unchecked, and the result says
        so. Raises DatabaseError.
        """
        problems = _Problems()
        chain, ends, told = Chain(), dict[int, bytes](), dict[bytes, tuple[Checkpoint, str, int]]()
        with connected(self._journal.engine) as connection:
            # One moment for both tables: a checkpoint made meanwhile would seem to lack its entry.
            connection.execution_options(isolation_level="REPEATABLE READ")
            last, stored = written_last(connection), _stored(connection)
            rows = [checkpoint for checkpoint, _ in stored]
            wanted = {c.seq for c in (*rows, *kept)}
            try:
                for entry in chained(connection):
                    problems.add(chain.follow(entry))
                    if entry.seq in wanted:
                        ends[entry.seq] = entry.digest
                    if (found := _journaled(entry)) is not None:
                        told[found.signature.value] = (found, entry.actor, entry.seq)
                problems.add(chain.end(last))
            except ValueError:
                # Bytes below the table that are no text at all end PostgreSQL's or the driver's reading.
                seq = chain.last.seq if chain.last else 0
                problems.add(f"What comes after entry {seq} can't be read.")
        valid, unchecked, failed = self._signed((*rows, *kept), problems)
        for checkpoint, actor in stored:
            if told.pop(checkpoint.signature.value, ())[:2] != (checkpoint, actor):
                problems.add(f"{_named(checkpoint)} does not match the journal, or its entry is missing.")
        for lost, _, seq in told.values():
            problems.add(f"{_named(lost)} is missing, though entry {seq} records it.")
        anchors = []
        of = chain.database_id or (last.database_id if last else "")
        problems.add(another_database("The journal", database_id, of))
        for checkpoint in (*rows, *kept):
            if elsewhere := another_database(_named(checkpoint), of, checkpoint.database_id):
                problems.add(elsewhere)
            elif checkpoint.seq not in ends:
                problems.add(
                    f"Entry {checkpoint.seq} is gone, at which the journal was signed on "
                    f"{checkpoint.at:%Y-%m-%d %H:%M:%S} UTC."
                )
            elif ends[checkpoint.seq] != checkpoint.digest:
                problems.add(f"Entry {checkpoint.seq} is not the one that was signed there.")
            elif checkpoint in valid:
                anchors.append(checkpoint)
        newest = max(anchors, key=lambda c: (c.seq, c.at), default=None)
        return JournalCheck(
            entries=chain.entries,
            problems=problems.told(),
            checkpoints=len(rows),
            database_id=clean(of, 100),
            anchored=newest.seq if newest else 0,
            anchored_at=newest.at if newest else None,
            unchecked=unchecked,
            failed=failed,
        )

    def _signed(
        self, checkpoints: Iterable[Checkpoint], problems: _Problems
    ) -> tuple[set[Checkpoint], str, bool]:
        """The checkpoints whose signatures are valid, and why the others were not checked."""
        valid: set[Checkpoint] = set()
        for checkpoint in checkpoints:
            if self._signer is None:
                return set(), "No signing key is configured (KEYDECK_SIGNING_KEY).", False
            try:
                signed = self._signer.verify(checkpoint.signed, checkpoint.signature)
            except (KmsError, SettingsError) as error:
                return valid, clean(error, 1000), True
            if signed:
                valid.add(checkpoint)
            else:
                problems.add(f"{_named(checkpoint)} is not signed by a configured key.")
        return valid, "", False

    def _end(self, database_id: str) -> JournalEntry:
        """The journal's last entry, once all since the last checkpoint has been looked at."""
        with connected(self._journal.engine) as connection:
            newest = max((found for found, _ in _stored(connection)), key=lambda c: c.seq, default=None)
            if newest is not None and newest.database_id not in ("", database_id):
                raise AnotherDatabaseError(
                    _named(newest),
                    expected=database_id,
                    found=newest.database_id,
                    remedy="Look at all that is wrong: keydeck journal verify.",
                )
            wrong = ""
            chain = Chain(after=newest.seq - 1 if newest else 0)
            for entry in chained(connection, after=newest.seq - 1 if newest else None):
                wrong = wrong or chain.follow(entry)
                if newest is not None and entry.seq == newest.seq and entry.digest != newest.digest:
                    wrong = wrong or f"Entry {entry.seq} is not the one that was signed there."
        if newest is not None and chain.last is None:
            wrong = f"Entry {newest.seq} is gone, at which the journal was signed."
        if wrong:
            raise RefusedError(
                f"The journal is broken, and is not signed: {wrong}",
                remedy="Look at all that is wrong: keydeck journal verify.",
            )
        if chain.last is None:
            raise RefusedError("The journal is empty: there is nothing to sign.")
        return chain.last


class _Problems:
    """What is wrong, up to a number that can be read."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}
        self._more = 0

    def add(self, problem: str) -> None:
        if not problem or problem in self._told:
            return
        if len(self._told) < MOST_PROBLEMS:
            self._told[problem] = None
        else:
            self._more += 1

    def told(self) -> tuple[str, ...]:
        return (*self._told, *([f"And {self._more:,} more."] if self._more else []))


def _stored(connection: Connection) -> list[tuple[Checkpoint, str]]:
    """All checkpoints, and who made each."""
    c = table.c
    columns = (
        *(c.seq, c.digest, microseconds(c.at).label("at"), c.actor),
        *(c.key_arn, c.algorithm, c.signature, c.database_id),
    )
    return [
        (
            Checkpoint(
                row.seq,
                bytes(row.digest),
                moment_of(row.at),
                Signature(row.key_arn, row.algorithm, bytes(row.signature)),
                row.database_id,
            ),
            row.actor,
        )
        for row in connection.execute(select(*columns).order_by(c.id))
    ]


def _journaled(entry: JournalEntry) -> Checkpoint | None:
    """The checkpoint that an entry tells of, None if it tells of none."""
    if entry.action != ACTION or entry.outcome != Outcome.DONE:
        return None
    try:
        document = json.loads(entry.detail)
        return checkpoint_of(document) if isinstance(document, dict) else None
    except (ValueError, RecursionError, RefusedError):
        return None


def _named(checkpoint: Checkpoint) -> str:
    return f"The checkpoint over entry {checkpoint.seq} of {checkpoint.at:%Y-%m-%d %H:%M:%S} UTC"
