"""The question before a console is left that works on jobs, or on a step of an incident."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from screens.jobs.question import Question


class Leaving(Question):
    """Returns True to leave all the same. q leaves at once from here too."""

    def __init__(self, jobs: Sequence[int], actions: Mapping[int, str]) -> None:
        """`jobs` are those that this console works on, `actions` what it does, by the incident's number."""
        about: list[str] = []
        named: list[str] = []
        if jobs:
            numbers = ", ".join(str(job) for job in jobs)
            these = f"job {numbers}" if len(jobs) == 1 else f"jobs {numbers}"
            named.append(these)
            about += [
                f"This console works on {these}. Its processes end with it, after writing what they hold.",
                "Nothing is lost: the job's progress is in the database. Continue it on any host with:",
                *(f"  keydeck jobs join {job}" for job in jobs),
            ]
        if actions:
            named.append(", ".join(f"INC-{incident}" for incident in actions))
            about += [
                *(f"INC-{incident}: {words}" for incident, words in actions.items()),
                "The step stops where it is. Nothing is lost: continue it on any host with:",
                *(f"  keydeck incident next {incident}" for incident in actions),
            ]
        super().__init__(
            f"Leave Keydeck while it works on {' and '.join(named)}?", about, "Leave", safe="Stay"
        )
