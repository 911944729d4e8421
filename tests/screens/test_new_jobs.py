"""Jobs begun from the console: which tokens, which verb, which key, the plan, the consent, the job's page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from textual.widgets import Button, Input

from crypto_core.guard.consent import Origin
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import DatabaseUnreachableError, JobError, ReadOnlyError, RefusedError
from screens.connections.screen import ConnectionsScreen
from screens.jobs.choose_tokens import ChooseTokens
from screens.jobs.job_screen import JobScreen
from screens.jobs.new_job import ChooseVerb, JobPreview
from screens.jobs.screen import JobsScreen
from screens.keys.key_screen import KeyScreen
from screens.reencryption import ChooseKey
from screens.status.screen import StatusScreen
from tests.screens.deck import BOTH, LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, assert_harmless, harmless_after
from tests.screens.samples import CURRENT, OLD
from tests.screens.stage import Stage

UNDER_OLD = Selection(under_key=OLD)


async def from_jobs(d: Deck, verb: Verb = Verb.REENCRYPT) -> None:
    """To the plan of a job that empties the old key."""
    await d.press("n", "down", "enter")
    await d.press(*(["down"] if verb is Verb.REWRAP else []), "enter", "enter")


def screen(d: Deck) -> JobPreview:
    found = d.app.screen
    assert isinstance(found, JobPreview)
    return found


def confirm(d: Deck) -> Button:
    return screen(d).query_one("#confirm", Button)


async def agree(d: Deck) -> None:
    await d.type("1000000")
    await d.press("enter")


@pytest.mark.quick(1)
@BOTH
@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
async def test_from_the_list_of_jobs_to_the_page_of_a_new_one(verb: Verb, size: tuple[int, int]) -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=size) as d:
        await d.press("n")
        assert isinstance(d.app.screen, ChooseTokens)
        assert "every token under alias/tokens-old …77ab" in d.text()
        await d.press("escape")
        await from_jobs(d, verb)
        assert stage.jobs.planned == [(verb, UNDER_OLD, CURRENT, stage.jobs.planned[0][3])]
        assert confirm(d).disabled
        assert confirm(d).region.bottom < size[1]
        await agree(d)
        assert isinstance(d.app.screen, JobScreen)
        assert d.app.screen.job == 32
        assert stage.jobs.consent is not None
        assert stage.jobs.consent.origin is Origin.TYPED
        assert stage.job_processes.asked == [(32, 10, ())]
        assert "keydeck jobs join 32" in d.toasts()[-1]
        await d.press("escape")
        assert isinstance(d.app.screen, JobsScreen)


@pytest.mark.deep
async def test_rewrap_is_said_to_be_no_recovery_where_the_verb_is_chosen_and_in_the_plan() -> None:
    async with deck(start="jobs", size=LARGE) as d:
        await d.press("n", "down", "enter")
        assert isinstance(d.app.screen, ChooseVerb)
        assert "It is no recovery from a compromise" in d.says()
        await d.press("down", "enter", "enter")
        assert "Rewrap is no recovery from a compromise" in d.says()


@pytest.mark.deep
async def test_the_key_that_is_emptied_is_not_offered_as_the_one_to_write_under() -> None:
    async with deck(start="jobs", size=LARGE) as d:
        await d.press("n", "enter", "enter")
        assert isinstance(d.app.screen, ChooseKey)
        assert "No other KMS key can be written under" in d.says()
        await d.press("escape", "n", "end", "up", "enter")
        assert isinstance(d.app.screen, ChooseVerb)
        await d.press("enter")
        assert "write key" in d.line_with("alias/tokens …9f2c")


async def test_what_is_unprotected_is_encrypted_in_place_whatever_the_verb() -> None:
    stage = Stage()
    async with deck(stage, start="jobs") as d:
        await d.press("n", "end", "enter")
        assert isinstance(d.app.screen, ChooseKey)
        await d.press("enter")
        verb, selection, *_ = stage.jobs.planned[0]
        assert (verb, selection) == (Verb.ENCRYPT, Selection(unprotected=True))


async def from_status(d: Deck) -> None:
    await d.command("status")
    while "alias/tokens-old" not in d.cursor_line() or "critical" in d.cursor_line():
        await d.press("down")


async def from_key(d: Deck) -> None:
    await d.command("keys")
    await d.filter("alias/tokens-old")
    await d.press("enter")
    assert isinstance(d.app.screen, KeyScreen)


async def from_keys(d: Deck) -> None:
    await d.command("keys")
    await d.filter("alias/tokens-old")


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", [from_status, from_key, from_keys], ids=["status", "key", "keys"])
async def test_the_tokens_under_a_key_are_moved_from_wherever_it_is_shown(
    way: Callable[[Deck], Awaitable[None]],
) -> None:
    stage = Stage()
    async with deck(stage, size=LARGE) as d:
        await way(d)
        await d.press("b")
        assert isinstance(d.app.screen, ChooseVerb)
        await d.press("enter", "enter")
        assert stage.jobs.planned[0][:3] == (Verb.REENCRYPT, UNDER_OLD, CURRENT)
        await agree(d)
        assert isinstance(d.app.screen, JobScreen)


async def test_on_status_a_line_without_a_key_asks_which_tokens() -> None:
    async with deck(size=LARGE) as d:
        await d.press("b")
        assert isinstance(d.app.screen, ChooseTokens)
        await d.press("escape")
        assert isinstance(d.app.screen, StatusScreen)


@pytest.mark.deep
async def test_all_that_a_filter_lets_through_is_a_job_and_the_marks_are_gone_once_it_has_begun() -> None:
    stage = Stage()
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.filter("format:v1")
        await d.press("A", "e", "enter")
        assert screen(d)
        selection = stage.jobs.planned[0][1]
        assert selection.filter == "format:v1"
        await d.press("escape")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "marked" in d.lines()[1]
        await d.press("e", "enter")
        await agree(d)
        assert isinstance(d.app.screen, JobScreen)
        await d.press("escape")
        assert "marked" not in d.lines()[1]
        assert "run" not in stage.calls


@pytest.mark.deep
async def test_few_tokens_of_a_filter_are_written_at_once() -> None:
    stage = Stage()
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.filter("provider:slack format:plaintext")
        assert d.pane.feed.count is not None
        assert d.pane.feed.count <= 200
        await d.press("A", "x", "enter")
        assert stage.jobs.planned == []
        assert "plan" in stage.calls


# The plan


@pytest.mark.deep
async def test_the_plan_says_what_the_command_says_and_follows_the_rate_that_is_set() -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=LARGE) as d:
        await from_jobs(d)
        assert "2,000,000 calls of KMS" in d.says()
        assert "if production leaves all of the quota of 100,000 KMS calls/s; rate auto" in d.says()
        assert "about $6.00; 10 processes" in d.says()
        await d.press("shift+tab", "shift+tab")
        await d.type("20,000")
        assert "at least 1 min" in d.says()
        assert "20% of the quota" in d.says()
        assert "; 2 processes" in d.says()
        await d.press("enter")
        await d.type("7")
        assert "; 7 processes" in d.says()
        await d.press("enter")
        await agree(d)
        assert stage.job_processes.asked == [(32, 7, ())]
        ((name, digest),) = stage.jobs.asked
        assert name == "start"
        assert stage.jobs.consent is not None
        assert stage.jobs.consent.digest == digest


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("field", "text"), [("#rate", "0"), ("#rate", "fast"), ("#processes", "65"), ("#processes", "1.5")]
)
async def test_what_is_no_rate_and_no_number_of_processes_begins_nothing(field: str, text: str) -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=LARGE) as d:
        await from_jobs(d)
        await d.type("1000000")
        assert not confirm(d).disabled
        screen(d).query_one(field, Input).value = text
        await d.settle()
        assert "✖ " in d.says()
        assert confirm(d).disabled
        await d.press("enter")
        assert stage.jobs.asked == []
        screen(d).query_one(field, Input).value = ""
        await d.settle()
        assert not confirm(d).disabled


async def test_enter_alone_begins_nothing() -> None:
    stage = Stage()
    async with deck(stage, start="jobs") as d:
        await from_jobs(d)
        await d.press("enter", "1", "enter")
        assert screen(d)
        assert stage.jobs.asked == []


@pytest.mark.deep
@BOTH
async def test_who_loses_access_is_named_first_and_one_token_takes_typing_then(size: tuple[int, int]) -> None:
    stage = Stage()
    stage.jobs.plan_tokens = 1
    async with deck(stage, start="jobs", size=size) as d:
        await from_jobs(d)
        assert not confirm(d).disabled
        assert d.app.focused is not None
        assert d.app.focused.id == "cancel"
        await d.press("escape")
        stage.jobs.losses = ("role/backup decrypts today and may not under the new key",)
        await from_jobs(d)
        assert confirm(d).disabled
        assert "✖ 1 principal would lose access to these tokens:" in d.text()
        assert "• role/backup decrypts today" in d.text()
        await d.type("1")
        await d.press("enter")
        assert isinstance(d.app.screen, JobScreen)
        assert stage.jobs.consent is not None
        assert stage.jobs.consent.origin is Origin.TYPED


@pytest.mark.deep
async def test_a_plan_longer_than_the_screen_is_read_by_pages_and_what_is_below_is_said_to_be() -> None:
    stage = Stage()
    stage.jobs.losses = tuple(f"role/reader-{n} may decrypt today" for n in range(40))
    async with deck(stage, start="jobs") as d:
        await from_jobs(d)
        assert confirm(d).region.bottom < SMALL[1]
        assert "PgDn" in d.text()
        assert "role/reader-39" not in d.text()
        for _ in range(8):
            await d.press("pagedown")
        assert "would be written under" in d.text()
        for _ in range(8):
            await d.press("pageup")
        assert "role/reader-0 " in d.text()


@pytest.mark.deep
async def test_a_plan_of_nothing_offers_nothing() -> None:
    stage = Stage()
    stage.jobs.plan_tokens = 0
    async with deck(stage, start="jobs") as d:
        await from_jobs(d)
        assert "Nothing to write." in d.text()
        assert [b.id for b in d.app.screen.query(Button)] == ["cancel"]


@pytest.mark.deep
async def test_a_plan_that_takes_long_freezes_nothing_and_ends_when_it_is_left() -> None:
    stage = Stage()
    async with deck(stage, start="jobs") as d:
        stage.hold("job.plan")
        await from_jobs(d)
        assert "Esc stops that." in d.says()
        assert stage.waiting == 1
        await d.press("escape")
        assert isinstance(d.app.screen, JobsScreen)
        await d.until(lambda: stage.waiting == 0)
        assert stage.jobs.planned == []


@pytest.mark.quick(1)
@pytest.mark.parametrize("call", ["job.plan", "job.start"])
async def test_what_the_service_refuses_is_said_and_nothing_has_begun(call: str) -> None:
    stage = Stage()
    stage.faults[call] = RefusedError("The key is disabled.", remedy="Enable it.")
    async with deck(stage, start="jobs", size=LARGE) as d:
        await from_jobs(d)
        if call == "job.start":
            await agree(d)
            assert "not started" in d.text()
        assert "The key is disabled. Enable it." in d.text()
        assert stage.job_processes.asked == []
        await d.press("escape")
        assert isinstance(d.app.screen, JobsScreen)


@pytest.mark.deep
async def test_a_job_that_no_process_could_be_started_for_is_there_and_that_is_said() -> None:
    stage = Stage()
    stage.faults["job.work_on"] = JobError("No process could be started.", remedy="keydeck jobs join 32.")
    async with deck(stage, start="jobs", size=LARGE) as d:
        await from_jobs(d)
        await agree(d)
        assert isinstance(d.app.screen, JobScreen)
        assert d.toasts()[-1] == "Job 32 has been made. No process could be started. keydeck jobs join 32."


async def test_counting_that_fails_is_told_where_tokens_are_chosen() -> None:
    stage = Stage()
    stage.faults["status"] = DatabaseUnreachableError("PostgreSQL does not answer.")
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.press("n")
        assert "PostgreSQL does not answer." in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, JobsScreen)


# Read-only


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("start", "key"), [("jobs", "n"), ("jobs", "U"), ("jobs", "w"), ("status", "b"), ("keys", "b")]
)
async def test_read_only_nothing_begins_and_that_is_said(start: str, key: str) -> None:
    stage = Stage(read_only=True)
    async with deck(stage, start=start, size=LARGE) as d:
        before = d.app.screen
        await d.press(*(["down"] if key == "U" else []), key)
        assert d.app.screen is before
        assert d.toasts()[-1].startswith("Read-only: ")
        assert stage.jobs.planned == []


@pytest.mark.deep
async def test_a_service_that_is_read_only_refuses_whatever_the_screen_offers() -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=LARGE) as d:
        await from_jobs(d)
        stage.faults["job.start"] = ReadOnlyError("Cannot start to re-encrypt: Keydeck is in read-only mode.")
        await agree(d)
        assert "Keydeck is in read-only mode. Start Keydeck without --read-only" in d.says()


# Undone


@pytest.mark.deep
@BOTH
async def test_an_ended_job_is_undone_by_a_job_whose_page_is_shown(size: tuple[int, int]) -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=size) as d:
        await d.press("U")
        assert isinstance(d.app.screen, JobsScreen)
        await d.press("down", "U")
        assert "1,000,000 envelopes that job 30 replaced" in d.says()
        assert "alias/tokens-old …77ab" in d.says()
        button = d.app.screen.query_one("#confirm", Button)
        assert button.disabled
        assert button.region.bottom < size[1]
        await d.press("enter")
        await agree(d)
        assert isinstance(d.app.screen, JobScreen)
        assert d.app.screen.job == 33
        assert stage.undoing.consent is not None
        assert stage.undoing.consent.origin is Origin.TYPED
        assert stage.job_processes.asked == [(33, 1, (OLD,))]


async def test_why_a_job_cant_be_undone_is_said() -> None:
    stage = Stage()
    stage.faults["undo.plan"] = RefusedError("No envelope is kept that job 30 has replaced.")
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.press("down", "enter", "U")
        assert "No envelope is kept that job 30 has replaced." in d.text()
        assert [b.id for b in d.app.screen.query(Button)] == ["cancel"]


async def test_what_was_encrypted_in_place_is_not_offered_to_be_undone() -> None:
    stage = Stage()
    view = stage.jobs.views[30]
    stage.jobs.views[30] = replace(view, job=replace(view.job, verb=Verb.ENCRYPT))
    async with deck(stage, start="jobs") as d:
        await d.press("down", "U")
        assert isinstance(d.app.screen, JobsScreen)
        await d.command("restore-job")
        assert "not available here" in d.toasts()[-1]
        assert "undo.plan" not in stage.calls


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_texts_of_a_plan_are_inert(text: str, size: tuple[int, int]) -> None:
    stage = Stage()
    stage.jobs.losses = (text,)
    stage.job_processes.troubles[31] = text
    async with deck(stage, start="jobs", size=size) as d:
        await from_jobs(d)
        assert_harmless(d, size)
        stage.faults["job.start"] = RefusedError(text, remedy=text)
        await agree(d)
        await harmless_after(d, size, "escape enter")
