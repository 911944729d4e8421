"""Changes of keys of the test's own; what is wrong in the sandbox ends with the test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from console.container import Container
from console.lazy_services import if_made
from console.sandbox.sandbox import Sandbox
from crypto_core.database.state.journal import JournalEntry
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.plan import ChangeResult
from crypto_core.keys.changes.service import KeyChangeService
from tests.crypto_core.agreed import agreed


@pytest.fixture
def changes(services: Container) -> KeyChangeService:
    """The service as it is container, but for how often it looks for an effect: once."""
    service = services.services.key_changes
    assert callable(service.plan_change)
    found = if_made(service)
    assert isinstance(found, KeyChangeService)
    found._patience = ()
    return found


@pytest.fixture
def made(changes: KeyChangeService) -> Callable[[KeyChange], ChangeResult]:
    """Plan a change and make it, agreed to as its danger demands."""

    def make(change: KeyChange) -> ChangeResult:
        plan = changes.plan_change(change)
        return changes.make_change(plan, agreed(plan))

    return make


@pytest.fixture
def journaled(services: Container) -> Callable[[], list[tuple[str, str]]]:
    """What the journal has, oldest first: action and outcome. The chain must be whole."""

    def read() -> list[tuple[str, str]]:
        assert services.journal.verify() is None
        return [(e.action, e.outcome) for e in services.journal.entries()]

    return read


@pytest.fixture
def last_entry(services: Container) -> Callable[[], JournalEntry]:
    """Read the journal's newest entry."""
    return lambda: services.journal.entries()[-1]


@pytest.fixture
def sent(sandbox: Sandbox) -> Callable[[], dict[str, int]]:
    """Count, since the last time, the calls that change something, by IAM action."""
    before = dict(sandbox.control.stats().calls)

    def count() -> dict[str, int]:
        now = sandbox.control.stats().calls
        looks = ("Describe", "Get", "List", "Decrypt", "Generate", "Lookup")
        found = {
            action: calls - before.get(action, 0)
            for action, calls in now.items()
            if calls != before.get(action, 0)
            and action.startswith("kms:")
            and not action.removeprefix("kms:").startswith(looks)
        }
        before.update(now)
        return found

    return count
