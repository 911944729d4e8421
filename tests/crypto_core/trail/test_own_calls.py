"""Keydeck's own calls: hidden only by its user agent and by an identity that it was used with, together."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from crypto_core.lists.paging import Query
from crypto_core.trail.own_calls import made_by
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.own_callers import MOST, note_caller, own_callers
from tests.crypto_core.trail.records import ACCOUNT, event, role, user

OURS = "Boto3/1.40.0 md/Botocore#1.40.0 app/keydeck"
ANA = f"arn:aws:sts::{ACCOUNT}:assumed-role/on.call/ana@example.com"
BEN = f"arn:aws:iam::{ACCOUNT}:user/ops/ben"


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    """An empty store."""
    return EventStore(tmp_path / "events.sqlite")


WITH_PATH = {"sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/ops/on.call"}}
CALLS = [
    event(who=role("on.call", "ana@example.com"), userAgent=OURS),
    event(who=role("on.call", "ana@example.com", sessionContext=WITH_PATH), userAgent=OURS),
    event(who=user("ops/ben"), userAgent=OURS),
    # Whoever only copies the user agent is shown, and so is whoever is not at work with Keydeck.
    event(who=user(), userAgent=OURS),
    event(who=role("onxcall", "ana@example.com"), userAgent=OURS),
    event(who=role("on.call2", "ana@example.com"), userAgent=OURS),
    event(who=role("on.call", "ana@example.com2"), userAgent=OURS),
    event(who=role("on.call", "mallory"), userAgent=OURS),
    event(who=role("on.call", "ana@example.com"), userAgent="aws-cli/2.27"),
    event(who=role("on.call", "ana@example.com"), userAgent="x/app/keydeck"),
    event(who=role("on.call", "ana@example.com"), userAgent="app/keydeck-cli"),
    event(who=role("on.call", "ana@example.com"), userAgent=None),
]


def test_a_filter_says_of_each_call_what_the_watch_says(store: EventStore) -> None:
    store.add(CALLS)
    for caller in (ANA, BEN):
        note_caller(store.file, caller)
    own = {e.event_id for e in CALLS if made_by(e, ANA) or made_by(e, BEN)}
    assert len(own) == 3
    found = {one.event.event_id for one in store.page(Query("own", "time")).rows}
    assert found == own
    summary = store.summary("-own name:Decrypt")
    assert (summary.events, summary.hidden_own_events, summary.hidden_service_events) == (
        len(CALLS) - 3,
        3,
        0,
    )
    assert store.count(Query("(own OR agent:aws-cli*) -principal:*ben")) == 3
    assert store.histogram("own") is not None
    assert store.tally(("principal",), "-own").rows


def test_where_nobody_is_known_nothing_is_hidden(store: EventStore) -> None:
    store.add(CALLS)
    assert store.summary("-own").events == len(CALLS)
    assert store.count(Query("own")) == 0
    assert store.count(Query("(-own name:Decrypt) OR own")) == len(CALLS)
    for nobody in ("", "\x1b\u202e"):
        note_caller(store.file, nobody)
    with store.file.reading() as connection:
        assert own_callers(connection) == ()


def test_an_older_store_gets_its_table_with_the_first_and_the_latest_are_kept_in_mind(
    store: EventStore,
) -> None:
    with store.file.writing() as connection:
        connection.execute(text("DROP TABLE IF EXISTS own_caller"))
    assert store.summary("-own").events == 0
    for number in [*range(MOST + 5), 1]:
        note_caller(store.file, f"arn:aws:iam::{ACCOUNT}:user/u{number}")
    with store.file.reading() as connection:
        known = own_callers(connection)
    assert len(known) == MOST
    assert [arn.rpartition("/u")[2] for arn in known[:3]] == ["1", str(MOST + 4), str(MOST + 3)]


@pytest.mark.parametrize(
    "hostile",
    [
        f'arn:aws:sts::{ACCOUNT}:assumed-role/a(b*|/s") OR principal:*',
        'arn:aws:iam::1:user/x" OR "y',
        'arn:aws:sts::111122223333:assumed-role/r/s" OR id:*',
        "[red]x[/]\x1b]0;t\x07",
    ],
)
def test_an_identity_of_any_characters_hides_nobody_else(store: EventStore, hostile: str) -> None:
    store.add(CALLS)
    note_caller(store.file, hostile)
    assert store.summary("-own").events == len(CALLS)
