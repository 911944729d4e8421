"""Everything works behind a real PgBouncer in its default configuration, in session and transaction pooling.

Whole flows of other modules are played once more: here the database is reached by way of the pooler.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.connection.engine import connected, open_engine, patient
from crypto_core.database.connection.pool import is_pooled
from crypto_core.database.state.installation import install
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import DatabaseReadOnlyError, InterruptedRunError
from tests.console.incident_flows.conftest import providers  # noqa: F401
from tests.console.incident_flows.test_token_compromise import (  # noqa: F401
    test_a_token_compromise_is_played_from_marked_rows_to_the_report,
)
from tests.console.test_incident_key_flows import (  # noqa: F401
    mend,
    test_both_runbooks_are_worked_through_by_commands_alone,
)
from tests.console.test_job_flows import (  # noqa: F401
    contexts,
    test_a_job_that_a_console_is_left_with_goes_on_wherever_it_is_joined,
)
from tests.console.test_jobs_for_real import remove_corrupt, test_a_job_empties_a_key_and_its_document_adds_up  # noqa: F401
from tests.console.test_journal_command import signing_key, test_the_journal_is_signed_verified_and_found_out  # noqa: F401
from tests.crypto_core.database.state.test_journal import (  # noqa: F401
    test_concurrent_appends_keep_the_chain_whole_whatever_isolation_the_database_defaults_to,
)
from tests.pgbouncer import needs_pgbouncer, pgbouncer

pytestmark = needs_pgbouncer

Keydeck = Callable[..., Any]
NewKey = Callable[[], str]

POOLS = {
    "session": {"pool_mode": "session"},
    # So few sessions that each transaction may find one that another was in.
    "transaction": {"pool_mode": "transaction", "default_pool_size": "4"},
}


@pytest.fixture(params=["transaction", pytest.param("session", marks=pytest.mark.deep)])
def pool(request: pytest.FixtureRequest) -> dict[str, str]:
    return POOLS[request.param]


@pytest.fixture
def database_url(database_url: str, pool: dict[str, str]) -> Iterator[str]:
    """The test's own database by way of a pooler."""
    with pgbouncer(database_url, **pool) as made:
        yield made.url(database_url)


