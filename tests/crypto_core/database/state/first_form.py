"""Entries of the journal as consoles inserted them before PostgreSQL made them: with times of their own."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import Connection, text

from crypto_core.proof.forms import FIRST, JournalEntry

_INSERT = text(
    "INSERT INTO keydeck.journal (seq, at, actor, host, action, subject, outcome, detail, previous, digest)"
    " VALUES (:seq, :at, :actor, :host, :action, :subject, :outcome, :detail, :previous, :digest)"
)


def insert_first_form(connection: Connection, texts: list[tuple[str, ...]], moments: list[datetime]) -> None:
    """Begin an empty journal with entries: actor, host, action, subject, outcome, detail of each."""
    digest = FIRST
    for number, (fields, at) in enumerate(zip(texts, moments, strict=True), 1):
        entry = JournalEntry(number, at, *fields, previous=digest, digest=b"")  # type: ignore[misc]
        entry = replace(entry, digest=entry.computed_digest())
        connection.execute(_INSERT, asdict(entry))
        digest = entry.digest
