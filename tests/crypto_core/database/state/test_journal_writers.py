"""Nobody writes the journal but its function, which says who had logged in, and goes on behind damage."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from console.container import Container
from console.sandbox.postgres import OPERATOR, PLATFORM
from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.database.dialect import clock_now
from crypto_core.database.state.installation import install
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.diagnosis import Check, CheckOutcome
from crypto_core.diagnosis.database import DatabasePlace, look_at_database
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import KeydeckRole
from crypto_core.values import errors
from tests.adversary.ground import role_of
from tests.crypto_core.database.state.conftest import upgrade
from tests.crypto_core.database.state.first_form import insert_first_form
from tests.crypto_core.statements import execute, sent_by

LAST = 2**63 - 1
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
APPEND = text("SELECT keydeck.append_to_journal(:actor, 'host', :action, 'subject', 'done', :detail)")
FORGED = (
    "INSERT INTO keydeck.journal (seq, at, actor, host, action, subject, outcome, detail, previous, digest,"
    " database_role) VALUES ({seq}, '2020-01-01Z', 'ben', 'h', 'rewrap', 's', 'done', '{{}}',"
    " sha256('x'), sha256('y'), 'operator')"
)
WRITES = (
    FORGED.format(seq=2),
    "UPDATE keydeck.journal SET actor = 'ben'",
    "DELETE FROM keydeck.journal",
    "TRUNCATE keydeck.journal",
    "LOCK TABLE keydeck.journal IN SHARE MODE",
    "UPDATE keydeck.journal_end SET seq = 7",
    "DELETE FROM keydeck.journal_end",
    "INSERT INTO keydeck.journal_end SELECT 2, seq, digest, at, beyond FROM keydeck.journal_end",
    "SELECT seq FROM keydeck.journal_end FOR KEY SHARE",
    "LOCK TABLE keydeck.journal_end IN ROW SHARE MODE",
    "ALTER TABLE keydeck.journal DISABLE TRIGGER USER",
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION operator",
)


class Somebody:
    """A database role with what `keydeck grants` prints, and nothing else."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, str(engine.url.username)
        self.journal = Journal(engine, lambda: f"arn:{self.name}, database role {self.name}")


@pytest.fixture
def somebody(services: Container, superuser: Engine) -> Iterator[Callable[[KeydeckRole], Somebody]]:
    """Makes such roles."""
    with ExitStack() as stack:
        yield lambda role: Somebody(stack.enter_context(role_of(role, services, superuser)))


@pytest.fixture
def responder(somebody: Callable[[KeydeckRole], Somebody]) -> Somebody:
    return somebody(KeydeckRole.RESPONDER)


def problems(services: Container) -> tuple[str, ...]:
    return JournalCheckpoints(services.journal, None, read_only=False).verify().problems


def doctor(url: str) -> Check:
    checks = look_at_database(DatabasePlace(url, "DATABASE_URL", "database", read_only=False), Event())
    return next(check for check in checks if check.name == "journal")


@pytest.mark.parametrize("role", list(KeydeckRole))
def test_no_documented_role_may_write_or_lock_the_journal_itself(
    somebody: Callable[[KeydeckRole], Somebody], services: Container, role: KeydeckRole
) -> None:
    services.journal.record("rewrap", "x", Outcome.DONE)
    one, before = somebody(role), services.journal.entries()
    for statement in WRITES:
        with pytest.raises(DBAPIError) as caught, one.engine.begin() as connection:
            connection.execute(text(statement))
        assert caught.value.orig.pgcode == "42501", statement  # type: ignore[union-attr]
    assert services.journal.entries() == before
    assert services.journal.verify() is None


def test_an_inspector_may_not_make_entries_and_is_told_the_grant(
    somebody: Callable[[KeydeckRole], Somebody],
) -> None:
    with pytest.raises(errors.MissingGrantError) as caught:
        somebody(KeydeckRole.INSPECTOR).journal.record("rewrap", "x", Outcome.DONE)
    assert "GRANT EXECUTE ON FUNCTION keydeck.append_to_journal TO" in caught.value.remedy


