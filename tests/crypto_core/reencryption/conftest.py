"""Nothing here waits long for KMS; a sandbox of a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.state.installation import install
from tests.conftest import use_settings


@pytest.fixture(autouse=True)
def _short_waits(short_waits: None) -> None:
    pass


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox of the test's own, to which the process's environment points."""
    with Sandbox.start(connections=120) as running:
        use_settings(running.settings(), monkeypatch)
        yield running


@pytest.fixture
def container(own: Sandbox) -> Iterator[Container]:
    """The services over it."""
    services = Container(load().settings)
    install(services.engine)
    yield services
    services.close()
