"""A journal of five entries with its signer, and databases of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import _config
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.guarded_change import Outcome

END_MOVED = (
    "UPDATE keydeck.journal_end SET (seq, digest) ="
    " (SELECT seq, digest FROM keydeck.journal ORDER BY seq DESC LIMIT 1)"
)
"""Whoever makes the chain anew, or cuts it, does not forget the row of the entry written last."""


def new_signer(sandbox: Sandbox, services: Container) -> KmsSigner:
    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    return KmsSigner(services.kms.call, [made["KeyMetadata"]["Arn"]])


@pytest.fixture
def signer(sandbox: Sandbox, services: Container) -> KmsSigner:
    return new_signer(sandbox, services)


def fill(journal: Journal, number: int = 5, prefix: str = "token") -> None:
    for token in range(number):
        journal.record("rewrap", f"{prefix} {token}", Outcome.DONE)


@pytest.fixture
def journal(services: Container) -> Journal:
    journal = Journal(services.engine, lambda: "arn:aws:sts::1:assumed-role/oncall/ana, database role x")
    fill(journal)
    return journal


@pytest.fixture
def checkpoints(journal: Journal, signer: KmsSigner) -> JournalCheckpoints:
    return JournalCheckpoints(journal, signer, read_only=False)


@pytest.fixture
def empty(sandbox: Sandbox) -> Iterator[Callable[..., Engine]]:
    """Makes empty databases; gives an engine to each for a role, and to one of them for another role."""
    engines: list[Engine] = []
    names: list[str] = []

    def make(role: str = OPERATOR, name: str = "") -> Engine:
        if not name:
            name = f"empty_{uuid4().hex[:12]}"
            sandbox.postgres.create_database(name)
            names.append(name)
        engines.append(open_engine(sandbox.postgres.url(role, name)))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()
    admin = open_engine(make_url(sandbox.superuser_url).set(database="postgres").render_as_string(False))
    with admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def upgrade(engine: Engine, version: str) -> None:
    """Install a schema of before."""
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, version)
