"""Fixtures: an incident over the test's own database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from tests.crypto_core.incidents.tokens.staging import Stage, build


@pytest.fixture
def stage(services: Container) -> Stage:
    return build(services)


@pytest.fixture
def backups(superuser: Engine) -> Callable[[], list[tuple[str, str]]]:

    def read() -> list[tuple[str, str]]:
        with superuser.connect() as connection:
            rows = connection.execute(text("SELECT verb, envelope FROM keydeck.envelope_backup ORDER BY id"))
            return [(verb, envelope) for verb, envelope in rows]

    return read
