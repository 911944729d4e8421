"""The events commands on a real pseudo-terminal: no byte of a record acts on it."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from console.container import Container
from console.sandbox.world import World
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import KEY, context, denied, event, read, role, user
from tests.pseudo_terminal import on_terminal

TERMINAL = {"TERM": "xterm-256color", "NO_COLOR": "1", "PAGER": "cat", "PYTHONUTF8": "1"}
EVIL = "[/red][bold]OK[/]\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2066\x00\x7f\r\nspoofed  line"


@pytest.fixture
def hostile(services: Container, world: World) -> EventStore:
    """A store in which every text of a record is an attack."""
    store = services.trail.events
    fields = {
        "userAgent": EVIL,
        "sourceIPAddress": EVIL,
        "errorMessage": EVIL,
        "errorCode": EVIL,
        "awsRegion": EVIL,
        "eventName": f"Decrypt{EVIL}",
        "requestID": EVIL,
    }
    who = role(f"platform{EVIL}", EVIL)
    opening: dict[str, Any] = {
        "additionalEventData": {"keyMaterialId": world.current_key.material_ids[-1]},
        "key": world.current_key.arn,
        "userAgent": EVIL,
        "sourceIPAddress": EVIL,
    }
    store.add(
        [
            event(who=who, context=context(EVIL), eventID="hostile", **fields),
            event(who=who, eventID=EVIL, **opening),
            event(who=who, context=context(EVIL), **opening),
            event(who=user(EVIL), userAgent="x" * 10_000_000),
            read(denied(who=user(f"intruder{EVIL}"))),
        ]
    )
    return store


COMMANDS = [
    ("list", "--limit", "0"),
    ("list", "--json"),
    ("list", "--csv"),
    ("list", "--output", "yaml"),
    ("show", "hostile"),
    ("show", "hostile", "--raw"),
    ("show", "hostile", "--json"),
    *(("pivot", field) for field in ("principal", "ip", "agent", "token", "error", "session", "region")),
    ("review", "hostile", "--note", EVIL.replace("\x00", "")),
    ("principal", "platform*"),
    ("principal", EVIL.replace("\x00", "")),
    ("token", f"gh_connection.access_token:{EVIL}".replace("\x00", "")),
    ("watch", "--key", KEY, "--since", "2026-01-01", "--once", "--no-pull"),
]


@pytest.mark.deep
@pytest.mark.parametrize(
    "arguments", COMMANDS, ids=lambda a: " ".join(a)[:20].encode("ascii", "ignore").decode()
)
def test_no_byte_of_a_record_acts_on_the_terminal(hostile: EventStore, arguments: tuple[str, ...]) -> None:
    code, text = on_terminal(["events", *arguments], os.environ | TERMINAL)
    assert code in (0, 1, 2), text
    assert text.strip()
    assert not [c for c in text if c < " " and c not in "\r\n"]
    assert not [c for c in text if "\x7f" <= c <= "\x9f"]
    assert not [c for c in text if c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"]
    assert not [line for line in text.splitlines() if line.startswith("spoofed")]
    assert len(text.encode()) < 1_000_000


@pytest.mark.deep
def test_a_record_of_ten_megabytes_is_shown_as_it_came(hostile: EventStore) -> None:
    found = next(iter(hostile.tally(("agent",), "principal:user/*").rows))
    assert len(found.texts[0]) <= 1_024
    rows = json.loads(on_terminal(["events", "list", "--json", "--limit", "0"], os.environ | TERMINAL)[1])
    assert all(len(one["user_agent"]) <= 1_024 for one in rows["events"])
