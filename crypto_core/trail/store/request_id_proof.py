"""Whether KMS's request ids are CloudTrail's: what is known of it in each account, beside the events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Table, inspect, select

from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.dialect import upsert
from crypto_core.trail.store.schema import metadata, numbers, texts

request_id_proof = Table(
    "request_id_proof",
    metadata,
    *texts("account", key=True),
    *numbers("asked_at"),
    *texts("ids"),
    *numbers("confirmed_at"),
)
"""`ids` are the request ids that KMS answered with, `confirmed_at` is 0 until CloudTrail has both."""


@dataclass(frozen=True, slots=True)
class RequestIdProof:
    """The calls that were made to prove it, and when CloudTrail's records of them were found, if ever."""

    asked_at: datetime
    request_ids: tuple[str, ...]
    confirmed_at: datetime | None


def proof_of(file: StoreFile, account: str) -> RequestIdProof | None:
    """Return what is known of an account; None where nothing was ever asked. Raises EventStoreError."""
    with file.reading() as connection:
        if not inspect(connection).has_table(request_id_proof.name):
            return None
        asked = select(request_id_proof).where(request_id_proof.c.account == account)
        row = connection.execute(asked).one_or_none()
    if row is None:
        return None
    confirmed = moment(row.confirmed_at) if row.confirmed_at else None
    return RequestIdProof(moment(row.asked_at), tuple(row.ids.split()), confirmed)


def note_proof(file: StoreFile, account: str, proof: RequestIdProof) -> None:
    """Note what is known now. Raises EventStoreError."""
    values = {
        "asked_at": seconds(proof.asked_at),
        "ids": " ".join(proof.request_ids),
        "confirmed_at": seconds(proof.confirmed_at) if proof.confirmed_at else 0,
    }
    with file.writing() as connection:
        request_id_proof.create(connection, checkfirst=True)
        noted = upsert(request_id_proof).values(account=account, **values)
        connection.execute(noted.on_conflict_do_update(["account"], set_=values))


def confirmed(file: StoreFile) -> dict[str, datetime]:
    """Return the accounts in which it was confirmed, and when. Raises EventStoreError."""
    with file.reading() as connection:
        if not inspect(connection).has_table(request_id_proof.name):
            return {}
        asked = select(request_id_proof.c.account, request_id_proof.c.confirmed_at)
        rows = connection.execute(asked.where(request_id_proof.c.confirmed_at != 0)).all()
    return {account: moment(at) for account, at in rows}
