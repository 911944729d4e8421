"""A store of the test's own, at a fixed time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import KEY, NOW

ALIASES = {KEY: ("alias/tokens",)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    """An empty store in which alias/tokens means KEY, and it is NOW."""
    made = EventStore(tmp_path / "folder" / "events.sqlite", aliases=lambda: ALIASES, clock=lambda: NOW)
    yield made
    made.close()
