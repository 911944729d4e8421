"""A restored database: its tokens counted and opened, every session read only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from hashlib import sha256
from threading import Event
from typing import Any

from sqlalchemy import Engine, func, literal, select
from sqlalchemy import Text as SqlText

from crypto_core.database.connection.engine import TokenSource, connected, open_engine
from crypto_core.database.dialect import IDENTITY
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.census import take_census
from crypto_core.database.tokens.decoys import ReadDecoys, no_decoys
from crypto_core.database.tokens.expressions import table_of
from crypto_core.database.tokens.store import TokenScope, TokenStore
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenTable
from crypto_core.envelope import Format
from crypto_core.incidents.steps.step_contracts import Progress
from crypto_core.incidents.tokens.verification_result import Verified, share, verified_of
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.verification import Verifier
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import TokenRef

_TOKENS = frozenset(f for f in Format if f is not Format.EMPTY)


class RestoredTokens:
    """A restored database while it is looked at. Nothing is written to it: KMS's answers stay in memory.

    Blocks on SQL and KMS; raises DatabaseError, and KmsError where tokens are opened.
    """

    def __init__(
        self,
        engine: Engine,
        keyring: KmsKeyring,
        tables: Iterable[TokenTable] = PLATFORM_TABLES,
        decoys: ReadDecoys = no_decoys,
    ) -> None:
        """`decoys` reads those of the database that it was restored from: they stand in it too."""
        self._engine = engine
        self._catalogue = LiveCatalogue(engine, tables, decoys=decoys)
        self._answers = AttributionCache(engine, read_only=True)
        self._store = TokenStore(engine, self._catalogue, self._answers)
        self._verifier = Verifier(keyring, self._store, self._catalogue, self._answers)

    def tokens(self) -> int:
        return self._store.count(TokenScope(_TOKENS)).total()

    def verify(
        self, sample: int, salt: str, *, progress: Progress | None = None, cancelled: Event | None = None
    ) -> Verified:
        """Open a sample of its tokens, each column by its share, 0 for all; `salt` decides which."""
        counts = self._store.count(TokenScope(_TOKENS))
        number = counts.total()
        scope = TokenScope(_TOKENS)
        if sample and sample < number:
            refs = tuple(sorted(self._sampled(sample, salt, counts, number)))
            scope = TokenScope(_TOKENS, references=refs)
        return verified_of(self._verifier, scope, number, progress, cancelled)

    def census(self, *, cancelled: Event | None = None) -> dict[str, Any]:
        """Return its tokens by format and column, and the newest row of each table."""
        census = take_census(self._engine, self._catalogue, self._answers, cancelled=cancelled)
        columns: dict[str, dict[str, int]] = {}
        for group in census.groups:
            own = columns.setdefault(group.column, {})
            own[group.format.value] = own.get(group.format.value, 0) + group.tokens
        formats = {f.value: sum(own.get(f.value, 0) for own in columns.values()) for f in Format}
        return {
            "taken_at": census.taken_at.isoformat(),
            "tokens": sum(formats.values()),
            "by_format": formats,
            "by_column": columns,
            "newest_rows": {name: at.isoformat() for name, at in self._newest()},
            "gaps": list(census.catalogue.gaps),
        }

    def _newest(self) -> Iterator[tuple[str, datetime]]:
        """When the youngest row of each table was made: how much of the time before the loss is there."""
        for table in self._catalogue().tables:
            if table.created is None:
                continue
            with connected(self._engine) as connection:
                at = connection.scalar(select(func.max(table_of(table).c[table.created])))
            if isinstance(at, datetime):
                yield table.name, at

    def _sampled(self, sample: int, salt: str, counts: Mapping[str, int], number: int) -> Iterator[TokenRef]:
        salted = literal(sha256(salt.encode()).hexdigest(), SqlText)
        for source, condition in self._store.scoped(TokenScope(_TOKENS)):
            identifier = source.id_text
            some = (
                select(identifier)
                .where(condition)
                # Not md5: a PostgreSQL in FIPS mode has none.
                .order_by(func.sha256(func.convert_to(salted + identifier, "UTF8")), identifier)
                .limit(share(sample, counts.get(source.name, 0), number))
            )
            with connected(self._engine) as connection:
                yield from map(source.ref, connection.scalars(some))


OpenRestored = Callable[[str], AbstractContextManager[RestoredTokens]]
"""Opens the restored database that the settings know by a name. Raises SettingsError for another name."""


@contextmanager
def restored_at(
    url: str,
    keyring: KmsKeyring,
    tables: Iterable[TokenTable] = PLATFORM_TABLES,
    *,
    in_use: Engine | None = None,
    setting: str = "KEYDECK_DATABASES",
    token_source: TokenSource | None = None,
    decoys: ReadDecoys = no_decoys,
) -> Iterator[RestoredTokens]:
    """Give the restored database at a URL, every session of it read only.

    Raises RefusedError if it is the database that is `in_use`: a drill on that proves nothing. Raises
    SettingsError for what is no URL, DatabaseError.
    """
    engine = open_engine(url, read_only=True, setting=setting, token_source=token_source)
    try:
        if in_use is not None and _which(engine) == _which(in_use):
            raise RefusedError(
                "This is the database in use, not a restored one.",
                remedy="Restore a backup into a database of its own, and name that in the settings file.",
            )
        yield RestoredTokens(engine, keyring, tables, decoys)
    finally:
        engine.dispose()


def _which(engine: Engine) -> tuple[Any, ...]:
    with connected(engine) as connection:
        return tuple(connection.execute(IDENTITY).one())
