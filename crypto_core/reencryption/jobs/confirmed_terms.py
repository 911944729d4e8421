"""A job is worked on only as it was confirmed: its row is compared with what the journal says of it.

Whoever may write to `keydeck.job` could otherwise give it another key, or other tokens, than were agreed to.
What is left is looked up anew for each wave, from the selection that was confirmed: its entry says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crypto_core.database.state.jobs import JobRow
from crypto_core.database.state.journal import Journal
from crypto_core.values.errors import JobChangedError

BEGIN = "record_job"
"""The database's function that records the beginning of a job and of each wave."""

_TERMS = (
    *("run_id", "verb", "selection", "source_key_arn", "target_key_arn"),
    *("write_format", "allow_downgrade", "verify", "planned", "restores"),
)
_OF_PLAN = ("selected", "binding")


def told_terms(job: JobRow) -> dict[str, str]:
    """Return what a job's beginning says in the journal of all that decides what it writes: digests.

    Of the row as it is stored.
    """
    terms = {name: getattr(job, name) for name in _TERMS} | {name: job.plan.get(name) for name in _OF_PLAN}
    terms |= {"code": job.plan["code"]} if "code" in job.plan else {}
    return {"terms": _digest(terms), **told_scope(job.scope)}


def told_scope(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return what the journal's entry of a wave says of the tokens that are left: a digest."""
    return {"scope": _digest(scope)}


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


class ConfirmedTerms:
    """What jobs were begun as, by the journal. Thread-safe."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[UUID, list[dict[str, str]]] = {}

    def require(self, job: JobRow) -> None:
        """Pass if a job is as it was begun. Raises JobChangedError if not, DatabaseError."""
        own = told_terms(job)
        if own not in self._known.get(job.run_id, ()):
            self._known[job.run_id] = self._confirmed(job)
        if own not in self._known[job.run_id]:
            raise JobChangedError(f"Job {job.id} is not as it was confirmed: its row was changed since.")

    def _confirmed(self, job: JobRow) -> list[dict[str, str]]:
        """What a job may be like: the terms of its beginning, with the tokens of it or of a later wave."""
        begun = self._journal.begun(job.run_id)
        if not begun or "terms" not in begun[0]:
            raise JobChangedError(
                f"The journal has no beginning of job {job.id} that was checked: it was not confirmed, or an "
                "earlier version of Keydeck made it.",
                remedy=f"Start anew what is left: keydeck jobs cancel {job.id}, then the same command again.",
            )
        return [{"terms": str(begun[0]["terms"]), "scope": str(detail["scope"])} for detail in begun]
