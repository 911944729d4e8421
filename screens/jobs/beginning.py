"""The way to a new job: which tokens, which verb, under which key, the plan, then the job's page."""

from __future__ import annotations

from crypto_core.reencryption.plan import Verb
from screens.jobs.choose_tokens import ChooseTokens, Chosen
from screens.jobs.choose_verb import ChooseVerb
from screens.jobs.preview import JobPreview
from screens.jobs.proposal import Begun
from screens.jobs.restore import RestoreDialog
from screens.main_screen import MainScreen
from screens.reencryption.choose_key import ChooseKey
from screens.routes import Followed, JobRoute


async def begin_job(screen: MainScreen, chosen: Chosen | None = None, verb: Verb | None = None) -> bool:
    """Ask for what isn't known yet, begin a job and go to its page; returns whether one has begun.

    Called in a worker of the screen.
    """
    app, facts = screen.app, screen.facts
    chosen = chosen or await app.push_screen_wait(ChooseTokens(facts))
    if chosen is None:
        return False
    selection = chosen.selection
    verb = (
        Verb.ENCRYPT
        if selection.unprotected
        else verb or await app.push_screen_wait(ChooseVerb(chosen.words))
    )
    if verb is None:
        return False
    source = selection.under_key or ""
    choice = ChooseKey(facts, verb, chosen.tokens, what=chosen.words, without=source)
    key = await app.push_screen_wait(choice)
    if key is None:
        return False
    begun = await app.push_screen_wait(JobPreview(facts, verb, selection, key.key_arn))
    go_to_job(screen, begun)
    return begun is not None


async def begin_restore(screen: MainScreen, job: int) -> None:
    """Ask, begin the job that undoes another, and go to its page. Called in a worker of the screen."""
    go_to_job(screen, await screen.app.push_screen_wait(RestoreDialog(screen.facts, job)))


def go_to_job(screen: MainScreen, begun: Begun | None) -> None:
    """Show a job that has begun, and say what keeps this console from working on it."""
    if begun is None:
        return
    if begun.trouble:
        screen.say(f"Job {begun.job} has been made. {begun.trouble}", trouble=True)
    else:
        screen.say(
            f"Job {begun.job} has started. From another terminal or host: keydeck jobs join {begun.job}"
        )
    screen.post_message(Followed(JobRoute(begun.job)))
