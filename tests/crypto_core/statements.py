"""Statements run by themselves, each call in a transaction of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, TextClause, text


def execute(engine: Engine, *statements: str | TextClause, **given: Any) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement) if isinstance(statement, str) else statement, given)


def scalar(engine: Engine, statement: str | TextClause, **given: Any) -> Any:
    with engine.begin() as connection:
        return connection.scalar(text(statement) if isinstance(statement, str) else statement, given)
