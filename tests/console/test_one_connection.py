"""A role that may connect once: every command works, jobs and incidents too, and so does the console."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection import pool
from tests.conftest import run_here
from tests.console.application.test_end_signals import console
from tests.standby import administer

pytestmark = pytest.mark.deep

COMMANDS = (
    "status",
    "check",
    "findings",
    "verify --all",
    "connections --limit 3",
    "connections --filter provider:github --sort org --limit 3",
    "reencrypt TOKEN --yes",
    "rewrap TOKEN --to NEW --yes",
    "reencrypt --from OLD --yes --job --processes 1",
    "reencrypt --all --yes --job --processes 1",
    "encrypt --plaintext --yes",
    "jobs list",
    "jobs show 1",
    "jobs restore 1 --yes",
    "backups restore --since 1d --yes",
    "backups purge --yes",
    "journal verify",
    "discover --full",
    "guard",
    "doctor",
    "metrics",
    "keys materials NEW",
    "keys replace OLD",
    "incident start key-compromise --key OLD",
    "incident next 1 --yes",
    "incident report 1",
    "approvals list",
    "init",
)


@pytest.fixture
def single(own_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 5.0)
    administer(own_sandbox, "ALTER ROLE operator CONNECTION LIMIT 1")
    return own_sandbox


def test_every_command_works(single: Sandbox) -> None:
    world = single.world
    token = str(world.sealed_under(world.current_key)[0])
    names = {"OLD": world.old_key.arn, "NEW": world.current_key.arn, "TOKEN": token}
    for line in COMMANDS:
        ran = run_here(*(names.get(word, word) for word in line.split()))
        assert ran.exit_code in (0, 1), (line, ran.stderr[-1000:])
        assert "too many connections" not in ran.stdout + ran.stderr, line


def test_of_two_processes_the_second_says_why_it_ends_and_the_first_does_the_work(single: Sandbox) -> None:
    arguments = ("reencrypt", "--from", single.world.old_key.arn, "--yes", "--job", "--processes", "2")
    ran = run_here(*arguments)
    assert ran.exit_code == 0, ran.stderr
    assert "too many connections for role" in ran.stderr


def test_the_console_opens_on_its_rows(single: Sandbox, tmp_path: Path) -> None:
    with console(single.environment(), tmp_path) as shown:
        shown.read_until(b"org-")
        assert b"too many connections" not in shown.written
