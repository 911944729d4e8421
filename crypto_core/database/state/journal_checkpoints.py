"""Checkpoints of the journal: the digest at its end, signed by a KMS key, kept beside it.

Whoever may write to the database as its owner can remove the newest entries with the row that counts them,
or make the chain anew from some entry on. A checkpoint tells both, for it can't be made anew without the key.
It is kept in the table and in the journal itself, each telling when the other is gone; a copy kept elsewhere
tells when both are.

A checkpoint anchors every entry up to its own. It is made by `keydeck journal checkpoint`, best by cron, and
when an incident is closed. A damaged journal gets none until its break is acknowledged: `journal_breaks`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import json_text
from crypto_core.database.schema import journal_checkpoint as table
from crypto_core.database.state.anchors.checkpoint_anchors import Anchoring, AnchorOutcome
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal, chained, written_last
from crypto_core.database.state.journal_entry import microseconds, moment_of
from crypto_core.database.state.journal_verification import ACTION, JournalCheck, break_from, check
from crypto_core.guard.guard import Guard
from crypto_core.guard.signature import Signature, Signer, asking
from crypto_core.proof import forms
from crypto_core.proof.journal import JournalVerification
from crypto_core.values.errors import RefusedError, SettingsError

_LOOK = "Look at all that is wrong: keydeck journal verify."


class JournalCheckpoints:
    def __init__(
        self,
        journal: Journal,
        signer: Signer | None,
        *,
        read_only: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        anchoring: Anchoring | None = None,
    ) -> None:
        """Without a `signer` nothing is anchored; `anchoring` fixes checkpoints outside of the database."""
        self.anchoring = anchoring or Anchoring()
        self.journal = journal
        self._signer = signer
        self._read_only = read_only
        self._clock = clock
        self._guard = Guard(journal, read_only=read_only, ready=require_schemas(journal.engine))

    @property
    def possible(self) -> bool:
        return self._signer is not None and not self._read_only

    def checkpoint(self) -> forms.Checkpoint:
        """Sign the journal's end as it is now, and keep that. Journaled, failures and refusals too.

        All of it is verified before, as `verify` does; a place outside that is gone or can't be read holds
        nothing up: it is named when the checkpoint is put there. Raises ReadOnlyError,
        SettingsError without a signing key or with one that can't sign, RefusedError for a journal that is
        empty or broken, KmsError, MissingSchemaError, DatabaseError. What fails outside of the database is
        journaled alone.
        """
        return self.anchored_checkpoint()[0]

    def anchored_checkpoint(self) -> tuple[forms.Checkpoint, bytes, tuple[AnchorOutcome, ...]]:
        self._guard.may_change("make a checkpoint")
        self.require_signer()
        actor = self.journal.actor()
        with self._guard.recording(ACTION, "journal"):
            last = self._end()
            return self.keep(last, self.journal.database_id(), actor)

    def require_signer(self) -> Signer:
        if self._signer is None:
            raise SettingsError(
                "No signing key is configured: the journal stays unanchored.",
                remedy="Set KEYDECK_SIGNING_KEY to a KMS key for signing (SIGN_VERIFY) or HMAC.",
            )
        return self._signer

    def keep(
        self, last: forms.JournalEntry, database_id: str, actor: str, broken: forms.JournalBreak | None = None
    ) -> tuple[forms.Checkpoint, bytes, tuple[AnchorOutcome, ...]]:
        """Sign an entry, fix that outside, and keep it in the table and in the journal.

        Outside comes first: an anchor is over entries that are there, whatever becomes of the checkpoint.
        Raises as `checkpoint`.
        """
        drafted = forms.Checkpoint(
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
        told = json_text(detail, sort_keys=True)
        subject = f"journal up to entry {made.seq}"
        acknowledged = forms.canonical(broken.as_json()) if broken else ""
        self.journal.call("record_checkpoint", subject, told, acknowledged, actor=actor)
        return made, stamp, outcomes

    def verify(
        self,
        *,
        kept: Sequence[forms.Checkpoint] = (),
        anchors: Sequence[forms.Anchor] = (),
        database_id: str = "",
        also: Sequence[str] = (),
    ) -> JournalCheck:
        """Check every entry and every checkpoint, those that were kept elsewhere, and all that is anchored.

        With a `database_id` the journal must be of that database; `also` are problems that were found before.
        Without a signing key, or where KMS can't be asked, signatures are left unchecked, and the result says
        so. Raises DatabaseError.
        """
        return self.verified(kept=kept, anchors=anchors, database_id=database_id, also=also)[1]

    def verified(
        self,
        *,
        kept: Sequence[forms.Checkpoint] = (),
        anchors: Sequence[forms.Anchor] = (),
        database_id: str = "",
        also: Sequence[str] = (),
    ) -> tuple[JournalVerification, JournalCheck]:
        """Return how the journal was followed, and what `verify` returns. Raises DatabaseError."""
        read = self.anchoring.read()
        given = (*anchors, *map(forms.Anchor, kept))
        followed = self.followed(read.anchors, database_id, given=given)
        return followed, check(followed, self._signer, also=(*also, *read.problems), absent=read.absent)

    def followed(
        self,
        anchors: Sequence[forms.Anchor] = (),
        database_id: str = "",
        *,
        given: Sequence[forms.Anchor] = (),
    ) -> JournalVerification:
        with self.reading() as connection:
            verification = JournalVerification(
                written_last(connection),
                stored_checkpoints(connection),
                anchors,
                given=given,
                database_id=database_id,
                stamp_time=self.anchoring.roots.vouched if self.anchoring.roots else None,
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

    def _end(self) -> forms.JournalEntry:
        followed = self.followed(self.anchoring.read().anchors)
        wrong = followed.judge(asking(self._signer, raising=True))
        if wrong.problems:
            raise RefusedError(
                f"The journal is broken, and is not signed: {' '.join(wrong.problems[:3])}",
                remedy=f"{_LOOK} Once it is known why, begin anew: keydeck journal break.",
            )
        if followed.chain.last is None:
            raise RefusedError("The journal is empty: there is nothing to sign.")
        return followed.chain.last


def stored_checkpoints(connection: Connection) -> list[forms.StoredCheckpoint]:
    """Return all checkpoints of the table in their order."""
    c = table.c
    columns = (
        *(c.seq, c.digest, microseconds(c.at).label("at"), c.actor),
        *(c.key_arn, c.algorithm, c.signature, c.database_id, c.broken),
    )
    rows = connection.execute(select(*columns).order_by(c.id))
    return [forms.StoredCheckpoint(_checkpoint(row), row.actor) for row in rows]


def _checkpoint(row: Any) -> forms.Checkpoint:
    signature = Signature(row.key_arn, row.algorithm, bytes(row.signature))
    return forms.Checkpoint(
        *(row.seq, bytes(row.digest), moment_of(row.at), signature, row.database_id),
        broken=break_from(row.broken),
    )
