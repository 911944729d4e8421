"""A token's timeline: facts where its records name it, and apart from them what could have been."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console import capabilities
from crypto_core.envelope import Format
from crypto_core.lists.coverage import Coverage
from crypto_core.values.errors import EventStoreError
from crypto_core.values.references import TokenRef
from screens.connections.screen import ConnectionsScreen
from screens.events.event_screen import EventScreen
from screens.events.screen import EventsScreen
from screens.use.token_screen import TokenScreen
from tests.crypto_core.trail import records
from tests.crypto_core.trail.test_receipts import receipt
from tests.left_out import needs
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT, assert_harmless
from tests.screens.sample_events import a_day, event
from tests.screens.samples import CURRENT, MATERIALS, OLD
from tests.screens.stage import Stage
from tests.screens.test_hostile_events import hostile

V2 = "id:gh-2 format:v2"
V1 = "format:v1 evidence:verified"


def there() -> Stage:
    stage = Stage()
    stage.events.add(a_day())
    return stage


async def timeline_of(d: Deck, expression: str) -> None:
    await d.filter(expression)
    await d.press("T")
    assert isinstance(d.app.screen, TokenScreen)


async def go_to(d: Deck, words: str) -> None:
    """Put the cursor on the line with these words."""
    await d.press("home")
    for _ in range(60):
        if words in d.cursor_line():
            return
        await d.press("down")
    raise AssertionError(f"no line leads on with {words!r}:\n{d.text()}")


def shown(d: Deck) -> tuple[str, int]:
    """The filter of the events that a line led to, and how many there are."""
    assert isinstance(d.app.screen, EventsScreen)
    return d.pane.feed.shown.filter, len(d.pane.feed.window.rows)


@pytest.mark.parametrize("left_out", [pytest.param(False, marks=needs("forensics")), True])
async def test_a_v2_tokens_timeline_is_exact_by_principal_and_day(
    monkeypatch: pytest.MonkeyPatch, left_out: bool
) -> None:
    if left_out:
        monkeypatch.setattr(capabilities, "manifests", tuple)
    async with deck(there(), start="connections", size=LARGE) as d:
        await timeline_of(d, V2)
        assert "Timeline › gh_connection.access_token:gh-2" in d.lines()[1]
        assert "opened 9×, sealed 0×, failed 0×" in d.line_with("exact   ")
        assert "these events are about this very token" in d.text()
        assert "possible" not in d.text()
        assert "Opened and used" not in d.text(), "nobody is asked who knows"
        assert ("What was done with it is not known: keydeck events provider is" in d.text()) is left_out
        assert "?" not in d.line_with("role/platform")
        assert "2026-07-01" in d.text()


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("words", "term"),
    [
        ("exact   ", 'token:"gh_connection.access_token:gh-2"'),
        ("  role/platform", "principal:"),
        ("Decrypt  role/platform", "ip:"),
        ("2026-07-01", "since:2026-07-01T00:00:00Z until:2026-07-01T23:59:59Z"),
    ],
    ids=["all", "principal", "address", "day"],
)
async def test_each_of_its_lines_leads_to_the_events_that_it_counts(words: str, term: str) -> None:
    async with deck(there(), start="connections", size=LARGE) as d:
        await timeline_of(d, V2)
        await go_to(d, words)
        await d.press("enter")
        expression, events = shown(d)
        assert term in expression
        assert events == 9


@pytest.mark.deep
async def test_a_v1_token_is_never_named_and_what_could_have_been_is_marked_so_on_every_line() -> None:
    async with deck(there(), start="connections", size=LARGE) as d:
        await timeline_of(d, V1)
        assert "no event names this token" in d.line_with("exact   ")
        assert "CloudTrail can't name this token" in d.text()
        assert "this token, or another" in " ".join(d.text().split())
        assert "Possible, never certain" in d.text()
        assert d.line_with("role/platform").lstrip().startswith("?")
        await go_to(d, "? role/platform")
        assert "Each opened this token, or another one." in d.text()
        await d.press("enter")
        expression, events = shown(d)
        assert "name:Decrypt,ReEncrypt -failed -token:*" in expression
        assert f'material:"{MATERIALS[2]}"' in expression
        assert events == 141


@pytest.mark.deep
async def test_what_receipts_name_stands_apart_and_in_the_detail_of_the_connection() -> None:
    stage = there()
    row = next(r for r in stage.rows if r.format is Format.V1)
    made = event(99_999, ago=60)
    stage.events.add([made])
    stage.events.store.add_receipts([receipt(made, str(row.ref))])
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.filter(f'reference:"{row.ref}"')
        await d.until(lambda: "by receipt opened 1×" in d.text())
        await d.press("T")
        assert "opened 1×" in d.line_with("by receipt   ")
        assert "By receipt: 1 event of which the caller wrote down the token" in d.text()
        assert "as far as the caller wrote the truth" in " ".join(d.text().split())
        await go_to(d, "by receipt   ")
        await d.press("enter")
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)
        assert f"{row.ref}, by api on api-1, process 4711" in d.line_with("receipt   ")
        await d.press("escape", "escape", "escape")
        await d.filter("id:gh-2 format:v2")
        await d.until(lambda: "no receipt is about this token" in d.text())


async def test_what_was_v1_before_is_told_apart_from_what_names_the_token() -> None:
    stage = there()
    ref = TokenRef("gh_connection", "access_token", "gh-2")
    at = stage.index(ref)
    stage.rows[at] = replace(stage.rows[at], format=Format.V1)
    async with deck(stage, start="connections", size=LARGE) as d:
        await timeline_of(d, "id:gh-2 format:v1")
        assert "opened 9×" in d.line_with("exact   ")
        assert "was bound to its row before" in d.text()
        assert "142 calls could have opened it" in d.line_with("possible   ")
        assert d.text().index("Exact: 9 events") < d.text().index("Possible, never certain")


@pytest.mark.parametrize("stored", ["plaintext", "dev"])
async def test_what_needs_no_kms_leaves_no_event_and_says_so(stored: str) -> None:
    async with deck(there(), start="connections", size=LARGE) as d:
        await timeline_of(d, f"format:{stored}")
        assert "takes no call of KMS, so CloudTrail says nothing" in d.text()
        assert "Possible" not in d.text()


async def test_gaps_of_the_store_are_said() -> None:
    stage = there()
    stage.event_use.covered = Coverage(("eu-west-1: not fetched from 08:00 to 09:00.",))
    async with deck(stage, start="connections", size=LARGE) as d:
        await timeline_of(d, V2)
        assert "▲ not covered: eu-west-1: not fetched from 08:00 to 09:00." in d.text()


@pytest.mark.deep
async def test_trouble_is_shown_and_r_asks_again() -> None:
    stage = there()
    stage.faults["use.token"] = EventStoreError("The store is damaged.", remedy="Delete it.")
    async with deck(stage, start="connections", size=LARGE) as d:
        await timeline_of(d, V2)
        assert "✖ The store is damaged. Delete it." in d.text()
        assert "No answer: r asks again." in d.text()
        stage.faults.clear()
        await d.press("r")
        assert "opened 9×" in d.text()
        assert "damaged" not in d.text()


@pytest.mark.deep
async def test_counting_freezes_nothing_ends_when_it_is_left_and_begins_anew_on_return() -> None:
    stage = there()
    async with deck(stage, start="connections", size=LARGE) as d:
        stage.hold("use.token")
        await timeline_of(d, V2)
        assert "Counting the token's events…" in d.text()
        await d.press("question_mark", "escape")
        assert stage.waiting == 1
        await d.press("escape")
        assert isinstance(d.app.screen, ConnectionsScreen)
        await d.until(lambda: stage.waiting == 0)
        stage.gates.clear()
        await timeline_of(d, V2)
        assert "opened 9×" in d.text()


@pytest.mark.deep
async def test_an_events_page_leads_to_the_timeline_of_its_token_and_that_to_the_connection() -> None:
    async with deck(there(), start="events", size=LARGE) as d:
        await d.filter("token:*gh-2")
        await d.press("enter")
        assert isinstance(d.app.screen, EventScreen)
        await go_to(d, "its timeline")
        await d.press("enter")
        assert isinstance(d.app.screen, TokenScreen)
        await go_to(d, "token   ")
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "gh-2" in d.cursor_line()


@pytest.mark.deep
@EACH_TEXT
async def test_hostile_records_of_a_token_are_inert(text: str) -> None:
    stage = there()
    of_token = {"requestParameters": {"encryptionContext": records.context("gh-2")}}
    stage.events.add([hostile(9_000 + n, text, **of_token) for n in range(3)])
    stage.event_use.covered = Coverage((text,))
    async with deck(stage, start="connections", size=LARGE) as d:
        await timeline_of(d, V2)
        for key in (*["down"] * 10, "G", "enter", "escape"):
            await d.press(key)
            assert_harmless(d, LARGE)


async def test_calls_under_another_key_are_not_told() -> None:
    stage = Stage()
    stage.events.add([event(1, key=OLD), event(2, key=CURRENT)])
    async with deck(stage, start="connections", size=LARGE) as d:
        await timeline_of(d, V1)
        assert "1 call could have opened it" in d.text()


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_rewrap_is_told_apart_from_an_opening(size: tuple[int, int]) -> None:
    stage = there()
    context = records.context("gh-2")
    rewraps = [event(9_000 + n, "ReEncrypt", ago=60 * n, context=context) for n in range(3)]
    stage.events.add(rewraps)
    async with deck(stage, start="connections", size=size) as d:
        await timeline_of(d, V2)
        assert "opened 9×, rewrapped 3×, sealed 0×, failed 0×" in d.line_with("exact   ")
        heading = d.line_with("By principal")
        assert heading.split()[2:6] == ["opened", "rewraps", "sealed", "failed"]
