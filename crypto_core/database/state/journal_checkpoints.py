"""Checkpoints of the journal: the digest at its end, signed by a KMS key, kept beside it.

Whoever may write to the database as its owner can remove the newest entries with the row that counts them,
or make the chain anew from some entry on. A checkpoint tells both, for it can't be made anew without the key.
It is kept in the table and in the journal itself, each telling when the other is gone; a copy kept elsewhere
tells when both are.

A checkpoint anchors every entry up to its own. It is made by `keydeck journal checkpoint`, best by cron, and
when an incident is closed. A damaged journal gets none until its break is acknowledged: `journal_breaks`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import journal_checkpoint as table
from crypto_core.database.state.anchors.anchor import Anchor
from crypto_core.database.state.anchors.anchoring import Anchoring, AnchorOutcome
from crypto_core.database.state.checkpoint import ACTION, Checkpoint, JournalBreak, break_from
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal, chained, written_last
from crypto_core.database.state.journal_chain import Chain
from crypto_core.database.state.journal_entry import (
    JournalEntry,
    microseconds,
    moment_of,
)
from crypto_core.database.state.journal_verification import (
    JournalCheck,
    JournalVerification,
    StoredCheckpoint,
)
from crypto_core.errors import AnotherDatabaseError, EndedKeyError, RefusedError, SettingsError
from crypto_core.guard.guard import Guard
from crypto_core.guard.signature import Signature, Signer

_LOOK = "Look at all that is wrong: keydeck journal verify."


class JournalCheckpoints:
    """Makes checkpoints and checks the journal by them. Blocks on SQL and KMS."""

    def __init__(
        self,
        journal: Journal,
        signer: Signer | None,
        *,
        read_only: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        anchoring: Anchoring | None = None,
    ) -> None:
        """`signer` is None where no signing key is configured: then nothing is anchored. `anchoring` fixes
        checkpoints outside of the database, too.
        """
        self.anchoring = anchoring or Anchoring()
        self.journal = journal
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
        KmsError, MissingSchemaError, DatabaseError. What fails outside of the database is journaled alone.
        """
        return self.anchored_checkpoint()[0]

    def anchored_checkpoint(self) -> tuple[Checkpoint, bytes, tuple[AnchorOutcome, ...]]:
        """Make a checkpoint, as `checkpoint`; returns it, its time stamp and what came of it outside."""
        self._guard.may_change("make a checkpoint")
        self.require_signer()
        actor = self.journal.actor()
        with self._guard.recording(ACTION, "journal"):
            database_id = self.journal.database_id()
            last = self._end(database_id)
            return self.keep(last, database_id, actor)

    def require_signer(self) -> Signer:
        """Return what signs. Raises SettingsError without a signing key."""
        if self._signer is None:
            raise SettingsError(
                "No signing key is configured: the journal stays unanchored.",
                remedy="Set KEYDECK_SIGNING_KEY to a KMS key for signing (SIGN_VERIFY) or HMAC.",
            )
        return self._signer

    def keep(
        self, last: JournalEntry, database_id: str, actor: str, broken: JournalBreak | None = None
    ) -> tuple[Checkpoint, bytes, tuple[AnchorOutcome, ...]]:
        """Sign an entry, fix that outside, and keep it in the table and in the journal.

        Outside comes first: an anchor is over entries that are there, whatever becomes of the checkpoint.
        Raises as `checkpoint`.
        """
        drafted = Checkpoint(
            *(last.seq, last.digest, self._clock(), Signature("", "", b"")), database_id, broken=broken
        )
        signature = self.require_signer().sign(drafted.signed)
        made = replace(drafted, signature=signature)
        stamp, outcomes = self.anchoring.anchor(made)
        detail = made.as_json()
        if stamp:
            detail["time_stamp"] = b64encode(stamp).decode()
        if outcomes:
            detail["anchors"] = [outcome.as_json() for outcome in outcomes]
        told = json.dumps(detail, sort_keys=True, ensure_ascii=True)
        subject = f"journal up to entry {made.seq}"
        self.journal.call("record_checkpoint", subject, told, broken.canonical if broken else "", actor=actor)
        return made, stamp, outcomes

    def verify(
        self,
        *,
        kept: Sequence[Checkpoint] = (),
        anchors: Sequence[Anchor] = (),
        database_id: str = "",
        also: Sequence[str] = (),
    ) -> JournalCheck:
        """Check every entry and every checkpoint, those that were kept elsewhere, and all that is anchored.

        With a `database_id` the journal must be of that database; `also` are problems that were found before.
        Without a signing key, or where KMS can't be asked, signatures are left unchecked, and the result says
        so. Raises DatabaseError.
        """
        read = self.anchoring.read()
        given = (*anchors, *map(Anchor, kept), *read.anchors)
        found = (*also, *read.problems)
        return self.followed(given, database_id).check(self._signer, also=found, absent=read.absent)

    def followed(self, anchors: Sequence[Anchor] = (), database_id: str = "") -> JournalVerification:
        """Return the verification of all entries, to be checked by checkpoints. Raises DatabaseError."""
        with self.reading() as connection:
            verification = JournalVerification(
                written_last(connection),
                stored_checkpoints(connection),
                anchors,
                database_id=database_id,
                roots=self.anchoring.roots,
            )
            verification.follow(chained(connection))
        return verification

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of both tables.

        Else a checkpoint made meanwhile would seem to lack its entry. Raises DatabaseError.
        """
        with connected(self.journal.engine, snapshot=True) as connection:
            yield connection

    def breaks(self) -> tuple[Checkpoint, ...]:
        """Return the breaks that were acknowledged with a valid signature, the oldest first.

        None without a signing key. Raises KmsError, SettingsError, DatabaseError.
        """
        if self._signer is None:
            return ()
        with connected(self.journal.engine) as connection:
            found = [one.checkpoint for one in stored_checkpoints(connection, breaks=True)]
        return tuple(one for one in found if self._is_signed(one))

    def _is_signed(self, found: Checkpoint) -> bool:
        """Whether a checkpoint of the table is signed, by a key that had not ended when it was journaled."""
        when = self.journal.signing_time(ACTION, b64encode(found.signature.value).decode())
        try:
            return self.require_signer().verify(found.signed, found.signature, when)
        except EndedKeyError:
            return False

    def _end(self, database_id: str) -> JournalEntry:
        """The journal's last entry, once all since the last checkpoint has been looked at."""
        with connected(self.journal.engine) as connection:
            newest = self._newest(connection)
            if newest is not None and newest.database_id not in ("", database_id):
                raise AnotherDatabaseError(
                    *(str(newest),), expected=database_id, found=newest.database_id, remedy=_LOOK
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
                remedy=f"{_LOOK} Once it is known why, begin anew: keydeck journal break.",
            )
        if chain.last is None:
            raise RefusedError("The journal is empty: there is nothing to sign.")
        return chain.last

    def _newest(self, connection: Connection) -> Checkpoint | None:
        """The checkpoint over the newest entry, from the last acknowledged break on; None without one."""
        stored = [one.checkpoint for one in stored_checkpoints(connection)]
        begun = max((n for n, one in enumerate(stored) if one.broken is not None), default=0)
        since = stored[begun:]
        if since and since[0].broken is not None:
            first = since[0]
            if not self._is_signed(first):
                raise RefusedError(
                    f"The journal is not signed: {first} acknowledges a break, and is not signed by a "
                    "configured key.",
                    remedy=_LOOK,
                )
        return max(since, key=lambda one: one.seq, default=None)


def stored_checkpoints(connection: Connection, *, breaks: bool = False) -> list[StoredCheckpoint]:
    """Return all checkpoints of the table in their order, or those alone that acknowledge breaks."""
    c = table.c
    columns = (
        *(c.seq, c.digest, microseconds(c.at).label("at"), c.actor),
        *(c.key_arn, c.algorithm, c.signature, c.database_id, c.broken),
    )
    which = (c.broken != "",) if breaks else ()
    rows = connection.execute(select(*columns).where(*which).order_by(c.id))
    return [StoredCheckpoint(_checkpoint(row), row.actor) for row in rows]


def _checkpoint(row: Any) -> Checkpoint:
    signature = Signature(row.key_arn, row.algorithm, bytes(row.signature))
    return Checkpoint(
        *(row.seq, bytes(row.digest), moment_of(row.at), signature, row.database_id),
        broken=break_from(row.broken),
    )
