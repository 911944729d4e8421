"""What a reader of the platform's database gets: envelopes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import select

from console.sandbox import platform
from crypto_core.envelope import ENVELOPE_FORMATS, Envelope, classify, parse
from crypto_core.values.errors import EnvelopeError
from crypto_core.values.references import TokenRef

_TOKEN_COLUMNS = ("access_token", "refresh_token", "bot_token")


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored value that isn't empty. `envelope` is None where it is none, or none that can be read."""

    ref: TokenRef
    organisation: str
    envelope: Envelope | None = field(repr=False)


def read_all(database_url: str) -> tuple[Stored, ...]:
    """Return every stored token of the platform's tables, read as the platform. Raises DatabaseError."""
    found: list[Stored] = []
    with platform.platform_connection(database_url) as connection:
        for table in platform.metadata.sorted_tables:
            columns = [column for column in _TOKEN_COLUMNS if column in table.c]
            for row in connection.execute(select(table).order_by(table.c.id)).mappings():
                for column in columns:
                    if row[column]:
                        ref = TokenRef(table.name, column, str(row["id"]))
                        found.append(Stored(ref, str(row["org_id"]), _envelope(row[column])))
    return tuple(found)


def _envelope(stored: str) -> Envelope | None:
    if classify(stored).format not in ENVELOPE_FORMATS:
        return None
    try:
        return parse(stored)
    except EnvelopeError:
        return None


def seal_mark(envelope: Envelope) -> bytes:
    """Return what tells two sealings of a token apart, and is the same after a rewrap."""
    *_, nonce, ciphertext = envelope.to_fields()  # a rewrap leaves both as they are
    return hashlib.sha256(nonce + ciphertext).digest()


def envelopes(stored: tuple[Stored, ...]) -> Iterator[tuple[TokenRef, Envelope]]:
    for one in stored:
        if one.envelope is not None:
            yield one.ref, one.envelope