def test_an_insert_is_refused_even_where_somebody_granted_everything(
    responder: Somebody, superuser: Engine, database_url: str
) -> None:
    execute(superuser, f"GRANT ALL ON ALL TABLES IN SCHEMA keydeck TO {responder.name}")
    alone = r"written by keydeck\.append_to_journal alone"
    with pytest.raises(DBAPIError, match=alone), responder.engine.begin() as connection:
        connection.execute(text(FORGED.format(seq=1)))
    check = doctor(database_url)
    assert check.outcome is CheckOutcome.WARNING
    assert f"{responder.name}: DELETE, INSERT, TRIGGER, TRUNCATE, UPDATE on keydeck.journal;" in check.said
    execute(superuser, check.remedy)
    assert doctor(database_url).outcome is CheckOutcome.OK


def test_who_calls_chooses_neither_the_role_nor_the_time_nor_the_place(
    responder: Somebody, services: Container, superuser: Engine
) -> None:
    services.journal.record("rewrap", "before", Outcome.DONE)
    execute(superuser, f"GRANT {OPERATOR} TO {responder.name}")
    with responder.engine.begin() as connection:
        connection.execute(text(f"SET ROLE {OPERATOR}"))
        connection.execute(text("SET timezone = 'Asia/Kathmandu'"))
        connection.execute(text("SET datestyle = 'German'"))
        with superuser.connect() as another:
            earliest = clock_now(another)
        connection.execute(
            APPEND, {"actor": "arn:ben, database role operator", "action": "rewrap", "detail": "{}"}
        )
    with superuser.begin() as connection:
        latest = clock_now(connection)
        connection.execute(text(f"REVOKE {OPERATOR} FROM {responder.name}"))
    before, entry = services.journal.entries()
    assert (entry.database_role, before.database_role) == (responder.name, OPERATOR)
    assert earliest <= entry.at <= latest
    assert (entry.seq, entry.previous) == (2, before.digest)
    assert services.journal.verify() is None


def test_nothing_in_the_callers_session_stands_in_for_what_the_function_uses(
    responder: Somebody, services: Container, superuser: Engine
) -> None:
    """Types, tables, functions and operators of the caller's are found first where no path is pinned."""
    execute(
        superuser,
        f"CREATE SCHEMA evil AUTHORIZATION {responder.name}",
        f"GRANT TEMPORARY ON DATABASE {superuser.url.database} TO PUBLIC",
    )
    with responder.engine.begin() as connection:
        for statement in [
            "SET search_path = evil, pg_temp, pg_catalog",
            "CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT 'x'::bytea $$",
            "CREATE FUNCTION evil.clock_timestamp() RETURNS date LANGUAGE sql AS $$ SELECT date '2020-1-1'$$",
            "CREATE FUNCTION evil.ne(name, name) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$",
            "CREATE OPERATOR evil.<> (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.ne)",
            "CREATE TEMP TABLE journal_end AS SELECT 1 AS id, 40::bigint AS seq",
            "CREATE DOMAIN pg_temp.bytea AS pg_catalog.bytea CHECK (VALUE IS NULL)",
            "CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (VALUE IS NULL)",
        ]:
            connection.execute(text(statement))
        connection.execute(text("SELECT keydeck.append_to_journal('a', 'h', 'rewrap', 's', 'done', '{}')"))
    (entry,) = services.journal.entries()
    assert (entry.seq, entry.database_role) == (1, responder.name)
    assert abs(entry.at - datetime.now(UTC)) < timedelta(minutes=5)
    assert services.journal.verify() is None


