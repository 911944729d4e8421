"""Who calls an incident's key now: by the minute, and never a zero of what nobody has fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.guard.consent import Consent
from crypto_core.incidents.key_callers import MINUTES, KeyCallers, KeyCallerSearch
from crypto_core.incidents.model import (
    Incident,
    IncidentScope,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
)
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.suspects import Suspect, Suspects
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.reach import Reached
from crypto_core.values.errors import DatabaseError, InterruptedRunError
from tests.crypto_core.trail.records import ACCOUNT, KEY, NOW, OTHER_KEY, denied, read, record, user

BOT, PLATFORM = f"arn:aws:iam::{ACCOUNT}:user/build-bot", f"arn:aws:iam::{ACCOUNT}:role/platform"
SUSPECTS = Suspects((Suspect(BOT, ("the incident was declared from what it did",)),))
CLOCK = NOW + timedelta(seconds=30)
FETCHED = Reached(NOW - timedelta(minutes=15))


class NoJournal:
    """A journal with nothing in it, or one that can't be read."""

    def __init__(self, trouble: str = "") -> None:
        self._trouble = trouble

    def entries(self, **_: object) -> tuple[()]:
        if self._trouble:
            raise DatabaseError(self._trouble)
        return ()


def view_of(key: str = KEY, locked: datetime | None = None) -> IncidentView:
    runbook = RunbookLibrary().get("key-compromise")
    incident = Incident(7, "Key", IncidentState.OPEN, IncidentScope(key=key), NOW - timedelta(hours=2), "ana")
    steps = tuple(StepView(step, number) for number, step in enumerate(runbook.steps, 1))
    if locked is not None:
        steps = tuple(
            replace(s, state=StepState.DONE, ended_at=locked) if s.step.id == "lock-down" else s
            for s in steps
        )
    return IncidentView(incident, runbook, steps)


Ask = Callable[..., KeyCallers]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    stores: list[EventStore] = []

    def callers(
        records: Iterable[Mapping[str, Any]],
        *,
        reached: Reached | Callable[[datetime], Reached] | None = None,
        view: IncidentView | None = None,
        journal: Any = None,
    ) -> KeyCallers:
        store = EventStore(tmp_path / f"{len(stores)}.sqlite", clock=lambda: CLOCK)
        stores.append(store)
        store.add([read(one) for one in records])
        search = KeyCallerSearch(
            store,
            lambda since, regions: reached(since) if callable(reached) else reached or FETCHED,
            journal or NoJournal(),
            lambda: ("eu-west-1",),
            clock=lambda: CLOCK,
        )
        found = search.callers_of(view or view_of(), SUSPECTS)
        assert found is not None
        return found

    yield callers
    for store in stores:
        store.close()


def test_calls_are_counted_by_principal_and_minute_and_suspects_come_first(ask: Ask) -> None:
    bot = user("build-bot")
    found = ask(
        [
            *(record(ago=60 * minute) for minute in range(0, 40, 2)),
            record("GenerateDataKey", ago=59),
            record(who=bot, ago=125),
            record(who=bot, ago=121),
            record("DescribeKey", who=user("reader")),
            record(who=user("other"), key=OTHER_KEY),
        ]
    )
    assert [(one.arn, one.suspect) for one in found.callers] == [(BOT, True), (PLATFORM, False)]
    bot_calls, platform = found.callers
    assert (bot_calls.calls, bot_calls.last) == (2, NOW - timedelta(seconds=121))
    # 12:00:30 now: the last minute is that of 12:00.
    assert bot_calls.by_minute == (0,) * (MINUTES - 4) + (2, 0, 0, 0)
    assert platform.by_minute[-4:] == (0, 1, 1, 1)
    assert sum(platform.by_minute) == platform.calls == 16
    assert found.calls == 18
    assert found.begins == NOW - timedelta(minutes=MINUTES - 1)
    assert found.known_minutes == MINUTES - 1 - 15
    assert (found.since, found.denied, found.gaps) == (None, 0, ())


