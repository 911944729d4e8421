"""Statements that change a test's own database."""

from __future__ import annotations

from sqlalchemy import Engine, text


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
