"""Before a key is taken away every place is read in full, and open writers are waited for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Thread

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from console.container import Container
from console.sandbox.postgres import OPERATOR
from crypto_core.database.connection import lock_holders
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import UNCOUNTED, ChangePlan
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.values.errors import NotConfirmedError
from tests.crypto_core.statements import execute

Disable = Callable[[], ChangePlan]


@pytest.fixture
def envelope(services: Container, key: str) -> str:
    """An envelope under the key that is to be taken away."""
    return str(TokenCipher(services.keyring.trusting(key)).encrypt("gho_CANARYcanary0123456789", key).stored)


@pytest.fixture(params=[ChangeKind.DISABLE, ChangeKind.SCHEDULE_DELETION])
def plan(changes: KeyChangeService, key: str, request: pytest.FixtureRequest) -> Disable:
    """Plan to take the key away."""
    return lambda: changes.plan_change(KeyChange(request.param, key))


@pytest.fixture
def disable(changes: KeyChangeService, key: str) -> Disable:
    """Plan to disable the key."""
    return lambda: changes.plan_change(KeyChange(ChangeKind.DISABLE, key))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open transactions are not waited for."""
    monkeypatch.setattr(lock_holders.wait_for_writers, "__kwdefaults__", {"seconds": 0.0, "cancelled": None})


@pytest.fixture
def writer(platform: Engine, envelope: str) -> Iterator[object]:
    """A session of the platform's whose transaction has written a token and is open."""
    with suppress(OperationalError), platform.connect() as connection:
        connection.execute(text("UPDATE gh_connection SET access_token = :v"), {"v": envelope})
        yield connection


def refused(changes: KeyChangeService, plan: ChangePlan, words: str) -> None:
    """The plan says why, and --yes doesn't do it."""
    assert plan.refused_unless_typed
    assert any(words in warning for warning in plan.warnings), plan.warnings
    with pytest.raises(NotConfirmedError):
        changes.make_change(plan, Consent.by_option(plan))
    # A refusal sends nothing.
    assert changes._reader.keys.describe(plan.key_arn).state == "Enabled"


def test_nineteen_tokens_among_150000_rows_of_an_undeclared_table_keep_a_key(
    changes: KeyChangeService, superuser: Engine, envelope: str, plan: Disable
) -> None:
    execute(
        superuser,
        "CREATE TABLE audit (id int, note text)",
        "INSERT INTO audit SELECT n, CASE WHEN n % 7900 = 77 THEN '" + envelope + "' ELSE 'n' || n END"
        " FROM generate_series(1, 150000) n",
        f"GRANT SELECT ON audit TO {OPERATOR}",
    )
    refused(changes, plan(), "audit.note holds tokens and is in no inventory (19 v1 in 150,000 rows)")


def test_five_hundred_behind_300000_rows_keep_it(
    changes: KeyChangeService, superuser: Engine, envelope: str, disable: Disable
) -> None:
    execute(
        superuser,
        "CREATE TABLE audit (id int, note text)",
        "INSERT INTO audit SELECT n, 'n' || n FROM generate_series(1, 300000) n",
        f"INSERT INTO audit SELECT n, '{envelope}' FROM generate_series(1, 500) n",
        f"GRANT SELECT ON audit TO {OPERATOR}",
    )
    refused(changes, disable(), "audit.note holds tokens and is in no inventory (500 v1 in 300,500 rows)")


@pytest.mark.quick(1)
@pytest.mark.parametrize("type_", ["text", "bytea", "json", "text[]"])
def test_one_behind_25000_characters_of_a_value_keeps_it(
    changes: KeyChangeService, superuser: Engine, envelope: str, disable: Disable, type_: str
) -> None:
    value = f"repeat('n ', 12500) || '{envelope}'"
    stored = {
        "text": value,
        "bytea": f"convert_to({value}, 'UTF8')",
        "json": f"to_json({value})",
        "text[]": f"ARRAY[{value}]",
    }[type_]
    execute(
        superuser,
        f"CREATE TABLE audit (id int, note {type_})",
        f"INSERT INTO audit SELECT 1, {stored}",
        f"GRANT SELECT ON audit TO {OPERATOR}",
    )
    refused(changes, disable(), "audit.note holds tokens and is in no inventory (1 v1 in 1 row)")


def test_a_database_in_which_nothing_is_left_lets_it_go(
    changes: KeyChangeService, superuser: Engine, disable: Disable
) -> None:
    execute(
        superuser,
        "CREATE TABLE audit (id int, note text)",
        "INSERT INTO audit SELECT n, 'n' || n FROM generate_series(1, 100000) n",
        f"GRANT SELECT ON audit TO {OPERATOR}",
    )
    plan = disable()
    assert not plan.refused_unless_typed
    assert any("other places read in full" in line for line in plan.does)
    assert changes.make_change(plan, Consent.typed(plan, plan.confirmation)).verified


