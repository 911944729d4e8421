"""Jobs: how far they are, followed as they go; paused, resumed, tried anew and ended from the screen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.plan import Unwritten
from crypto_core.values.errors import DatabaseUnreachableError, JobError
from screens.connections.screen import ConnectionsScreen
from screens.jobs.job_screen import MOST, JobErrorsScreen, JobScreen, sparkline
from screens.jobs.screen import JobsScreen
from screens.keys.key_screen import KeyScreen
from screens.widgets.question import Question
from tests.screens.deck import BOTH, LARGE, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, assert_harmless, harmless_after
from tests.screens.samples import NOW
from tests.screens.stage import Stage
from tests.screens.stage_jobs import DONE, job_view, seen_at
from tests.screens.test_token_timeline import go_to

PLACES = pytest.mark.parametrize("page", [False, True], ids=["list", "page"])


async def opened(d: Deck, page: bool = True) -> None:
    """The list, or the page of job 31."""
    await d.press("6")
    if page:
        await d.press("enter")
        assert isinstance(d.app.screen, JobScreen)


@BOTH
async def test_6_lists_jobs_the_newest_first_with_state_and_progress(size: tuple[int, int]) -> None:
    async with deck(size=size) as d:
        await d.press("6")
        assert isinstance(d.app.screen, JobsScreen)
        assert "▶ 31" in " ".join(d.cursor_line().replace("›", " ").split())
        assert "running" in d.cursor_line()
        assert "41.2 %" in d.cursor_line()
        below = d.lines()[d.lines().index(d.cursor_line()) + 1]
        assert below.split()[:3] == ["●", "30", "done"]
        assert "→ Enter: the job, followed as it goes." in d.text()


async def test_without_a_job_the_list_says_how_one_begins() -> None:
    stage = Stage()
    stage.jobs.views.clear()
    async with deck(stage, start="jobs") as d:
        assert "keydeck reencrypt --from OLD" in d.text()
        await d.press("z", "enter")
        assert isinstance(d.app.screen, JobsScreen)
        assert stage.jobs.asked == []


@pytest.mark.deep
async def test_jobs_are_filtered_and_sorted() -> None:
    async with deck(start="jobs", size=LARGE) as d:
        await d.filter("state:done")
        assert d.pane.feed.count == 1
        await d.filter("verb:encrypt")
        assert d.pane.feed.count == 0
        await d.filter("tokens-old")
        assert d.pane.feed.count == 2


@BOTH
async def test_the_page_shows_progress_rate_and_what_is_left(size: tuple[int, int]) -> None:
    async with deck(size=size) as d:
        await opened(d)
        assert "412,003 of 1,000,000  41.2 %" in d.text()
        line = d.line_with("▶ running   ")
        assert "4,060 tokens/s · about 2 min remaining · 1 min so far" in line
        assert "written 412,000 · remaining 587,997 · conflicts retried 4 · not written 3" in d.text()
        assert "1.6 ms" in d.line_with("latency p50")
        assert "4.1 ms" in d.line_with("latency p99")
        assert "30 in 1 min" in d.line_with("throttled")
        assert "824,012, auto: 8,000 calls/s, the platform uses the rest" in d.line_with("KMS calls")
        assert "▶ running" in d.lines()[1]


async def test_the_page_names_keys_processes_and_both_censuses() -> None:
    async with deck(size=LARGE) as d:
        await opened(d)
        assert "4711 on ops-1  seen 1 s ago" in d.text()
        assert "815 on ops-2  ended" in d.text()
        assert "1 at work" in d.line_with("Processes")
        before = d.line_with("before   ")
        assert "1,000,000 under alias/tokens-old …77ab · 200,000 under alias/tokens …9f2c" in before
        assert "taken at the end" in d.line_with("after   ")
        await go_to(d, "from   ")
        await d.press("enter")
        assert isinstance(d.app.screen, KeyScreen)
        await d.press("escape", "escape", "down", "enter")
        assert "0 under alias/tokens-old" in d.line_with("after   ")
        assert "took 4 min" in d.line_with("● done   ")


async def test_it_is_followed_as_it_goes_also_from_a_second_console() -> None:
    stage = Stage()
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        stage.jobs.views[31] = job_view(done=900_000, remaining=99_997)
        await d.tick(1)
        assert "900,003 of 1,000,000" in d.text()
        stage.jobs.views[31] = job_view(state=JobState.PAUSED, done=950_000, remaining=49_997)
        await d.tick(1)
        assert "▲ paused" in d.lines()[1]
        await d.press("p")
        stage.jobs.views[31] = DONE
        await d.tick(5)
        assert "▲ paused" in d.lines()[1]


async def test_left_and_opened_again_it_is_where_it_was_and_out_of_sight_nobody_asks() -> None:
    stage = Stage()
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        await d.press("escape")
        assert isinstance(d.app.screen, JobsScreen)
        shown = stage.calls.count("job.show")
        await d.tick(2)
        assert stage.calls.count("job.show") == shown
        stage.jobs.views[31] = job_view(done=500_000)
        await d.press("enter")
        await d.tick(1)
        await d.until(lambda: "written 500,000" in d.text())
        assert stage.jobs.asked == []


async def test_why_it_stopped_and_what_must_be_known_of_it_stand_on_the_page() -> None:
    stage = Stage()
    remark = "Whether anything was sealed under the old key meanwhile is not known."
    stage.jobs.views[31] = job_view(
        state=JobState.FAILED, why="The AWS session has expired.", remarks=(remark,)
    )
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        assert "✖ The AWS session has expired." in d.text()
        assert f"▲ {remark}" in d.text()


# What can be done


@pytest.mark.quick(2)
@PLACES
@pytest.mark.parametrize(
    ("key", "command", "name", "before", "after"),
    [
        ("z", "pause-job", "pause", JobState.RUNNING, "Job 31: paused."),
        ("a", "resume-job", "resume", JobState.PAUSED, "Job 31: running."),
        ("a", "resume-job", "resume", JobState.FAILED, "Job 31: running."),
        ("v", "retry-job", "retry", JobState.DONE, "To be retried: 3 tokens."),
    ],
)
async def test_each_action_reaches_the_job_in_hand_after_a_press_and_nothing_before(
    page: bool, key: str, command: str, name: str, before: JobState, after: str
) -> None:
    for way in (key, command):
        stage = Stage()
        stage.jobs.views[31] = job_view(state=before)
        async with deck(stage, size=LARGE) as d:
            await opened(d, page)
            await (d.press(way) if way == key else d.command(way))
            assert isinstance(d.app.screen, Question)
            assert d.app.focused is not None
            assert d.app.focused.id == "cancel"
            await d.press("enter")
            assert stage.jobs.asked == []
            await d.press(key, "right", "enter")
            assert stage.jobs.asked == [(name, 31)]
            assert d.toasts()[-1] == after
            assert isinstance(d.app.screen, JobScreen if page else JobsScreen)


@PLACES
async def test_a_job_is_ended_only_by_its_number(page: bool) -> None:
    stage = Stage()
    async with deck(stage, size=LARGE) as d:
        await opened(d, page)
        await d.press("x")
        assert "What is written stays: 412,000 tokens." in d.says()
        await d.type("30")
        await d.press("enter")
        assert isinstance(d.app.screen, Question)
        await d.press("escape")
        assert stage.jobs.asked == []
        await d.press("x")
        await d.type("31")
        await d.press("enter")
        assert stage.jobs.asked == [("cancel", 31)]
        assert d.toasts()[-1] == "Job 31: cancelled."


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("view", "possible"),
    [
        (job_view(), {"z", "v", "x"}),
        (job_view(state=JobState.PAUSED, poisoned=0), {"a", "x"}),
        (job_view(state=JobState.CANCELLED), set()),
        (job_view(state=JobState.DONE, poisoned=0), set()),
    ],
    ids=["running", "paused", "cancelled", "done"],
)
async def test_only_what_the_state_has_use_for_can_be_done(view: object, possible: set[str]) -> None:
    stage = Stage()
    stage.jobs.views[31] = view  # type: ignore[assignment]
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        for key in "zavx":
            await d.press(key)
            assert isinstance(d.app.screen, Question) is (key in possible), key
            if key in possible:
                await d.press("escape")


@pytest.mark.quick(1)
@pytest.mark.parametrize("key", ["z", "v", "x"])
async def test_read_only_no_job_is_changed(key: str) -> None:
    stage = Stage(read_only=True)
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        await d.press(key)
        assert isinstance(d.app.screen, JobScreen)
        assert d.toasts()[-1].startswith("Read-only: ")
        assert stage.jobs.asked == []


async def test_what_the_service_refuses_is_said() -> None:
    stage = Stage()
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        stage.faults["job.pause"] = JobError("Job 31 has ended meanwhile.")
        await d.press("z", "right", "enter")
        assert "Job 31 has ended meanwhile." in d.toasts()[-1]


# What can't be written


async def test_from_a_kind_of_error_to_the_tokens_and_from_a_token_to_its_connection() -> None:
    stage = Stage()
    reference = str(stage.rows[0].ref)
    stage.jobs.tokens = [("malformed", Unwritten(reference, "not base64"))]
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        await go_to(d, "✖ malformed")
        await d.press("enter")
        assert isinstance(d.app.screen, JobErrorsScreen)
        assert stage.jobs.asked == [("unwritten", (31, "malformed"))]
        assert "✖ not base64" in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert d.pane.feed.count == 1
        assert reference in d.text()
        await d.press("escape", "escape")
        assert isinstance(d.app.screen, JobScreen)


@pytest.mark.deep
async def test_more_tokens_than_are_named_are_said_to_be_there() -> None:
    stage = Stage()
    stage.jobs.tokens = [
        ("malformed", Unwritten(f"gh_connection.access_token:{n}", "not base64")) for n in range(MOST + 5)
    ]
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        await go_to(d, "✖ malformed")
        await d.press("enter", "G")
        assert f"These are the first {MOST:,}." in d.text()
        stage.jobs.tokens = []
        await d.press("r")
        assert "None any more." in d.text()


async def test_trouble_is_shown_and_what_was_known_stays() -> None:
    stage = Stage()
    async with deck(stage, size=LARGE) as d:
        await opened(d)
        stage.faults["job.show"] = DatabaseUnreachableError("PostgreSQL does not answer.")
        await d.press("r")
        assert "✖ PostgreSQL does not answer." in d.text()
        assert "412,003 of 1,000,000" in d.text()


def test_a_sparkline_keeps_the_peaks_and_shows_nothing_for_nothing() -> None:
    assert sparkline([0.5, 2, 4, 8], 8) == "▁▃▅█"
    assert sparkline([0.0] * 4, 10) == "    "
    assert sparkline([], 10) == ""
    assert len(sparkline(list(range(1, 61)), 20)) == 20
    spiky = [0.0] * 60
    spiky[31] = 9.0
    assert sparkline(spiky, 20).count("█") == 1


@EACH_TEXT_AND_SIZE
async def test_hostile_texts_of_a_job_are_inert(text: str, size: tuple[int, int]) -> None:
    stage = Stage()
    view = job_view(why=text, remarks=(text,), errors={text: 2}, state=JobState.FAILED)
    job = replace(
        view.job, selection=text, created_by=text, host=text, source_key_arn=text, target_key_arn=text
    )
    runners = tuple(replace(one, host=text, actor=text) for one in seen_at(NOW - timedelta(seconds=3)))
    census = {"tokens": text, "keys": [{"key_arn": text, "tokens": text}, text], "coverage": text}
    stage.jobs.views = {
        31: replace(view, job=job, runners=runners, census_before=census, census_after=census)
    }
    stage.jobs.tokens = [(text, Unwritten(text, text)), (text, Unwritten("a.b:c", text))]
    async with deck(stage, size=size, start="jobs") as d:
        await harmless_after(d, size, "a")
        await d.press("escape", "enter")
        assert isinstance(d.app.screen, JobScreen)
        await harmless_after(d, size, "down", "down", "G", "g", "enter")
        assert isinstance(d.app.screen, JobErrorsScreen)
        await d.press("enter")
        assert_harmless(d, size)
