"""Processes of the console that work on jobs: started, told of, and what leaving means for them."""

from __future__ import annotations

import pytest
from textual.widgets import Button

from crypto_core.reencryption.jobs.model import JobState
from crypto_core.values.errors import JobError
from screens.widgets.question import Leaving, Question
from tests.screens.deck import BOTH, LARGE, deck
from tests.screens.samples import CURRENT
from tests.screens.stage import Stage
from tests.screens.stage_jobs import job_view
from tests.screens.test_context import places


@pytest.mark.parametrize("page", [False, True], ids=["list", "page"])
async def test_a_running_job_is_worked_on_here_after_a_question(page: bool) -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.press(*(["enter"] if page else []), "w")
        assert isinstance(d.app.screen, Question)
        assert "5 processes of this host would work on it" in d.says()
        assert d.app.focused is not None
        assert d.app.focused.id == "cancel"
        await d.press("enter")
        assert stage.job_processes.asked == []
        await d.press("w", "right", "enter")
        assert stage.job_processes.asked == [(31, 5, ())]
        assert "5 processes" in d.toasts()[-1]


@pytest.mark.deep
async def test_as_many_processes_as_are_named() -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.command("work-here 2")
        await d.press("right", "enter")
        assert stage.job_processes.asked == [(31, 2, ())]
        await d.command("work-here many")
        assert "Enter a number of processes" in d.toasts()[-1]
        assert stage.job_processes.asked == [(31, 2, ())]


@pytest.mark.deep
async def test_a_job_that_undoes_another_is_worked_on_with_its_key_trusted() -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.press("down", "U")
        await d.type("1000000")
        await d.press("enter", "w", "right", "enter")
        assert stage.job_processes.asked[-1] == (33, 5, (CURRENT,))


async def test_what_does_not_run_is_not_worked_on() -> None:
    stage = Stage()
    stage.jobs.views[31] = job_view(state=JobState.PAUSED)
    async with deck(stage, start="jobs") as d:
        await d.press("w")
        assert not isinstance(d.app.screen, Question)
        await d.command("work-here")
        assert "not available here" in d.toasts()[-1]


async def test_a_process_that_could_not_be_started_is_told() -> None:
    stage = Stage()
    stage.faults["job.work_on"] = JobError("No process could be started: too many.")
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.press("w", "right", "enter")
        assert d.toasts()[-1] == "No process could be started: too many."


async def test_the_page_tells_processes_of_this_console_and_why_one_has_stopped() -> None:
    stage = Stage()
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.press("enter")
        assert "of this console" not in d.text()
        stage.job_processes.working[31] = 3
        await d.press("r")
        assert "3 of this console: until it is left" in d.text()
        stage.job_processes.working.clear()
        stage.job_processes.troubles[31] = "Process 99 stopped: keydeck: KMS denies kms:Decrypt."
        await d.press("r")
        assert "✖ Process 99 stopped: keydeck: KMS denies kms:Decrypt." in d.text()
        assert "of this console" not in d.text()


async def test_a_job_that_nobody_works_on_says_how_to_here_and_elsewhere() -> None:
    stage = Stage()
    stage.jobs.views[31] = job_view(runners=())
    async with deck(stage, start="jobs", size=LARGE) as d:
        assert "No process is working on it. w: here. On any host: keydeck jobs join 31" in d.text()
        await d.press("enter")
        assert "▲ No process is working on it. w: here. On any host: keydeck jobs join 31" in d.text()


# Leaving


@BOTH
async def test_a_console_that_works_on_a_job_is_left_only_if_that_is_meant(size: tuple[int, int]) -> None:
    stage = Stage()
    stage.job_processes.working = {31: 2, 32: 1}
    async with deck(stage, start="jobs", size=size) as d:
        await d.press("q")
        assert isinstance(d.app.screen, Leaving)
        assert "keydeck jobs join 31" in d.says()
        assert "keydeck jobs join 32" in d.says()
        focused = d.app.focused
        assert isinstance(focused, Button)
        assert focused.id == "cancel"
        await d.press("enter")
        assert d.app.is_running
        assert not d.facts.leaving
        await d.press("q", "right", "enter")
        assert d.facts.leaving


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_pressed_twice_the_console_is_left_at_once(key: str) -> None:
    stage = Stage()
    stage.job_processes.working = {31: 2}
    async with deck(stage, start="jobs") as d:
        await d.press(key)
        assert isinstance(d.app.screen, Leaving)
        await d.pilot.press(key)
        assert d.facts.leaving


async def test_without_a_job_the_console_is_left_without_a_question() -> None:
    async with deck(start="jobs") as d:
        await d.pilot.press("q")
        assert d.facts.leaving


@pytest.mark.deep
async def test_what_works_on_jobs_in_a_place_that_was_left_is_told_too() -> None:
    archive = Stage()
    stage = places(archive=archive)
    stage.job_processes.working = {31: 2}
    async with deck(stage, start="jobs", size=LARGE) as d:
        await d.command("context database archive")
        assert d.app.facts.services.job_processes is archive.job_processes
        await d.press("q")
        assert "job 31" in d.says()
