"""A job begun, worked on and undone from the console, over PostgreSQL and KMS, by processes of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Engine

from console.application.app import KeydeckApp
from console.application.context import ConsoleContexts
from console.container import Container
from console.sandbox.world import World
from console.settings import Settings, load
from crypto_core.database.state.installation import install
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.jobs.service import JobService
from screens.jobs.job_screen import JobScreen
from screens.jobs.new_job import JobPreview, RestoreDialog
from tests.console.command_types import NewKey
from tests.console.test_jobs_for_real import remove_corrupt
from tests.screens.deck import LARGE, Deck
from tests.screens.stage import Stage


@asynccontextmanager
async def console(contexts: ConsoleContexts) -> AsyncIterator[Deck]:
    app = KeydeckApp(contexts.services, start_screen="jobs")
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        deck = Deck(app, pilot, Stage())
        await deck.settle()
        await deck.until(lambda: app.facts.status.value is not None)
        yield deck


@pytest.fixture
def contexts(services: Container, superuser: Engine, world: World, new_key: NewKey) -> ConsoleContexts:
    """A place that writes under a new key, with only tokens that open."""
    install(services.engine)
    remove_corrupt(superuser, world)
    settings: Settings = load().settings
    trusted = tuple(filter(None, (*settings.trusted_keys, settings.write_key)))
    return ConsoleContexts(settings.model_copy(update={"write_key": new_key(), "trusted_keys": trusted}))


def jobs_of(deck: Deck) -> JobService:
    work = deck.facts.services.jobs
    assert work is not None
    return work


async def ended(deck: Deck, job: int) -> JobView:
    for _ in range(1_200):
        view = await asyncio.to_thread(jobs_of(deck).show_job, job)
        if view.state is not JobState.RUNNING:
            return view
        await asyncio.sleep(0.1)
    raise AssertionError(f"Job {job} has not ended.")


@pytest.mark.deep
async def test_a_key_is_emptied_from_the_console_and_that_is_undone(
    contexts: ConsoleContexts, world: World
) -> None:
    old = world.current_key.arn
    async with console(contexts) as deck:
        status = deck.facts.status.value
        assert status is not None
        under = status.tokens_under(old)
        await deck.press("n", "enter", "enter", "enter")
        assert isinstance(deck.app.screen, JobPreview)
        await deck.until(lambda: deck.app.screen.query("#confirm"))
        assert f"{under:,} tokens would be written under" in deck.says()
        await deck.type(str(under))
        await deck.press("enter")
        await deck.until(lambda: isinstance(deck.app.screen, JobScreen))
        page = deck.app.screen
        assert isinstance(page, JobScreen)
        view = await ended(deck, page.job)
        assert (view.state, view.done, view.poisoned) == (JobState.DONE, under, 0), view.why
        await deck.press("r")
        await deck.until(lambda: "● done" in deck.text())
        await deck.press("U")
        assert isinstance(deck.app.screen, RestoreDialog)
        await deck.until(lambda: deck.app.screen.query("#confirm"))
        await deck.type(str(under))
        await deck.press("enter")
        await deck.until(lambda: isinstance(deck.app.screen, JobScreen) and deck.app.screen is not page)
        restoring = deck.app.screen
        assert isinstance(restoring, JobScreen)
        undone = await ended(deck, restoring.job)
        assert (undone.state, undone.done, undone.job.restores) == (JobState.DONE, under, page.job)
        again = await asyncio.to_thread(deck.facts.services.status.take_census)
        assert again.tokens_under(old) == under
        processes = deck.facts.services.job_processes
        assert processes is not None
        await deck.until(lambda: not processes.at_work())
    assert contexts.close() == ()


@pytest.mark.deep
async def test_a_job_that_a_console_is_left_with_goes_on_wherever_it_is_joined(
    contexts: ConsoleContexts, world: World
) -> None:
    async with console(contexts) as deck:
        await deck.press("n", "enter", "enter", "enter")
        await deck.until(lambda: deck.app.screen.query("#confirm"))
        status = deck.facts.status.value
        assert status is not None
        under = status.tokens_under(world.current_key.arn)
        # One call a second: it is not done before the console is left.
        await deck.press("shift+tab", "shift+tab")
        await deck.type("1")
        await deck.press("tab", "tab")
        await deck.type(str(under))
        await deck.press("enter")
        await deck.until(lambda: isinstance(deck.app.screen, JobScreen))
        page = deck.app.screen
        assert isinstance(page, JobScreen)
        processes = deck.facts.services.job_processes
        assert processes is not None
        assert list(processes.at_work()) == [page.job]
        job, work = page.job, jobs_of(deck)
    assert contexts.close() == (job,)
    while processes.at_work():
        await asyncio.sleep(0.05)
    assert processes.trouble(job) == ""
    left = work.show_job(job)
    assert left.state is JobState.RUNNING
    assert left.remaining > 0
    assert work.cancel_job(job).state is JobState.CANCELLED
