"""Tokens that a job can't write, each with the reason, until a retry writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, func, select, tuple_, update
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import insert

from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import job_token
from crypto_core.database.tokens.expressions import is_among
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.values.clean_text import clean
from crypto_core.values.references import TokenRef

_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Unwritable:
    ref: TokenRef
    kind: str
    reason: str


class UnwritableStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, connection: Connection, job_id: int, tokens: Sequence[Unwritable]) -> None:
        if not tokens:
            return
        rows = [
            {
                "job_id": job_id,
                "token_column": f"{t.ref.table}.{t.ref.column}",
                "row_id": t.ref.identity,
                "kind": clean(t.kind, 100),
                "reason": clean(t.reason, 2000),
                "attempts": 1,
                "last_at": func.clock_timestamp(),
            }
            for t in {t.ref: t for t in tokens}.values()
        ]
        statement = insert(job_token).values(rows)
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["job_id", "token_column", "row_id"],
                set_={
                    "kind": new.kind,
                    "reason": new.reason,
                    "attempts": job_token.c.attempts + 1,
                    "last_at": new.last_at,
                    "resolved_at": None,
                },
            )
        )

    def listed(self, job_id: int, kind: str = "", *, limit: int) -> tuple[Unwritable, ...]:
        """Return unwritable tokens, of one kind or all, in order."""
        c = job_token.c
        statement = select(c.token_column, c.row_id, c.kind, c.reason).where(*_open(job_id, kind))
        with connected(self._engine) as connection:
            rows = connection.execute(statement.order_by(c.token_column, c.row_id).limit(limit)).all()
        return tuple(
            Unwritable(TokenColumn.named(column).token(row_id), k, reason)
            for column, row_id, k, reason in rows
        )

    def pages(self, connection: Connection, job_id: int) -> Iterator[list[TokenRef]]:
        c = job_token.c
        after: tuple[str, str] = ("", "")
        while True:
            rows = connection.execute(
                select(c.token_column, c.row_id)
                .where(*_open(job_id), tuple_(c.token_column, c.row_id) > tuple_(*after))
                .order_by(c.token_column, c.row_id)
                .limit(_PAGE)
            ).all()
            if not rows:
                return
            after = (rows[-1][0], rows[-1][1])
            yield [TokenColumn.named(column).token(row_id) for column, row_id in rows]

    def among(self, job_id: int, of: TokenColumn, ids: Sequence[str]) -> frozenset[str]:
        c = job_token.c
        wanted = is_among(c.row_id, ids, SqlText)
        statement = select(c.row_id).where(*_open(job_id), c.token_column == str(of), wanted)
        with connected(self._engine) as connection:
            return frozenset(connection.scalars(statement))

    def has(self, connection: Connection, job_id: int, kind: str, *, attempts: int) -> bool:
        """Whether some of a kind were tried less often."""
        tried = job_token.c.attempts < attempts
        found = select(func.count()).select_from(job_token).where(*_open(job_id, kind), tried)
        return bool(connection.scalar(found))

    def reopen(
        self, connection: Connection, job_id: int, kind: str = "", *, attempts: int | None = None
    ) -> list[TokenRef]:
        """Forget the reasons and return the tokens, but for those tried `attempts` times."""
        c = job_token.c
        where = [*_open(job_id, kind), *([] if attempts is None else [c.attempts < attempts])]
        statement = update(job_token).where(*where).values(resolved_at=func.clock_timestamp())
        rows = connection.execute(statement.returning(c.token_column, c.row_id)).all()
        return [TokenColumn.named(column).token(row_id) for column, row_id in rows]


def _open(job_id: int, kind: str = "") -> list[ColumnElement[bool]]:
    c = job_token.c
    return [c.job_id == job_id, c.resolved_at.is_(None), *([c.kind == kind] if kind else [])]