def test_a_token_in_an_open_transaction_keeps_it_and_the_remedy_works(
    changes: KeyChangeService, superuser: Engine, disable: Disable, quick: None, writer: object
) -> None:
    plan = disable()
    refused(changes, plan, "open transaction")
    assert plan.confirmation == UNCOUNTED
    (gap,) = [gap for gap in plan.tokens.gaps if "open transaction" in gap] if plan.tokens else [""]
    assert re.search(r"process \d+ of role platform \(.*public\.gh_connection\)", gap)
    remedy = re.search(r"SELECT pg_terminate_backend\(\d+\)", gap)
    assert remedy
    execute(superuser, remedy[0])
    assert not disable().refused_unless_typed


def test_a_role_without_pg_monitor_sees_the_writer_all_the_same(
    superuser: Engine, services: Container, disable: Disable, quick: None, writer: object
) -> None:
    with superuser.connect() as connection:
        member = "SELECT pg_has_role(:role, 'pg_read_all_stats', 'MEMBER')"
        assert connection.scalar(text(member), {"role": OPERATOR}) is False
    (gap,) = lock_holders.wait_for_writers(services.engine, seconds=0)
    assert "its age is not shown to this role" in gap
    execute(superuser, f"GRANT pg_read_all_stats TO {OPERATOR}")
    try:
        (gap,) = lock_holders.wait_for_writers(services.engine, seconds=0)
        assert re.search(r"open for \d+ s", gap)
    finally:
        execute(superuser, f"REVOKE pg_read_all_stats FROM {OPERATOR}")


def test_a_token_that_is_committed_while_it_is_waited_for_is_counted(
    disable: Disable, writer: object
) -> None:
    waited = Event()

    def commit() -> None:
        waited.wait(0.5)
        writer.commit()  # type: ignore[attr-defined]

    committing = Thread(target=commit)
    committing.start()
    plan = disable()
    committing.join()
    assert plan.tokens is not None
    assert plan.tokens.under > 0
    assert not any("open transaction" in gap for gap in plan.tokens.gaps)


def test_a_prepared_transaction_keeps_it_and_the_remedy_works(
    changes: KeyChangeService,
    superuser: Engine,
    platform: Engine,
    envelope: str,
    disable: Disable,
    quick: None,
) -> None:
    with platform.connect() as connection:
        connection.execute(text("UPDATE gh_connection SET access_token = :v"), {"v": envelope})
        connection.execute(text("PREPARE TRANSACTION 'it''s late'"))
    autocommit = superuser.execution_options(isolation_level="AUTOCOMMIT")
    try:
        plan = disable()
        refused(changes, plan, "prepared transaction it's late of role platform")
        (gap,) = [gap for gap in plan.tokens.gaps if "prepared" in gap] if plan.tokens else [""]
        remedy = re.search(r"ROLLBACK PREPARED '.*'", gap)
        assert remedy
        with autocommit.connect() as connection:
            connection.execute(text(remedy[0]))
        assert not disable().refused_unless_typed
    finally:
        with autocommit.connect() as connection:
            for gid in connection.scalars(text("SELECT gid FROM pg_prepared_xacts")).all():
                connection.exec_driver_sql("ROLLBACK PREPARED '" + gid.replace("'", "''") + "'")


def test_a_table_that_its_transaction_has_only_made_keeps_it_too(
    platform: Engine, services: Container, envelope: str
) -> None:
    with platform.connect() as connection:
        connection.execute(
            text("CREATE TABLE not_there_yet AS SELECT CAST(:v AS text) AS note"), {"v": envelope}
        )
        (gap,) = lock_holders.wait_for_writers(services.engine, seconds=0)
        assert "a new table" in gap
    assert lock_holders.wait_for_writers(services.engine, seconds=0) == ()


def test_whoever_reads_analyses_or_locks_rows_keeps_nobody_waiting(
    platform: Engine, services: Container, superuser: Engine
) -> None:
    with platform.connect() as connection, superuser.connect() as other:
        connection.execute(text("SELECT * FROM gh_connection FOR UPDATE"))
        other.execute(text("ANALYZE jira_connection"))
        assert lock_holders.wait_for_writers(services.engine, seconds=0) == ()


def test_a_token_written_between_the_plan_and_the_act_stops_it(
    changes: KeyChangeService, platform: Engine, superuser: Engine, envelope: str, disable: Disable
) -> None:
    execute(
        superuser,
        "CREATE TABLE audit (id int, note text)",
        "INSERT INTO audit SELECT n, 'n' || n FROM generate_series(1, 100000) n",
        f"GRANT SELECT ON audit TO {OPERATOR}",
    )
    plan = disable()
    execute(superuser, f"UPDATE audit SET note = '{envelope}' WHERE id = 5")
    with pytest.raises(Exception, match=r"has changed since the preview"):
        changes.make_change(plan, Consent.typed(plan, plan.confirmation))
    assert changes._reader.keys.describe(plan.key_arn).state == "Enabled"
