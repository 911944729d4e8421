"""KMS's answers about single envelopes, cached by a digest of the stored value.

An answer holds for exactly one stored value, so a token that changes loses its answer by itself. Answers are
kept in Keydeck's schema where that is there and may be written, else in memory for as long as Keydeck runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.dialect import privilege_on
from crypto_core.database.schema import key_answer
from crypto_core.database.state.installation import is_newer
from crypto_core.database.tokens.expressions import is_among, unnested
from crypto_core.values.errors import DatabaseError
from crypto_core.values.key_names import is_key_arn, same_key

SHA256_BYTES = 32

Wrapping = tuple[str, str | None]


About = tuple[bytes | None, Wrapping]
"""A group's EDK prefix, None without a header, and a wrapping that KMS has named for it."""

Asked = Mapping[About, tuple[datetime, datetime]]


@dataclass(frozen=True, slots=True)
class KnownAttribution:
    """The answer about one stored value. `key_arn` is None for an envelope that can't be opened."""

    digest: bytes
    edk_prefix: bytes | None
    key_arn: str | None
    key_material_id: str | None
    reason: str = ""
    asked_at: datetime | None = field(default=None, compare=False)

    @property
    def wrapping(self) -> Wrapping | None:
        """None for an envelope that can't be opened."""
        return (self.key_arn, self.key_material_id) if self.key_arn else None


_ANSWER = ("edk_prefix", "key_arn", "key_material_id", "reason")
_KEPT = (*_ANSWER, "asked_at")


class AttributionCache:
    def __init__(self, engine: sa.Engine, *, read_only: bool = False) -> None:
        self._engine = engine
        self._read_only = read_only
        self._lock = threading.Lock()
        self._granted: set[str] = set()
        self._memory: dict[bytes, KnownAttribution] = {}
        self.heard: set[About] = set()
        """Named by KMS in this process; the rest is the table's word."""

    def known_groups(self) -> dict[bytes, frozenset[Wrapping]]:
        with connected(self._engine) as connection:
            return self.by_group(connection)

    def remember(self, answers: Iterable[KnownAttribution]) -> None:
        """Keep answers; the newer one about a value replaces the older."""
        now = datetime.now(UTC)
        batch = list({a.digest: replace(a, asked_at=a.asked_at or now) for a in answers}.values())
        if not batch:
            return
        self.heard.update((a.edk_prefix, a.wrapping) for a in batch if a.wrapping is not None)
        if not self._read_only and self._stored("INSERT"):
            try:
                self._store(batch)
            except DatabaseError:
                # A standby, or a grant taken away: the answers are still good for this run.
                self._read_only = True
            else:
                return
        with self._lock:
            self._memory.update({a.digest: a for a in batch})

    @repeated_if_rolled_back
    def _store(self, batch: list[KnownAttribution]) -> None:
        with connected(self._engine, write=True) as connection:
            _upsert(connection, batch)

    def by_group(self, connection: sa.Connection) -> dict[bytes, frozenset[Wrapping]]:
        """Return every wrapping that KMS has named for each EDK prefix; more than one is a conflict."""
        return named_by_group(self.asked(connection))

    def asked(self, connection: sa.Connection) -> Asked:
        """Return for every wrapping of each EDK prefix when KMS has named it first and last."""
        asked: dict[About, tuple[datetime, datetime]] = {}
        if self._stored("SELECT", connection):
            t = key_answer.c
            named = (t.edk_prefix, t.key_arn, t.key_material_id)
            times = sa.func.min(t.asked_at), sa.func.max(t.asked_at)
            rows = connection.execute(
                sa.select(*named, *times).where(t.key_arn.is_not(None)).group_by(*named)
            )
            for prefix, key_arn, material, first, last in rows:
                asked[bytes(prefix) if prefix else None, (key_arn, material)] = first, last
        with self._lock:
            for answer in self._memory.values():
                if answer.wrapping and answer.asked_at:
                    about, at = (answer.edk_prefix, answer.wrapping), answer.asked_at
                    first, last = asked.get(about, (at, at))
                    asked[about] = min(first, at), max(last, at)
        return asked

    def about(self, connection: sa.Connection, digests: Iterable[bytes]) -> Mapping[bytes, KnownAttribution]:
        wanted = list(digests)
        known: dict[bytes, KnownAttribution] = {}
        if wanted and self._stored("SELECT", connection):
            t = key_answer.c
            asked_about = is_among(t.envelope_digest, wanted, sa.LargeBinary)
            told = sa.select(t.envelope_digest, *(t[name] for name in _ANSWER)).where(asked_about)
            for digest, prefix, *rest in connection.execute(told):
                known[bytes(digest)] = KnownAttribution(
                    bytes(digest), bytes(prefix) if prefix else None, *rest
                )
        with self._lock:
            known.update({d: self._memory[d] for d in wanted if d in self._memory})
        return known

    def of(self, digest: bytes) -> KnownAttribution | None:
        return self.of_each([digest]).get(digest)

    def of_each(self, digests: Iterable[bytes]) -> Mapping[bytes, KnownAttribution]:
        with connected(self._engine) as connection:
            return self.about(connection, digests)

    def relation(self) -> sa.FromClause | None:
        """Return the answers as something to join, or None: digest, its mark (see `expressions.mark_of`),
        _ANSWER.
        """
        with self._lock:
            memory = list(self._memory.values())
        remembered = _as_select(memory) if memory else None
        if not self._stored("SELECT"):
            return None if remembered is None else remembered.subquery("answers")
        if remembered is None:
            return STORED_ANSWERS
        # One answer a value, the newer one: two would count the token twice.
        told_since = key_answer.c.envelope_digest.in_(sa.select(remembered.subquery().c.digest))
        older = _STORED.where(~told_since)
        both: sa.FromClause = remembered.union_all(older).subquery("answers")
        return both

    def _stored(self, privilege: str, connection: sa.Connection | None = None) -> bool:
        """True if the table is there and the role has the privilege on it, as `connection` says if given."""
        if privilege not in self._granted:
            own = connected(self._engine) if connection is None else nullcontext(connection)
            with own as asked:
                if not asked.scalar(_MAY, {"privilege": privilege}):
                    return False
                if privilege == "INSERT" and is_newer(asked):
                    self._read_only = True
                    return False
            # What is there stays there; a schema that isn't may be created at any time.
            self._granted.add(privilege)
        return True


