"""Providers to whom every token is alive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.sandbox.sandbox import Sandbox


@pytest.fixture(autouse=True)
def providers(sandbox: Sandbox, environment: dict[str, str]) -> Iterator[None]:
    sandbox.providers.clear()
    sandbox.control.set_lookup_throttle(None)
    yield
    sandbox.providers.clear()