def test_denials_count_from_the_lock_down_on_and_who_was_only_denied_is_named(ask: Ask) -> None:
    bot = user("build-bot")
    calls = [record(who=bot, ago=4_000)]
    calls += [
        denied(who=bot) | {"eventTime": f"2026-11-25T{at}Z"} for at in ("11:10:00", "11:50:00", "11:55:00")
    ]
    found = ask(calls, view=view_of(locked=NOW - timedelta(minutes=20)))
    (one,) = found.callers
    assert (one.denied, found.denied, found.since) == (2, 2, NOW - timedelta(minutes=20))
    assert one.calls == 2
    assert one.last == NOW - timedelta(minutes=5)


def test_what_is_not_fetched_is_never_a_zero(ask: Ask) -> None:
    gap = "eu-west-1: nothing was fetched from 2026-11-24 10:00 UTC on."
    empty = ask([], reached=Reached(None, (gap,)))
    assert (empty.callers, empty.complete_until, empty.known_minutes, empty.gaps) == ((), None, 0, (gap,))
    whole = ask([], reached=Reached(CLOCK))
    assert (whole.callers, whole.gaps) == ((), ())
    assert whole.known_minutes == MINUTES - 1
    assert ask([], reached=Reached(NOW - timedelta(hours=3))).known_minutes == 0
    # Of the last minutes nothing is fetched, but it is known until when it was.
    ended = NOW - timedelta(hours=1)
    stale = ask([], reached=lambda since: Reached(ended if since < ended else None, (gap,)))
    assert (stale.complete_until, stale.known_minutes, stale.gaps) == (ended, 0, (gap,))
    locked = view_of(locked=NOW - timedelta(minutes=20))
    assert ask([], reached=Reached(NOW - timedelta(minutes=30)), view=locked).denied_words == "not known"
    assert ask([], view=locked).denied_words == "0"
    unread = ask([], journal=NoJournal("The journal is away."))
    assert "blocked on the key is not known: The journal is away." in unread.gaps[0]


def test_an_incident_about_no_key_has_no_callers_and_asking_can_be_interrupted(
    ask: Ask, tmp_path: Path
) -> None:
    store = EventStore(tmp_path / "other.sqlite", clock=lambda: CLOCK)
    store.add([read(record())])
    search = KeyCallerSearch(
        store,
        lambda *_: Reached(None),
        NoJournal(),
        lambda: (),
        clock=lambda: CLOCK,  # type: ignore[arg-type]
    )
    view = view_of()
    tokens = replace(view, incident=replace(view.incident, scope=IncidentScope(references=("a.b:1",))))
    assert search.callers_of(tokens, SUSPECTS) is None
    stopped = Event()
    stopped.set()
    with pytest.raises(InterruptedRunError):
        search.callers_of(view, SUSPECTS, stopped)
    store.close()


def test_hostile_names_are_cleaned_and_huge_ones_shortened(ask: Ask) -> None:
    nasty = f"arn:aws:iam::{ACCOUNT}:user/[/red]\x1b[31m" + "x" * 10_000_000
    found = ask([record(who=user("n") | {"arn": nasty}), record(who={"type": "Unknown"})])
    assert len(found.callers) == 2
    for one in found.callers:
        assert "\x1b" not in one.arn + one.name
        assert len(one.arn) <= 700


def test_a_block_by_keydeck_is_the_moment_from_which_denials_count(
    services: Container, sandbox: Sandbox, platform: Engine
) -> None:
    key = str(sandbox.client("kms").create_key()["KeyMetadata"]["Arn"])
    number = services.incident_response.incidents.declare("key-compromise", IncidentScope(key=key))
    before = services.incident_response.incidents.callers(number)
    assert before is not None
    assert before.since is None
    somebody = "arn:aws:iam::123456789012:role/somebody-else"
    plan = services.key_management.changes.plan_change(KeyChange(ChangeKind.BLOCK, key, principal=somebody))
    agreed = Consent.typed(plan, plan.confirmation) if plan.confirmation else Consent.pressed(plan)
    assert services.key_management.changes.make_change(plan, agreed).verified
    after = services.incident_response.incidents.callers(number)
    assert after is not None
    assert after.since is not None
    other = services.incident_response.incidents.declare(
        "key-compromise", IncidentScope(key=str(sandbox.client("kms").create_key()["KeyMetadata"]["Arn"]))
    )
    untouched = services.incident_response.incidents.callers(other)
    assert untouched is not None
    assert untouched.since is None
