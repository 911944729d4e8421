"""Nothing here waits long for KMS; a sandbox of a test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.state.installation import install


@pytest.fixture(autouse=True)
def _short_waits(short_waits: None) -> None:
    pass


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox of the test's own, to which the process's environment points."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "KEYDECK_", "PG")) or name in ("DATABASE_URL", "DEV_ENCRYPTION_KEY"):
            monkeypatch.delenv(name)
    with Sandbox.start(connections=120) as running:
        for name, value in running.settings().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def container(own: Sandbox) -> Iterator[Container]:
    """The services over it."""
    services = Container(load().settings)
    install(services.engine)
    yield services
    services.close()
