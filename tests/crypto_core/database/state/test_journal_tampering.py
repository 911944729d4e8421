"""Random single changes to the journal, a thousand of them, by whoever owns the database: each is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, delete, insert, text, update

from console.container import Container
from crypto_core.database.schema import journal as table
from crypto_core.database.state.journal import Journal, JournalEntry, chained
from crypto_core.database.state.journal_entry import NO_MOMENT, moment_of
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.journal import Chain
from tests.crypto_core.database.state.first_form import insert_first_form
from tests.crypto_core.statements import execute

QUICK = 80
SEED = 20_261_126
NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
TEXTS = ("actor", "host", "action", "subject", "outcome", "detail", "database_role")
KINDS = {*TEXTS, "at", "previous", "digest", "seq", "action, subject"}
KINDS |= {"numbers exchanged", "fields exchanged", "row removed", "row put in"}
HARD = ("é", "e\u0301", "ß", "日本", "\U0001f511", "", "[/red]", "%s", "\\", "'", '"', "ﬁ", "fi", "\ufeff")


@pytest.fixture
def filled(services: Container, superuser: Engine) -> Journal:
    """A journal of texts that a careless encoding would take for one another, and of odd moments.

    Its first half is of the first form.
    """
    offsets = (timedelta(0), timedelta(microseconds=1), timedelta(days=200), timedelta(days=-20_000))
    actor = "arn:aws:sts::1:role/ana, é"
    fields = [
        (f"rewrap{word}", f"{word}:{number}", list(Outcome)[number % 6], {"n": number, "é": word})
        for number, word in enumerate([*HARD, *HARD, *HARD][:40])
    ]
    old = [
        (actor, "host", a, subject, outcome.value, str(detail)) for a, subject, outcome, detail in fields[:20]
    ]
    with superuser.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        insert_first_form(connection, old, [NOW + offset for offset in offsets] * 5)
        connection.execute(text("DELETE FROM keydeck.journal_end"))
    journal = Journal(services.engine, lambda: actor)
    for action, subject, outcome, detail in fields[20:]:
        journal.record(action, subject, outcome, detail)
    return journal


@dataclass(frozen=True, slots=True)
class Tampering:
    """One change. `do` makes it; `told` says it in words, for a failure; `kind` is what it changes."""

    kind: str
    told: str
    do: Callable[[Connection], None]


def changed_text(draw: random.Random, value: str) -> str:
    """The text with one character changed, added, removed or moved, so that it differs."""
    at = draw.randrange(len(value) + 1)
    letter = draw.choice(("x", " ", "é", "\u0301", "A", "\u200b", "0"))
    kinds = [value[:at] + letter + value[at:], value + letter, value[:at] + letter + value[at + 1 :]]
    kinds += [value[:at] + value[at + 1 :], value.swapcase(), value[::-1], value.strip()]
    return draw.choice([kind for kind in kinds if kind != value])


def changed_bytes(draw: random.Random, value: bytes) -> bytes:
    """The bytes with one bit turned, or one byte less or more."""
    at = draw.randrange(len(value))
    turned = bytearray(value)
    turned[at] ^= 1 << draw.randrange(8)
    return draw.choice((bytes(turned), value[:-1], value + b"\0", b""))


def change_of(draw: random.Random, entries: tuple[JournalEntry, ...]) -> Tampering:
    """One random change of a journal of these entries."""
    entry = draw.choice(entries)
    kind = draw.choice(
        ("text",) * 6 + ("bytes", "bytes", "time", "time", "number", "move", "swap", "row", "row")
    )
    c = table.c

    def setting(**values: object) -> Tampering:
        statement = update(table).where(c.seq == entry.seq).values(values)
        told = f"entry {entry.seq}: {values!r}"
        return Tampering(", ".join(values), told, lambda on: on.execute(statement))

    if kind == "text":
        name = draw.choice(TEXTS)
        return setting(**{name: changed_text(draw, getattr(entry, name) or "")})
    if kind == "bytes":
        name = draw.choice(("previous", "digest"))
        return setting(**{name: changed_bytes(draw, getattr(entry, name))})
    if kind == "time":
        far = draw.choice(("infinity", "-infinity", "2026-11-24 12:00:00.123456+00 BC", "290000-01-01"))
        steps = (timedelta(microseconds=1), timedelta(seconds=1), timedelta(hours=1), timedelta(days=365))
        step = draw.choice(steps) * draw.choice((1, -1))
        return setting(at=far if draw.random() < 0.2 else entry.at + step)
    if kind == "number":
        return setting(seq=draw.choice((0, -1, len(entries) + 2, len(entries) + 1000)))
    if kind == "move":
        # The same text as before in all fields together, parted elsewhere.
        return setting(action=entry.action + entry.subject[:1], subject=entry.subject[1:])
    other = draw.choice([e for e in entries if e is not entry])
    if kind == "swap":
        return swapped(draw, entry, other)
    # The newest entry's removal is what only a checkpoint knows.
    entry = draw.choice(entries[:-1])
    if draw.random() < 0.5:
        gone = delete(table).where(c.seq == entry.seq)
        return Tampering("row removed", f"entry {entry.seq} removed", lambda on: on.execute(gone))
    return inserted(draw, entry, len(entries))


def swapped(draw: random.Random, entry: JournalEntry, other: JournalEntry) -> Tampering:
    """Two rows exchanged: their numbers, or all but their numbers and digests."""
    c = table.c
    if draw.random() < 0.5:
        numbers = [(entry.seq, -5), (other.seq, entry.seq), (-5, other.seq)]

        def exchange(on: Connection) -> None:
            for was, becomes in numbers:
                on.execute(update(table).where(c.seq == was).values(seq=becomes))

        told = f"the numbers of {entry.seq} and {other.seq} exchanged"
        return Tampering("numbers exchanged", told, exchange)

    def exchange_fields(on: Connection) -> None:
        for one, two in ((entry, other), (other, entry)):
            fields = {name: getattr(two, name) for name in (*TEXTS, "at")}
            on.execute(update(table).where(c.seq == one.seq).values(fields))

    told = f"the fields of {entry.seq} and {other.seq} exchanged"
    return Tampering("fields exchanged", told, exchange_fields)


def inserted(draw: random.Random, entry: JournalEntry, entries: int) -> Tampering:
    """A row too many: before the first, in between with the rest moved up, or the same number twice."""
    where = draw.choice(("before", "between", "twice", "behind"))

    def insert_row(on: Connection) -> None:
        seq = {"before": 0, "between": entry.seq + 1, "twice": entry.seq, "behind": entries + 1}[where]
        if where == "between":
            on.execute(text("UPDATE keydeck.journal SET seq = -seq WHERE seq > :after"), {"after": entry.seq})
            on.execute(text("UPDATE keydeck.journal SET seq = -seq + 1 WHERE seq < 0"))
        if where == "twice":
            on.execute(text("ALTER TABLE keydeck.journal DROP CONSTRAINT journal_pkey"))
        copy = {field.name: getattr(entry, field.name) for field in fields(JournalEntry)}
        on.execute(insert(table).values(copy | {"seq": seq}))

    return Tampering("row put in", f"a copy of {entry.seq} put in {where}", insert_row)


def found_in(connection: Connection) -> list[str]:
    """What the verifier says of the journal as a connection sees it, all of it."""
    chain = Chain()
    return [wrong for entry in chained(connection) if (wrong := chain.follow(entry))]


@pytest.mark.quick(1)
@pytest.mark.parametrize("changes", [QUICK, 1_000])
def test_each_random_change_is_found(filled: Journal, superuser: Engine, changes: int) -> None:
    draw, entries = random.Random(SEED), filled.entries()
    with superuser.connect() as connection:
        connection.execute(text("ALTER TABLE keydeck.journal DISABLE TRIGGER USER"))
        assert found_in(connection) == []
        unseen, made = [], set()
        for _ in range(changes):
            change = change_of(draw, entries)
            with connection.begin_nested() as savepoint:
                change.do(connection)
                made.add(change.kind)
                if not found_in(connection):
                    unseen.append(change.told)
                savepoint.rollback()
        assert unseen == []
        assert made == KINDS
        assert found_in(connection) == []
        connection.rollback()


def test_what_is_wrong_is_named_by_its_entry(filled: Journal, superuser: Engine) -> None:
    with superuser.connect() as connection:
        connection.execute(text("ALTER TABLE keydeck.journal DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE keydeck.journal SET at = 'infinity' WHERE seq = 4"))
        connection.execute(text("DELETE FROM keydeck.journal WHERE seq IN (11, 12)"))
        connection.execute(text("UPDATE keydeck.journal SET previous = sha256('x') WHERE seq = 30"))
        found = found_in(connection)
        connection.rollback()
    assert found == [
        "Entry 4 was changed.",
        "Entry 11 is missing: the next one is 13.",
        "Entry 30 does not follow the entry before it.",
    ]


def test_a_field_that_became_null_is_found_and_an_empty_one_is_another(
    filled: Journal, superuser: Engine
) -> None:
    with superuser.connect() as connection:
        connection.execute(text("ALTER TABLE keydeck.journal DISABLE TRIGGER USER"))
        for name in (*TEXTS, "at", "previous", "digest"):
            with connection.begin_nested() as savepoint:
                connection.execute(text(f"ALTER TABLE keydeck.journal ALTER {name} DROP NOT NULL"))
                connection.execute(text(f"UPDATE keydeck.journal SET {name} = NULL WHERE seq = 27"))
                assert found_in(connection)[:1] in (
                    ["Entry 27 was changed."],
                    ["Entry 27 does not follow the entry before it."],
                ), name
                savepoint.rollback()
        connection.rollback()


def test_nothing_of_the_session_makes_a_false_alarm(filled: Journal, superuser: Engine) -> None:
    """Zone, date style and float digits change how PostgreSQL writes a moment, not what it is."""
    with superuser.connect() as connection:
        for setting in ("timezone = 'Asia/Kathmandu'", "datestyle = 'German'", "extra_float_digits = -15"):
            connection.execute(text(f"SET LOCAL {setting}"))
        assert found_in(connection) == []


def test_a_copy_of_the_database_has_the_same_chain(filled: Journal, superuser: Engine) -> None:
    """As a dump that is restored writes the rows anew, in another order."""
    execute(
        superuser,
        "ALTER TABLE keydeck.journal DISABLE TRIGGER USER",
        "CREATE TEMP TABLE kept AS SELECT seq, at::text, actor, host, action, subject, outcome,"
        " detail, previous::text, digest::text, database_role, database_id, checked, transaction_id"
        " FROM keydeck.journal"
        " ORDER BY random()",
        "DELETE FROM keydeck.journal",
        "INSERT INTO keydeck.journal SELECT seq, at::timestamptz, actor, host, action, subject,"
        " outcome, detail, previous::bytea, digest::bytea, database_role, database_id, checked,"
        " transaction_id FROM kept",
    )
    assert filled.verify() is None
    assert len(filled.entries()) == 40


@pytest.mark.parametrize("told", [None, "", "NaN", "Infinity", "-Infinity", "1e40", "-99999999999999999"])
def test_a_moment_that_python_has_not_is_told_as_none_of_ours(told: str | None) -> None:
    assert moment_of(told) == NO_MOMENT


def test_a_moment_comes_back_to_the_microsecond_also_from_an_older_server() -> None:
    for moment in (NOW, NOW + timedelta(microseconds=1), datetime(1969, 7, 20, 20, 17, 40, 1, UTC)):
        micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        assert moment_of(f"{micros}.000000") == moment
        assert moment_of(repr(float(micros))) == moment


def test_a_long_journal_is_read_page_by_page(filled: Journal) -> None:
    with filled.engine.connect() as connection:
        entries = chained(connection)
        assert next(entries).seq == 1
        assert connection.scalar(text("SELECT count(*) FROM pg_cursors")) == 1
        assert [entry.seq for entry in entries] == list(range(2, 41))
        assert next(chained(connection, after=38)).seq == 39