@pytest.fixture
def small(pool: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of its own whose database the command reaches by way of a pooler.

    Whole runbooks go through transaction pooling, which keeps less of a session; with ALL_POOLS=1 through
    session pooling as well.
    """
    if pool["pool_mode"] == "session" and not os.environ.get("ALL_POOLS"):
        pytest.skip("ALL_POOLS=1 plays whole runbooks through session pooling as well")
    with Sandbox.start(connections=60) as sandbox, pgbouncer(sandbox.database_url, **pool) as made:
        for name, value in sandbox.settings().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DATABASE_URL", made.url(sandbox.database_url))
        monkeypatch.chdir(tmp_path)
        sandbox.control.set_lookup_throttle(None)
        with closing(Container(load().settings)) as container:
            install(container.engine)
        mend(sandbox)
        yield sandbox


@pytest.fixture
def engine(environment: dict[str, str]) -> Iterator[Engine]:
    opened = open_engine(environment["DATABASE_URL"])
    yield opened
    opened.dispose()


def test_the_command_reads_writes_and_says_what_is_between(
    environment: dict[str, str], keydeck: Keydeck, world: World, new_key: NewKey, superuser: Engine
) -> None:
    remove_corrupt(superuser, world)
    for _ in range(2):
        assert keydeck("init").exit_code == 0
    assert keydeck("status", "--json").json["tokens"] > 0
    ref, new = str(world.sealed_under(world.current_key)[0]), new_key()
    assert keydeck("verify", ref).exit_code == 0
    for verb in ("rewrap", "reencrypt"):
        moved = keydeck(verb, ref, "--to", new, "--trust", new, "--yes", "--except", "*")
        assert moved.exit_code == 0, moved.stderr
    assert keydeck("verify", ref, "--trust", new).exit_code == 0
    assert keydeck("journal", "verify").exit_code == 0
    assert keydeck("--read-only", "rewrap", ref, "--to", new, "--yes").exit_code == 2
    checks = {c["name"]: c for c in keydeck("doctor", "--json").json["checks"] if c["area"] == "database"}
    assert "There is one between" in checks["pooler"]["said"]
    assert checks["session"]["said"] == "May write."


def test_statement_pooling_is_refused_by_that_word(
    environment: dict[str, str], keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    name = make_url(environment["DATABASE_URL"]).database
    direct = make_url(sandbox.database_url).set(database=name).render_as_string(hide_password=False)
    with pgbouncer(direct, "statement") as made:
        monkeypatch.setenv("DATABASE_URL", made.url(direct))
        for command in (("status",), ("init",), ("journal", "verify")):
            ran = keydeck(*command)
            assert ran.exit_code == 3
            assert "statement pooling" in ran.stderr
            assert "pool_mode = transaction" in ran.stderr


def test_nothing_of_a_transaction_is_found_in_the_next(engine: Engine) -> None:
    """Settings, isolation, read only, limits and locks end with what asked for them, in whichever session."""
    settings = ("statement_timeout", "lock_timeout", "jit", "transaction_isolation", "transaction_read_only")
    asked = text(f"SELECT {', '.join(f'current_setting({name!r})' for name in settings)}")

    def use(number: int) -> None:
        write, snapshot = bool(number % 2), bool(number % 3)
        with connected(engine, write=write, snapshot=snapshot) as connection:
            assert is_pooled(connection)
            found = tuple(connection.execute(asked).one())
            isolation = "repeatable read" if snapshot else "read committed"
            assert found == ("1min", "10s", "off", isolation, "off" if write else "on")
            with patient(connection, 300):
                assert connection.scalar(text("SHOW statement_timeout")) == "5min"
            if not write:
                with pytest.raises(Exception, match="read-only transaction"):
                    connection.execute(text("UPDATE public.gh_connection SET org_id = org_id"))

    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(use, range(40)))
    with pytest.raises(DatabaseReadOnlyError), connected(engine) as connection:
        connection.execute(text("CREATE TABLE x (y int)"))


def test_server_side_cursors_are_read_to_their_end(engine: Engine) -> None:
    def read(number: int) -> int:
        with connected(engine) as connection:
            rows = connection.execution_options(yield_per=50).execute(
                text("SELECT generate_series(1, :n)"), {"n": number}
            )
            return sum(1 for _ in rows)

    with ThreadPoolExecutor(max_workers=6) as pool:
        assert list(pool.map(read, range(500, 530))) == list(range(500, 530))


def test_an_apps_search_path_finds_its_tables(
    environment: dict[str, str],
    keydeck: Keydeck,
    superuser: Engine,
    monkeypatch: pytest.MonkeyPatch,
    world: World,
) -> None:
    """By the URL's schema or search_path, as for the app: the default schema has none of the tables."""
    with superuser.begin() as connection:
        connection.execute(text('CREATE SCHEMA "Tenant\'s"'))
        connection.execute(text('GRANT USAGE ON SCHEMA "Tenant\'s" TO operator'))
        for table in ("gh_connection", "jira_connection", "slack_connection", "confluence_connection"):
            connection.execute(text(f'ALTER TABLE {table} SET SCHEMA "Tenant\'s"'))
    url = environment["DATABASE_URL"]
    ref = str(world.sealed_under(world.current_key)[0])
    for query in (
        "schema=Tenant%27s",
        "search_path=%22Tenant%27s%22,public",
        "options=-c%20search_path%3D%22Tenant%27s%22",
    ):
        monkeypatch.setenv("DATABASE_URL", f"{url}&{query}")
        counted = {c["column"]: c["tokens"] for c in keydeck("status", "--json").json["by_column"]}
        assert counted["gh_connection.access_token"] > 0
        assert keydeck("verify", ref).exit_code == 0
    monkeypatch.setenv("DATABASE_URL", url)
    assert keydeck("verify", ref).exit_code == 2


@pytest.mark.deep
def test_what_is_cancelled_ends_and_nobody_elses_statement_does(engine: Engine) -> None:
    """The pooler passes requests to cancel on; one that comes late hits nobody who has the session then."""
    chance, others = random.Random(7), []

    def use(number: int) -> None:
        for _ in range(60):
            with connected(engine) as connection:
                others.append(connection.scalar(text("SELECT 1 FROM pg_sleep(0.004)")))

    def cancel(number: int) -> int:
        ended = 0
        for _ in range(60):
            cancelled, moment = Cancellation(), chance.uniform(0, 0.02)
            setter = Thread(target=lambda c=cancelled, m=moment: (time.sleep(m), c.set()))
            setter.start()
            try:
                with connected(engine, cancelled=cancelled) as connection:
                    connection.execute(text("SELECT pg_sleep(0.01)"))
            except InterruptedRunError:
                ended += 1
            setter.join()
        return ended

    with ThreadPoolExecutor(max_workers=4) as pool:
        using = [pool.submit(use, n) for n in range(2)]
        ended = sum(pool.map(cancel, range(2)))
        for one in using:
            one.result()
    assert ended > 0
    assert others == [1] * 120


def test_a_long_statement_is_cancelled_through_the_pooler(engine: Engine) -> None:
    cancelled = Cancellation()
    Timer(0.3, cancelled.set).start()
    with pytest.raises(InterruptedRunError), connected(engine, cancelled=cancelled) as connection:
        connection.execute(text("SELECT pg_sleep(50)"))
    with connected(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
