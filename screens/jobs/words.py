"""A job's state in a sign and words, alike in the list and on its page."""

from __future__ import annotations

from datetime import timedelta

from crypto_core.reencryption.jobs.model import Job, JobState, JobView
from crypto_core.reencryption.plan import Verb
from screens.facts import ScreenFacts
from screens.moments import span
from screens.signs import Sign

SIGNS = {
    JobState.RUNNING: Sign("▶", "$accent"),
    JobState.PAUSED: Sign("▲", "$warning"),
    JobState.DONE: Sign("●", "$success"),
    JobState.CANCELLED: Sign("○", "$muted"),
    JobState.FAILED: Sign("✖", "$error"),
}


def state_sign(view: JobView) -> Sign:
    """Return a job's sign; one that is done but for tokens that can't be written is not well."""
    if view.state is JobState.DONE and view.poisoned:
        return Sign("▲", "$warning")
    return SIGNS[view.state]


def what_words(job: Job) -> str:
    return f"{job.verb.words}: {job.selection}"


def at_work(view: JobView) -> int:
    return sum(not runner.ended for runner in view.runners)


def how_to_work(view: JobView, facts: ScreenFacts) -> str:
    here = "" if facts.read_only else "w: here. "
    return f"{here}On any host: keydeck jobs join {view.job.id}"


def restorable(view: JobView) -> bool:
    return view.state.ended and view.job.verb is not Verb.ENCRYPT and view.done > 0


def share_done(view: JobView) -> float:
    return view.through / view.whole if view.whole else float(view.state is JobState.DONE)


def to_go(view: JobView) -> str:
    """Return how long a job still takes, "" where there is no telling."""
    if view.state is not JobState.RUNNING or view.eta_seconds is None:
        return ""
    return f"about {span(timedelta(seconds=view.eta_seconds))}"
