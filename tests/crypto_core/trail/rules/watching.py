"""What tests of rules share: a store with events, and what the rules say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crypto_core.findings.finding import Finding
from crypto_core.trail.rules.examination import Examined
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.watched_keys import Configured
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.own_callers import note_caller
from tests.crypto_core.trail.records import ACCOUNT, KEY, NOW, OTHER_KEY, read, record

CONFIGURED = Configured(KEY, (OTHER_KEY,))
ALIASES: Mapping[str, Sequence[str]] = {KEY: ("alias/tokens",)}
HOUR, DAY = 3_600, 86_400
FOREIGN = "999999999999"

Watch = Callable[..., Examined]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return watch_in(tmp_path)


def watch_in(folder: Path) -> Watch:
    """Ask the rules about records, kept in a folder; the window is the day before NOW."""

    def examine(
        records: Iterable[Mapping[str, Any]],
        configured: Configured = CONFIGURED,
        caller: str = "",
        **window: Any,
    ) -> Examined:
        store = EventStore(folder / "events.sqlite", clock=lambda: NOW)
        store.add([read(one) for one in records])
        note_caller(store.file, caller)
        rules = TrailRules(store, configured, aliases=lambda: ALIASES, clock=lambda: NOW)
        examined = rules.examine_events(**({"until": NOW + timedelta(seconds=1)} | window))
        store.close()
        return examined

    return examine


def normal(days: int = 7, **more: Any) -> list[dict[str, Any]]:
    """The platform opening tokens, four times on each of so many days before the window."""
    return [record(ago=DAY * (day + 1) + HOUR * 6 * n + 120, **more) for day in range(days) for n in range(4)]


def of(examined: Examined, rule: str) -> list[Finding]:
    """What one rule said."""
    return [finding for finding in examined.findings if finding.rule == rule]


def change(name: str, request: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A call that changes a key."""
    return record(name, requestParameters=dict(request or {}), readOnly=False, **more)


def trail_call(name: str, request: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A call of CloudTrail."""
    return change(
        name, {"name": TRAIL, **(request or {})}, key=None, eventSource="cloudtrail.amazonaws.com", **more
    )


TRAIL = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/management"
