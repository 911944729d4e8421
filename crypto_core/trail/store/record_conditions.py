"""Conditions on records for SQLite: Python looks at the unpacked record, last of all conditions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import ColumnElement, func

from crypto_core.lists.filter_language import Alternative, Term
from crypto_core.lists.regular_expression import pattern
from crypto_core.trail.query import record_values
from crypto_core.trail.store.event_places import of_record, records_of

_NAME = "keydeck_record"


def register(connection: sqlite3.Connection) -> None:
    connection.create_function(_NAME, 3, _holds, deterministic=True)


def in_record(term: Term, number: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that the record of an event, by its number, holds what a term asks of it."""
    asked = [(a.text, a.literal, a.pattern.written if a.pattern else None) for a in term.alternatives]
    wanted = json.dumps([term.field, asked])
    return of_record(number, lambda body, place: getattr(func, _NAME)(wanted, body, place)) == 1


@lru_cache(maxsize=64)
def _read(wanted: str) -> tuple[str, Sequence[Alternative]]:
    field, asked = json.loads(wanted)
    return field, [
        Alternative(text=text, literal=literal, pattern=pattern(written) if written else None)
        for text, literal, written in asked
    ]


def _holds(wanted: str, block: bytes, place: int) -> bool:
    field, alternatives = _read(wanted)
    try:
        record = records_of(block)[place]
    except (IndexError, ValueError):
        return False  # it is damaged, and told when it is read
    return any(one.matches(value) for value in record_values(record, field) for one in alternatives)
