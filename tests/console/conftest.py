"""A sandbox of the test's own, for what changes keys or tables for good."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.state.installation import install


@pytest.fixture
def own_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A small sandbox that the process's environment points at, Keydeck's schema installed."""
    with Sandbox.start(connections=60) as sandbox:
        environment = sandbox.environment()
        for name in set(os.environ) - set(environment):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        services = Container(load().settings)
        install(services.engine)
        services.close()
        yield sandbox


@pytest.fixture(autouse=True)
def heard_signals() -> Iterator[None]:
    """SIGHUP and SIGINT are heard here, which under nohup or in the background they would not be."""
    heard = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def unhurried(sandbox: Sandbox, environment: dict[str, str]) -> Iterator[None]:
    """LookupEvents answers as often as it is asked; the pace is the command's own."""
    sandbox.control.set_lookup_throttle(None)
    yield
    sandbox.control.clear()
