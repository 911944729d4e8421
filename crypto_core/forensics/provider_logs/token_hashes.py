"""The SHA-256 of tokens that an operator opened to compare them: by it GitHub's audit log names a token.

A token that is replaced keeps its hash here, so that any later use of it is found. No token can be told from
its hash: the providers' tokens have more randomness than anybody can try.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select, update

from crypto_core.forensics.provider_logs.event import milliseconds_of, moment_of
from crypto_core.forensics.provider_logs.mappings import hash_of
from crypto_core.forensics.provider_logs.store import bring_up_to_date, is_there, token_hash
from crypto_core.providers.service import ProviderService
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.dialect import upsert
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef


@dataclass(frozen=True, slots=True)
class KnownHash:
    """The hash of a token that a row holds, or held until `replaced_at`; `origin` says how it was noted."""

    ref: TokenRef
    token_hash: bytes
    origin: CleanText
    noted_at: datetime
    replaced_at: datetime | None = None


class TokenHashBook:
    """Keeps them beside the events. Thread-safe; blocks; raises EventStoreError."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def note(self, hashes: Mapping[TokenRef, bytes], origin: str, at: datetime) -> int:
        """Note what rows held at a moment, in any order; return how many hashes weren't known of them."""
        new = 0
        with self._file.writing() as connection:
            bring_up_to_date(connection)
            for ref, digest in hashes.items():
                key = _key(ref)
                values = {"reference": key, "token_hash": digest, "noted_at": milliseconds_of(at)}
                added = upsert(token_hash).values(**values, origin=clean(origin, 200))
                new += connection.execute(added.on_conflict_do_nothing()).rowcount
                same = (token_hash.c.reference == key, token_hash.c.token_hash == digest)
                earlier = token_hash.c.noted_at > values["noted_at"]
                connection.execute(
                    update(token_hash).where(*same, earlier).values(noted_at=values["noted_at"])
                )
                _put_in_order(connection, key)
        return new

    def known(self, refs: Iterable[TokenRef] | None = None) -> tuple[KnownHash, ...]:
        """Return the hashes of some rows, or of all, in the order in which they were noted."""
        columns = token_hash.c
        asked = select(
            *(columns.reference, columns.token_hash, columns.origin, columns.noted_at, columns.replaced_at)
        ).order_by(columns.noted_at)
        wanted = None if refs is None else {_key(ref) for ref in refs}
        with self._file.reading() as connection:
            rows = connection.execute(asked).all() if is_there(connection) else ()
        return tuple(
            KnownHash(
                _ref(row[0]),
                row[1],
                clean(row[2], 200),
                moment_of(row[3]),
                None if row[4] is None else moment_of(row[4]),
            )
            for row in rows
            if wanted is None or row[0] in wanted
        )


def _put_in_order(connection: Connection, key: str) -> None:
    """Each hash of a row is replaced by when the next one was noted."""
    asked = select(token_hash.c.token_hash, token_hash.c.noted_at).where(token_hash.c.reference == key)
    rows = connection.execute(asked.order_by(token_hash.c.noted_at)).all()
    ends = [*(row[1] for row in rows[1:]), None]
    for row, end in zip(rows, ends, strict=True):
        one = (token_hash.c.reference == key, token_hash.c.token_hash == row[0])
        connection.execute(update(token_hash).where(*one).values(replaced_at=end))


def _key(ref: TokenRef) -> str:
    """A reference as it is compared: none is another's, whatever is in a row's id."""
    return json.dumps([ref.table, ref.column, ref.row_id, ref.member])


def _ref(key: str) -> TokenRef:
    table, column, row_id, member = json.loads(key)
    return TokenRef(table, column, row_id, member)


_FIELD = "hashed_token:"


@dataclass(frozen=True, slots=True)
class NotedHashes(JsonRecord):
    """The tokens whose hashes are known now; `new` of them were not known before."""

    refs: tuple[TokenRef, ...]
    new: int
    without: tuple[TokenRef, ...]
    """Those that are none of GitHub's, or that don't open."""

    json_shape = shape("noted=refs ...")


@dataclass(frozen=True, slots=True)
class TokenHashing:
    """Notes them. Blocks on SQL and KMS."""

    providers: ProviderService
    book: TokenHashBook
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def note(self, refs: tuple[TokenRef, ...], origin: str) -> NotedHashes:
        """Open tokens and note what GitHub's audit log calls them.

        Raises InvalidReferenceError, RowVanishedError, DatabaseError, KmsError, EventStoreError.
        """
        queries = self.providers.hashed_queries(refs)
        hashes = {one.ref: digest for one in queries if (digest := digest_of(one.query)) is not None}
        new = self.book.note(hashes, origin, self.clock()) if hashes else 0
        return NotedHashes(tuple(hashes), new, tuple(ref for ref in refs if ref not in hashes))


def digest_of(query: str) -> bytes | None:
    """Return the hash that a query for GitHub's audit log has, None where it has none."""
    return hash_of(query.removeprefix(_FIELD).strip('"'))
