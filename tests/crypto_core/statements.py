"""Statements run by themselves, each call in a transaction of its own, and statements that were sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, TextClause, event, text


def execute(engine: Engine, *statements: str | TextClause, **given: Any) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement) if isinstance(statement, str) else statement, given)


def scalar(engine: Engine, statement: str | TextClause, **given: Any) -> Any:
    with engine.begin() as connection:
        return connection.scalar(text(statement) if isinstance(statement, str) else statement, given)


@contextmanager
def sent_by(engine: Any) -> Iterator[list[tuple[str, Any]]]:
    """Collect what an engine or a connection sends, with its parameters; `Engine` itself for all of them."""
    sent: list[tuple[str, Any]] = []

    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", keep)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", keep)
