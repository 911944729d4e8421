"""Tokens in places that no inventory knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core import encrypt_token


@pytest.fixture
def envelope(environment: dict[str, str]) -> Callable[[], str]:
    """Make an envelope as the platform does."""
    return lambda: encrypt_token("ghp_CANARYcanary0123456789")


@pytest.fixture
def vault(services: Container, platform: Engine, envelope: Callable[[], str]) -> str:
    """A table of the platform's with JSON documents of envelopes in a bytea column, which nobody declared."""
    with platform.begin() as connection:
        connection.execute(
            text("CREATE TABLE vault_items (id serial PRIMARY KEY, name text, secret_json bytea)")
        )
        for number in range(5):
            document = json.dumps({"token": envelope(), "webhook": envelope()}).encode()
            connection.execute(
                text("INSERT INTO vault_items (name, secret_json) VALUES (:name, :document)"),
                {"name": f"item {number}", "document": document},
            )
    return "vault_items"


@pytest.fixture
def fresh_sweeps(services: Container) -> Iterator[Callable[[], Container]]:
    """Make services that know nothing yet but what is kept in files and in the database."""
    made: list[Container] = []

    def make() -> Container:
        made.append(Container(services.settings))
        return made[-1]

    yield make
    for container in made:
        container.close()
