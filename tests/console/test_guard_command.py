"""keydeck guard: status, statements for the owner, applying, removing."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from tests.console.command_types import Keydeck
from tests.crypto_core.database.column_guards.conftest import hand_over

REFRESH = ["gh_connection.refresh_token", "jira_connection.refresh_token"]


@pytest.fixture
def owning(services: Container, superuser: Engine) -> None:
    """The role of these settings owns the platform's tables."""
    hand_over(superuser, *(table.name for table in PLATFORM_TABLES))


def states(keydeck: Keydeck) -> dict[str, str]:
    return {one["column"]: one["state"] for one in keydeck("guard", "--json").json["columns"]}


def test_status_tells_each_column_and_what_would_be_refused(keydeck: Keydeck, services: Container) -> None:
    ran = keydeck("guard")
    assert ran.exit_code == 1
    assert "slack_connection.bot_token" in ran.stdout
    assert "0 of 8 token columns guarded and validated." in ran.stdout
    assert "▲ slack_connection.bot_token:" in ran.stdout
    told = {one["column"]: one for one in keydeck("guard", "--status", "--json").json["columns"]}
    assert told[REFRESH[0]] == {
        "column": REFRESH[0],
        "state": "missing",
        "least": None,
        "constraint": "keydeck_envelopes_refresh_token",
        "owner": "platform",
        "owned": False,
        "obstacle": "",
        "would_refuse": 0,
        "risk": "",
    }
    assert told["slack_connection.bot_token"]["would_refuse"] > 0
    v2 = keydeck("guard", "--least", "v2", REFRESH[0], "--json").json
    assert (v2["least"], v2["columns"][0]["would_refuse"] > 0) == ("v2", True)


def test_what_the_owner_runs_is_printed_whole_and_commented(
    keydeck: Keydeck, services: Container, platform: Engine
) -> None:
    printed = keydeck("guard", "--sql").stdout
    assert printed.count("SET LOCAL lock_timeout = '2s';") == 4
    assert "-- Left out: slack_connection.bot_token." in printed
    assert "log_error_verbosity" in printed
    run = platform.execution_options(isolation_level="AUTOCOMMIT")
    with run.connect() as connection:
        connection.exec_driver_sql(printed, execution_options={"no_parameters": True})
    assert [states(keydeck)[column] for column in REFRESH] == ["validated", "validated"]
    assert keydeck("guard", *REFRESH).exit_code == 0
    document = keydeck("guard", "--remove", "--sql", "--json").json
    assert document["does"] == "remove"
    assert [line for line in document["sql"] if "DROP CONSTRAINT" in line]


def test_who_owns_no_table_is_told_who_does(keydeck: Keydeck, services: Container) -> None:
    ran = keydeck("guard", "--apply", "--yes")
    assert ran.exit_code == 2
    assert "belongs to platform" in ran.stderr
    assert "keydeck guard --sql" in ran.stderr


def test_it_is_shown_asked_done_and_taken_back(keydeck: Keydeck, owning: None, platform: Engine) -> None:
    dry = keydeck("guard", "--apply", "--dry-run")
    assert (dry.exit_code, "Refuse what is no envelope in gh_connection.refresh_token" in dry.stdout) == (
        1,
        True,
    )
    assert keydeck("guard", "--apply").exit_code == 2
    assert set(states(keydeck).values()) == {"missing"}
    done = keydeck("guard", "--apply", "--yes", "--json")
    assert (done.exit_code, done.json["done"]) == (1, True)
    assert [one["column"] for one in done.json["outcomes"]] == REFRESH
    assert keydeck("guard", "--apply", "--yes", *REFRESH).exit_code == 0
    every = keydeck("guard", "--apply", "--yes", "--all")
    assert (every.exit_code, every.stdout.count("not validated")) == (0, 4)
    assert "no update of their rows passes" in every.stderr
    removed = keydeck("guard", "--remove", "--yes")
    assert (removed.exit_code, removed.stdout.count("missing")) == (0, 8)
    assert "nothing to do" in keydeck("guard", "--remove", "--yes").stdout
    with platform.connect() as connection:
        assert not connection.scalar(text("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'keydeck%'"))


def test_a_lock_is_told_and_is_outside(keydeck: Keydeck, owning: None, platform: Engine) -> None:
    with platform.connect() as connection:
        connection.execute(text("LOCK TABLE gh_connection IN ACCESS SHARE MODE"))
        ran = keydeck("guard", "--apply", "--yes", REFRESH[0])
    assert ran.exit_code == 3
    assert "✖ gh_connection.refresh_token: missing. public.gh_connection is locked" in ran.stdout


@pytest.mark.parametrize("options", [("--sql", "--apply"), ("--apply", "--remove"), ("--status", "--sql")])
def test_only_one_thing_is_done(keydeck: Keydeck, options: tuple[str, ...]) -> None:
    assert keydeck("guard", *options).exit_code == 2


def test_read_only_it_is_refused(keydeck: Keydeck, owning: None) -> None:
    ran = keydeck("--read-only", "guard", "--apply", "--yes", REFRESH[0])
    assert (ran.exit_code, "read-only" in ran.stderr) == (2, True)
    assert keydeck("--read-only", "guard", "--json").exit_code == 1
