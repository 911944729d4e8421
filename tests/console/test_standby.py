"""A hot standby: reading works, and every change is refused before it begins."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.database.state.installation import install
from crypto_core.values.errors import DatabaseReadOnlyError
from tests.conftest import Ran, run_here
from tests.console.change_commands import CHANGES
from tests.standby import standby_of

pytestmark = pytest.mark.deep

SAID = (
    "keydeck: The database accepts no writes: it is a standby. Connect to the primary, with a role that may "
    "write; to look only, start with --read-only."
)
READING = (
    "status",
    "connections --limit 5",
    "findings",
    "journal list",
    "journal verify",
    "jobs list",
    "incident list",
    "approvals list",
    "discover",
    "metrics",
    "guard --status",
    "grants inspector",
    "verify --all",
    "--read-only reencrypt --all --dry-run",
)


@pytest.fixture(scope="module")
def primary() -> Iterator[Sandbox]:
    with Sandbox.start(connections=30) as sandbox, pytest.MonkeyPatch.context() as patch:
        environment = sandbox.environment()
        for name in set(os.environ) - set(environment):
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        services = Container(load().settings)
        install(services.engine)
        services.close()
        with standby_of(sandbox) as url:
            patch.setenv("DATABASE_URL", url)
            yield sandbox


def call(sandbox: Sandbox, command: str) -> Ran:
    return run_here(*command.replace("KEY", sandbox.world.current_key.arn).split())


def kms_calls(sandbox: Sandbox) -> int:
    """How often KMS was asked for more than lists and descriptions of keys."""
    calls = sandbox.control.stats().calls
    looking = ("kms:List", "kms:Describe", "kms:Get")
    return sum(
        n for action, n in calls.items() if action.startswith("kms:") and not action.startswith(looking)
    )


@pytest.mark.parametrize("command", READING)
def test_reading_works(primary: Sandbox, command: str) -> None:
    ran = call(primary, command)
    assert ran.exit_code in (0, 1), ran.stderr
    assert "read only" not in ran.stdout + ran.stderr.replace("read-only", "")


@pytest.mark.parametrize("command", CHANGES)
def test_a_change_is_refused_in_one_sentence_and_kms_is_not_asked(primary: Sandbox, command: str) -> None:
    before = kms_calls(primary)
    ran = call(primary, command)
    assert ran.exit_code == 3, ran
    assert ran.stderr.strip() == SAID
    assert kms_calls(primary) == before


def test_nothing_of_it_is_journaled_and_the_primary_is_written_as_ever(primary: Sandbox) -> None:
    for command in CHANGES:
        call(primary, command)
    engine = open_engine(primary.database_url)
    with connected(engine, write=True) as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.journal")) == 0
        assert connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup")) == 0
    engine.dispose()


def test_doctor_says_that_it_is_one(primary: Sandbox) -> None:
    ran = call(primary, "doctor")
    assert "The database accepts no writes: it is a standby. Inspection works." in ran.stdout


def test_an_incident_is_looked_at_without_a_trace(primary: Sandbox) -> None:
    services = Container(load().settings)
    with pytest.raises(DatabaseReadOnlyError):
        services.services.incidents.note(1, "text")
    services.services.incidents.join(1)
    services.close()
