"""The question before a console is left that works on jobs."""

from __future__ import annotations

from collections.abc import Sequence

from screens.jobs.question import Question


class Leaving(Question):
    """Returns True to leave all the same. q leaves at once from here too."""

    def __init__(self, jobs: Sequence[int]) -> None:
        """`jobs` are those that this console works on."""
        one = len(jobs) == 1
        numbers = ", ".join(str(job) for job in jobs)
        named = f"job {numbers}" if one else f"jobs {numbers}"
        about = [
            f"This console works on {named}. Its processes end with it, once they wrote what they hold.",
            "Nothing is lost: where a job stands is in the database. It goes on, on any host, with:",
            *(f"  keydeck jobs join {job}" for job in jobs),
        ]
        super().__init__(f"Leave Keydeck while it works on {named}?", about, "Leave", safe="Stay")