def hostile(draw: random.Random) -> str:
    """A text that PostgreSQL can hold, of whatever characters."""
    some = [chr(n) for n in (*range(1, 33), 127, 0x85, 0x200B, 0x202E, 0xFEFF, 0xFFFF, 0x10FFFF, 0x1F511)]
    some += list("é\u0301ßﬁ日'\"\\%{}:$/ aZ09")
    return "".join(draw.choice(some) for _ in range(draw.randrange(12)))


def test_postgresql_computes_the_digest_that_python_does_of_whatever_text(
    responder: Somebody, services: Container
) -> None:
    draw = random.Random(20_261_128)
    texts = ["", "x" * 1_000_000, "日" * 100_000, "\\x00", "v2", "1", *(hostile(draw) for _ in range(100))]
    with responder.engine.begin() as connection:
        for value in texts:
            fields = {"actor": value, "action": hostile(draw), "detail": hostile(draw)}
            connection.execute(APPEND, fields)
    entries = services.journal.entries()
    assert [entry.actor for entry in entries] == texts
    assert [entry.seq for entry in entries if entry.digest != entry.computed_digest()] == []
    assert services.journal.verify() is None


def test_an_entry_takes_one_statement_and_none_in_a_read_only_session(
    responder: Somebody, services: Container
) -> None:
    with connected(responder.engine, write=True) as connection, sent_by(connection) as statements:
        responder.journal.record("rewrap", "x", Outcome.DONE, within=connection)
    assert len(statements) == 1
    reading = open_engine(services.engine.url.render_as_string(hide_password=False), read_only=True)
    with pytest.raises(errors.DatabaseReadOnlyError):
        Journal(reading, lambda: "a").record("rewrap", "x", Outcome.DONE)
    reading.dispose()
    assert len(services.journal.entries()) == 1


