"""Events are fetched before a key's use is told: for so long, and what was not had is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from crypto_core.incidents.event_fetch import fetched
from crypto_core.values.errors import InterruptedRunError, KmsUnreachableError

SINCE = datetime(2026, 7, 1, tzinfo=UTC)


class Watching:
    """A monitor whose look is what a test says."""

    def __init__(self, look: Callable[[Event], Any]) -> None:
        self._look = look
        self.asked: list[tuple[Sequence[str], datetime]] = []

    def begin_watch(
        self,
        keys: Sequence[str],
        since: datetime,
        *,
        source: str = "lookup",
        pull: bool = True,
        cancelled: Event | None = None,
    ) -> Any:
        assert pull
        self.asked.append((keys, since))
        return SimpleNamespace(look_for_uses=lambda *, cancelled: self._look(cancelled))


def endless(cancelled: Event) -> Any:
    while not cancelled.wait(10):
        pass
    raise InterruptedRunError("Cancelled.")


def test_what_the_look_missed_is_told() -> None:
    watching = Watching(lambda _: SimpleNamespace(gaps=("Not read: eu-west-2",)))
    assert fetched(watching, ("key",), SINCE) == ("Not read: eu-west-2",)
    assert watching.asked == [(("key",), SINCE)]


def test_after_its_time_the_rest_is_said_to_be_missing_and_how_to_fetch_it() -> None:
    (gap,) = fetched(Watching(endless), "key", SINCE, seconds=0.05)
    assert "there are more of them" in gap
    assert "keydeck events pull --since 2026-07-01T00:00" in gap


def test_the_operator_who_cancels_is_obeyed() -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        fetched(Watching(endless), "key", SINCE, cancelled)


def test_aws_that_does_not_answer_is_a_gap_and_its_text_is_clean() -> None:
    def fails(_: Event) -> Any:
        raise KmsUnreachableError("no route \x1b[31m[/red]\u202e", operation="LookupEvents", key="")

    (gap,) = fetched(Watching(fails), "key", SINCE)
    assert "could not be fetched" in gap
    assert "\x1b" not in gap
    assert "\u202e" not in gap