def named_by_group(asked: Asked) -> dict[bytes, frozenset[Wrapping]]:
    groups: dict[bytes, set[Wrapping]] = {}
    for prefix, wrapping in asked:
        if prefix is not None:
            groups.setdefault(prefix, set()).add(wrapping)
    return {prefix: once_a_key(wrappings) for prefix, wrappings in groups.items()}


def once_a_key(wrappings: Iterable[Wrapping]) -> frozenset[Wrapping]:
    """Replicas of a multi-Region key are one key: of those that KMS has named, the first is kept.

    What is no key's ARN was no answer of KMS's.
    """
    kept: list[Wrapping] = []
    for arn, material in sorted(wrappings, key=str):
        if is_key_arn(arn) and not any(same_key(arn, other) and material == m for other, m in kept):
            kept.append((arn, material))
    return frozenset(kept)


_MAY = privilege_on("key_answer")


def _upsert(connection: sa.Connection, answers: list[KnownAttribution]) -> None:
    """One INSERT … SELECT FROM unnest(…): a list of parameters takes ten times as long."""
    types: dict[str, Any] = {"edk_prefix": sa.LargeBinary, "asked_at": sa.DateTime(timezone=True)}
    told = {name: ([getattr(a, name) for a in answers], types.get(name, sa.String)) for name in _KEPT}
    rows = unnested("told", {"envelope_digest": ([a.digest for a in answers], sa.LargeBinary), **told})
    statement = insert(key_answer).from_select(["envelope_digest", *_KEPT], sa.select(rows))
    newer = {name: statement.excluded[name] for name in _KEPT}
    connection.execute(statement.on_conflict_do_update(index_elements=["envelope_digest"], set_=newer))


def _as_select(answers: list[KnownAttribution]) -> sa.Select[Any]:
    types = {"digest": sa.LargeBinary, "edk_prefix": sa.LargeBinary}
    names = ("digest", *_ANSWER)
    columns = {name: ([getattr(a, name) for a in answers], types.get(name, sa.String)) for name in names}
    rows = unnested("remembered", columns)
    return sa.select(*_told(rows.c.digest, rows.c))


def _told(digest: Any, c: Any) -> list[Any]:
    mark = sa.func.substr(digest, 1, sa.func.length(digest) - SHA256_BYTES, type_=sa.LargeBinary)
    return [digest.label("digest"), mark.label("mark"), *(c[name] for name in _ANSWER)]


_STORED = sa.select(*_told(key_answer.c.envelope_digest, key_answer.c))
STORED_ANSWERS: sa.FromClause = _STORED.subquery("answers")
"""All answers that are stored, one object for all statements: what is made of it may be kept."""