def test_no_entry_is_before_the_one_before_it(services: Container, forge: Callable[..., None]) -> None:
    services.journal.record("rewrap", "one", Outcome.DONE)
    forge("UPDATE keydeck.journal_end SET at = clock_timestamp() + interval '1 hour'")
    services.journal.record("rewrap", "two", Outcome.DONE)
    services.journal.record("rewrap", "three", Outcome.DONE)
    one, two, three = services.journal.entries()
    assert one.at + timedelta(minutes=59) < two.at == three.at
    assert services.journal.verify() is None
    check = doctor(services.engine.url.render_as_string(hide_password=False))
    assert (check.outcome, "ahead of the server's clock" in check.said) == (CheckOutcome.WARNING, True)


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to a journal of three entries; what is said of it once two more were written."""

    statements: tuple[str, ...]
    says: str
    recorded: bool = True
    """True if the function notices by itself, and an entry of its own comes before the next."""


DAMAGES = {
    "the highest number": Damage(
        (FORGED.format(seq=LAST),), f"The journal ends at entry {LAST}, but the entry written last is 6."
    ),
    "the next number": Damage((FORGED.format(seq=4),), "Entry 4 does not follow the entry before it."),
    "many next numbers": Damage(
        tuple(FORGED.format(seq=seq) for seq in range(4, 12)), "Entry 4 does not follow the entry before it."
    ),
    "the newest removed": Damage(
        ("DELETE FROM keydeck.journal WHERE seq > 1",), "Entry 2 is missing: the next one is 4."
    ),
    "all removed": Damage(("DELETE FROM keydeck.journal",), "Entry 1 is missing: the next one is 4."),
    "the newest made anew": Damage(
        ("UPDATE keydeck.journal SET digest = sha256('x') WHERE seq = 3",),
        "Entry 4 does not follow the entry before it.",
        recorded=False,
    ),
    "the end's row removed, a high number planted": Damage(
        ("DELETE FROM keydeck.journal_end", FORGED.format(seq=LAST)),
        f"The journal ends at entry {LAST}, but the entry written last is 6.",
    ),
    "the end's row made the highest": Damage(
        (f"UPDATE keydeck.journal_end SET seq = {LAST}", FORGED.format(seq=LAST)),
        f"The journal ends at entry {LAST}, but the entry written last is 6.",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_writing_goes_on_behind_damage_which_is_told(
    responder: Somebody, services: Container, forge: Callable[..., None], database_url: str, name: str
) -> None:
    damage = DAMAGES[name]
    for number in range(3):
        services.journal.record("rewrap", f"token {number}", Outcome.DONE)
    forge(*damage.statements)
    assert services.journal.verify() is not None
    assert doctor(database_url).outcome is CheckOutcome.FAILED
    responder.journal.record("rewrap", "later", Outcome.DONE)
    responder.journal.record("rewrap", "last", Outcome.DONE)
    written = [
        e for e in services.journal.entries() if e.actor != "ben" and not e.subject.startswith("token")
    ]
    expected = ["journal", "later", "last"] if damage.recorded else ["later", "last"]
    assert [entry.subject for entry in written] == expected
    assert [entry.seq for entry in written if entry.digest != entry.computed_digest()] == []
    assert damage.says in problems(services)
    check = doctor(database_url)
    assert (check.outcome, check.said[:8]) == (CheckOutcome.FAILED, "Damaged:")
    assert "keydeck journal verify" in check.remedy
    if damage.recorded:
        assert (written[0].action, written[0].outcome) == ("journal break", "failed")
        assert set(json.loads(written[0].detail)) == {"written_last", "found_last"}


def test_what_the_doctor_advises_heals_a_journal_with_rows_behind_its_end(
    responder: Somebody, services: Container, forge: Callable[..., None], superuser: Engine, database_url: str
) -> None:
    services.journal.record("rewrap", "x", Outcome.DONE)
    forge(FORGED.format(seq=LAST), FORGED.format(seq=900))
    responder.journal.record("rewrap", "later", Outcome.DONE)
    remedy = doctor(database_url).remedy
    execute(superuser, remedy[remedy.index("ALTER") : remedy.index(" COMMIT")])
    assert doctor(database_url).outcome is CheckOutcome.OK
    assert problems(services) == ()
    responder.journal.record("rewrap", "last", Outcome.DONE)
    assert [entry.action for entry in services.journal.entries()] == [
        "rewrap",
        "journal break",
        "rewrap",
        "rewrap",
    ]
    assert problems(services) == ()


def test_only_the_function_records_a_break(responder: Somebody, services: Container) -> None:
    with pytest.raises(errors.MissingGrantError, match=r"only keydeck\.append_to_journal itself records"):
        responder.journal.record("journal break", "journal", Outcome.FAILED)
    assert services.journal.entries() == ()


@contextmanager
def open_transaction(engine: Engine, *statements: str) -> Iterator[int]:
    """Run statements, and stay in the transaction; gives the process."""
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
        yield int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
        connection.rollback()


def test_advisory_locks_that_anybody_can_take_stop_nothing(services: Container, platform: Engine) -> None:
    """Keydeck's own number, and all that a journal could use: the first of both kinds."""
    held = ("SELECT pg_advisory_lock(1801812324)", "SELECT pg_advisory_lock(0), pg_advisory_lock(0, 0)")
    with open_transaction(platform, *held):
        services.journal.record("rewrap", "x", Outcome.DONE)
    assert services.journal.verify() is None


@pytest.mark.parametrize("within", [False, True])
def test_who_holds_the_end_of_the_journal_is_named(
    responder: Somebody, services: Container, superuser: Engine, within: bool
) -> None:
    execute(superuser, "ALTER FUNCTION keydeck.append_to_journal SET lock_timeout = '100ms'")
    append = "SAVEPOINT a; SELECT keydeck.append_to_journal('a', 'h', 'rewrap', 's', 'done', '{}')"
    with open_transaction(responder.engine, append, "RELEASE a") as process:
        with (
            pytest.raises(errors.DatabaseTimeoutError) as caught,
            connected(services.engine, write=True) as connection,
        ):
            services.journal.record("rewrap", "x", Outcome.DONE, within=connection if within else None)
        assert f"process {process} of role {responder.name}" in caught.value.message
        assert "pg_terminate_backend" in caught.value.remedy
        assert services.journal.entries(limit=1) == ()  # reading goes on
        with superuser.begin() as connection:  # waiting once is enough
            connection.execute(text("ALTER FUNCTION keydeck.append_to_journal SET lock_timeout = '1h'"))
        with pytest.raises(errors.DatabaseTimeoutError, match=f"process {process} of role {responder.name}"):
            services.journal.record("rewrap", "x", Outcome.DONE)
    services.journal.record("rewrap", "x", Outcome.DONE)
    assert services.journal.verify() is None


