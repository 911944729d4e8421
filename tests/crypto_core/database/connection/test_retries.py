"""What PostgreSQL rolled back for another's sake is done again; journals under any default isolation hold."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.connection import transactions
from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.transactions import TRIES, repeated_if_cut_off, repeated_if_rolled_back
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.store import Replacement
from crypto_core.guard.guarded_change import Outcome
from crypto_core.values.errors import DatabaseError, DatabaseUnreachableError
from tests.crypto_core.statements import scalar

FAILS = """
CREATE SEQUENCE public.tries;
GRANT USAGE ON SEQUENCE public.tries TO PUBLIC;
CREATE FUNCTION public.fails() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.tries') <= {times} THEN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '{code}';
    END IF;
    RETURN NEW;
END $$;
CREATE CONSTRAINT TRIGGER fails AFTER {event} ON {table} {when} FOR EACH ROW EXECUTE FUNCTION public.fails()
"""


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "FIRST_WAIT_SECONDS", 0.0)


@pytest.fixture
def fails(superuser: Engine) -> Callable[..., Callable[[], int]]:
    """Has PostgreSQL roll back the first changes of a table; returns what says how often it was changed."""

    def make(
        table: str, event: str, *, code: str = "40001", times: int = 3, when: str = ""
    ) -> Callable[[], int]:
        with superuser.begin() as connection:
            statement = FAILS.format(table=table, event=event, code=code, times=times, when=when)
            connection.exec_driver_sql(statement)

        def tries() -> int:
            return int(scalar(superuser, "SELECT last_value FROM public.tries") or 0)

        return tries

    return make


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize("when", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_an_entry_of_the_journal_is_made_once_after_it_was_rolled_back(
    services: Container, fails: Callable[..., Callable[[], int]], code: str, when: str
) -> None:
    tries = fails("keydeck.journal", "INSERT", code=code, when=when)
    services.journal.record("rewrap", "x", Outcome.DONE)
    assert tries() == 4
    assert len(services.journal.entries()) == 1
    assert services.journal.verify() is None


def test_tokens_are_written_and_backed_up_once_after_it_was_rolled_back(
    services: Container, superuser: Engine, world: World, fails: Callable[..., Callable[[], int]]
) -> None:
    tries = fails("gh_connection", "UPDATE")
    ref = next(r for r in world.sealed_under(world.old_key) if r.table == "gh_connection")
    old = services.store.read_token(ref)
    replacement = Replacement(old, f"{old.value.reveal()}x", None)
    assert services.store.write_tokens(uuid4(), "reencrypt", [replacement]) == {ref}
    assert tries() >= 4
    with connected(superuser) as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup")) == 1


def test_what_is_rolled_back_each_time_is_given_up_with_its_error(
    services: Container, fails: Callable[..., Callable[[], int]]
) -> None:
    tries = fails("keydeck.journal", "INSERT", times=10_000)
    with pytest.raises(DatabaseError, match="40001"):
        services.journal.record("rewrap", "x", Outcome.DONE)
    assert tries() == TRIES
    assert services.journal.entries() == ()


def test_another_failure_is_not_repeated() -> None:
    tried: list[int] = []

    @repeated_if_rolled_back
    def refused() -> None:
        tried.append(1)
        raise DatabaseError("no", sqlstate="23505")

    with pytest.raises(DatabaseError, match="no"):
        refused()
    assert tried == [1]


def test_an_entry_within_a_transaction_leaves_it_to_that_one(
    services: Container, fails: Callable[..., Callable[[], int]]
) -> None:
    tries = fails("keydeck.journal", "INSERT")
    with pytest.raises(DatabaseError, match="40001"), connected(services.engine, write=True) as connection:
        services.journal.record("rewrap", "x", Outcome.DONE, within=connection)
    assert tries() == 1


def test_no_deadlock_comes_of_locks_in_another_order_as_nothing_is_held_while_waiting(
    services: Container, platform: Engine, world: World
) -> None:
    sealed = sorted(r for r in world.sealed_under(world.old_key) if r.column == "access_token")
    refs = [r for r in sealed if r.table == "gh_connection"][:2]
    tokens = services.store.read_many(refs)
    replacements = [Replacement(t, f"{t.value.reveal()}x", None) for t in tokens]
    lock = text("SELECT 1 FROM public.gh_connection WHERE id = :id FOR UPDATE")
    first, last = sorted(r.row_id for r in refs)
    with ThreadPoolExecutor(1) as pool:
        with connected(platform, write=True) as connection:
            connection.execute(lock, {"id": last})
            writing = pool.submit(services.store.write_tokens, uuid4(), "reencrypt", replacements)
            Event().wait(0.2)
            assert not writing.done()
            connection.execute(lock, {"id": first})
        assert writing.result() == set(refs)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_entries_from_many_threads_are_all_there_whatever_isolation_the_role_has(
    services: Container, superuser: Engine, isolation: str
) -> None:
    with superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        setting = f"default_transaction_isolation = '{isolation}'"
        connection.execute(text(f"ALTER ROLE operator IN DATABASE {superuser.url.database} SET {setting}"))
    services.engine.dispose()
    journal = Journal(services.engine, lambda: "ana")
    default = scalar(services.engine, "SHOW default_transaction_isolation")
    assert default == isolation
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: journal.record("rewrap", f"x-{n}", Outcome.DONE), range(160)))
    assert {e.subject for e in journal.entries()} == {f"x-{n}" for n in range(160)}
    assert journal.verify() is None


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_read_whose_session_was_closed_is_made_once_more(times: int) -> None:
    ends = ["closed"] * times + ["read"]

    @repeated_if_cut_off
    def read() -> str:
        if (end := ends.pop(0)) == "closed":
            raise DatabaseUnreachableError(end)
        return end

    if times == 2:
        with pytest.raises(DatabaseUnreachableError):
            read()
    else:
        assert read() == "read"
