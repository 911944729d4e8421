"""A schema that is newer than the program: every change is refused before it begins, and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import metadata
from crypto_core.database.state.installation import VERSION
from tests.conftest import Ran
from tests.console.change_commands import CHANGES

SAID = (
    f"keydeck: Keydeck's own schema is of version 9999 here, and this Keydeck knows {VERSION}. Install that "
    "version of Keydeck here, or connect to the database with --read-only."
)


@pytest.fixture
def newer(services: Container, superuser: Engine) -> Engine:
    with connected(superuser, write=True) as connection:
        connection.execute(text("UPDATE keydeck.version SET version_num = '9999'"))
    return superuser


def rows(engine: Engine) -> dict[str, int]:
    with connected(engine) as connection:
        return {
            name: int(connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0)
            for name in metadata.tables
        }


def test_every_change_is_refused_in_one_sentence_and_nothing_is_written(
    newer: Engine, keydeck: Callable[..., Ran], sandbox: Sandbox
) -> None:
    before = rows(newer)
    for command in CHANGES:
        ran = keydeck(*command.replace("KEY", sandbox.world.current_key.arn).split())
        assert (ran.exit_code, ran.stderr.strip()) == (3, SAID), command
    assert rows(newer) == before


def test_reading_goes_on_and_keeps_nothing_there(newer: Engine, keydeck: Callable[..., Ran]) -> None:
    before = rows(newer)
    for command in ("status", "verify gh_connection:gh-1", "findings", "discover", "journal list"):
        ran = keydeck(*command.split())
        assert ran.exit_code in (0, 1), ran.stderr
    assert rows(newer) == before