def test_a_prepared_transaction_that_holds_the_end_of_the_journal_is_named_with_what_ends_it(
    services: Container, superuser: Engine
) -> None:
    execute(superuser, "ALTER FUNCTION keydeck.append_to_journal SET lock_timeout = '100ms'")
    with superuser.connect() as connection:
        connection.execute(text("UPDATE keydeck.journal_end SET at = at"))
        connection.execute(text("PREPARE TRANSACTION 'late'"))
    try:
        with pytest.raises(errors.DatabaseTimeoutError, match="prepared transaction late of role") as caught:
            services.journal.record("rewrap", "x", Outcome.DONE)
        assert "ROLLBACK PREPARED 'late'" in caught.value.message
    finally:
        with superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("ROLLBACK PREPARED 'late'"))


@pytest.mark.deep
def test_who_holds_the_end_of_the_journal_is_ended_where_the_owner_may_signal_sessions(
    responder: Somebody, services: Container, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("ALTER FUNCTION keydeck.append_to_journal SET lock_timeout = '100ms'"))
        owner = connection.scalar(text("SELECT tableowner FROM pg_tables WHERE tablename = 'journal_end'"))
        connection.execute(text(f"GRANT pg_signal_backend TO {owner}"))
    append = text("SELECT keydeck.append_to_journal('a', 'h', 'rewrap', 's', 'done', '{}')")
    try:
        holder = responder.engine.connect()
        holder.execute(append)
        process = holder.scalar(text("SELECT pg_backend_pid()"))
        services.journal.record("rewrap", "x", Outcome.DONE)
        with pytest.raises(DBAPIError):
            holder.execute(append)
        holder.invalidate()
        ended, last = services.journal.entries(limit=2)
        assert (ended.action, last.action) == ("journal holder ended", "rewrap")
        assert ended.subject == f"process {process} of role {responder.name}"
        assert services.journal.verify() is None
    finally:
        execute(superuser, f"REVOKE pg_signal_backend FROM {owner}")


def test_an_update_takes_the_insert_from_every_role_and_leaves_its_work(
    somebody: Callable[[KeydeckRole], Somebody], empty: Callable[..., Engine]
) -> None:
    """Also where a role had used its INSERT to stop the journal: the highest number is taken."""
    as_owner = empty(PLATFORM)
    name = as_owner.url.database
    responder, auditor = somebody(KeydeckRole.RESPONDER), somebody(KeydeckRole.INSPECTOR)
    as_role, as_auditor = (
        open_engine(one.engine.url.set(database=name).render_as_string(hide_password=False))
        for one in (responder, auditor)
    )
    upgrade(as_owner, "0005")
    with as_owner.begin() as connection:
        insert_first_form(connection, [("ana", "h", "init", "s", "done", "{}")] * 2, [NOW, NOW])
    execute(
        as_owner,
        f"GRANT USAGE ON SCHEMA keydeck TO {responder.name}, {auditor.name}",
        f"GRANT SELECT, INSERT ON keydeck.journal TO {responder.name}",
        f"GRANT UPDATE (actor) ON keydeck.journal TO {responder.name}",
        "GRANT INSERT ON keydeck.journal TO PUBLIC",
        f"GRANT SELECT, INSERT, UPDATE ON keydeck.incident_step TO {responder.name}",
        f"GRANT SELECT ON keydeck.incident_step, keydeck.journal TO {auditor.name}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA keydeck GRANT INSERT, UPDATE, DELETE ON TABLES"
        f" TO {responder.name}",
    )
    forged = FORGED.replace(", database_role)", ")").replace(", 'operator')", ")").format(seq=LAST)
    execute(as_role, forged)
    with as_role.begin() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text("UPDATE keydeck.journal SET actor = 'ben'"))
    journal = Journal(as_role, lambda: "arn:ben")
    with pytest.raises(errors.MissingSchemaError):
        journal.record("rewrap", "x", Outcome.DONE)
    install(as_owner)
    with as_owner.connect() as connection:
        held = text(
            "SELECT pg_get_userbyid(t.grantee), array_agg(t.privilege_type::text ORDER BY 1)"
            " FROM pg_class c, aclexplode(c.relacl) t"
            " WHERE c.oid = 'keydeck.incident_lease'::regclass AND t.grantee <> c.relowner GROUP BY 1"
        )
        leases = {name: set(privileges) for name, privileges in connection.execute(held)}
        assert leases == {responder.name: {"SELECT"}, auditor.name: {"SELECT"}, OPERATOR: {"SELECT"}}
        # As on jobs, whatever default privileges give the responder; the list's function alone writes that.
        kept = {"SELECT", "UPDATE"}
        for table, privileges in {"duty": {"SELECT"}, "notice": kept, "tripwire": {"SELECT"}}.items():
            of_table = str(held).replace("incident_lease", table)
            got = {name: set(held_) for name, held_ in connection.execute(text(of_table))}
            assert got == {OPERATOR: privileges}, table
    journal.record("rewrap", "x", Outcome.DONE)
    for statement in WRITES[:9]:
        with pytest.raises(DBAPIError) as caught, as_role.begin() as connection:
            connection.execute(text(statement))
        assert "permission denied for table journal" in str(caught.value.orig)
    reads = Journal(as_auditor, lambda: "")
    assert (reads.verify() or "").startswith("Entry 5 is missing")
    with pytest.raises(errors.MissingGrantError):
        reads.record("rewrap", "x", Outcome.DONE)
    entries = journal.entries()
    assert [(e.seq, e.action, e.database_role) for e in entries] == [
        (1, "init", None),
        (2, "init", None),
        (3, "journal break", responder.name),
        (4, "rewrap", responder.name),
        (LAST, "rewrap", None),
    ]
    assert [e.seq for e in entries if e.digest != e.computed_digest()] == [LAST]
    as_role.dispose()
    as_auditor.dispose()


def test_an_update_by_a_superuser_leaves_the_function_to_the_schemas_owner(
    empty: Callable[..., Engine], sandbox: Sandbox
) -> None:
    as_owner = empty(PLATFORM)
    url = make_url(sandbox.superuser_url).set(database=as_owner.url.database)
    admin = open_engine(url.render_as_string(hide_password=False))
    upgrade(as_owner, "0005")
    install(admin)
    with admin.connect() as connection:
        owners = connection.scalars(
            text(
                "SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = 'keydeck'::regnamespace"
                " UNION SELECT tableowner FROM pg_tables WHERE schemaname = 'keydeck'"
            )
        ).all()
    assert owners == [PLATFORM]
    Journal(as_owner, lambda: "ana").record("rewrap", "x", Outcome.DONE)
    admin.dispose()


def test_a_console_of_before_is_refused_and_damages_nothing(services: Container) -> None:
    """Even as the owner: it would insert an entry without a role, by the highest number."""
    services.journal.record("rewrap", "x", Outcome.DONE)
    with pytest.raises(DBAPIError, match="alone"), services.engine.begin() as connection:
        insert_first_form(connection, [("ana", "h", "init", "s", "done", "{}")], [NOW])
    assert services.journal.verify() is None
