"""A job is worked on only as it was confirmed: its row is compared with the journal's entry of its beginning.

Whoever may write to `keydeck.job` could otherwise give it another key, or other tokens, than were agreed to.
"""

from __future__ import annotations

import hashlib
import json
from uuid import UUID

from crypto_core.database.state.jobs import JobDraft, JobRow
from crypto_core.database.state.journal import Journal
from crypto_core.errors import JobChangedError

_TERMS = (
    *("run_id", "verb", "selection", "scope", "source_key_arn", "target_key_arn"),
    *("write_format", "allow_downgrade", "verify", "planned", "restores"),
)
_OF_PLAN = ("selected", "binding")


def terms_digest(job: JobDraft | JobRow) -> str:
    """Return a digest, in hex, of all that decides what a job writes, and about which tokens."""
    terms = {name: getattr(job, name) for name in _TERMS} | {name: job.plan.get(name) for name in _OF_PLAN}
    return hashlib.sha256(json.dumps(terms, sort_keys=True, default=str).encode()).hexdigest()


class ConfirmedTerms:
    """What jobs were begun as, by the journal. Thread-safe."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[UUID, str] = {}

    def require(self, job: JobRow) -> None:
        """Pass if a job is as it was begun. Raises JobChangedError if not, DatabaseError.

        The journal has no digest of jobs that were begun before there was one: of those the key counts alone.
        """
        known = self._known.get(job.run_id)
        if known is None:
            begun = self._journal.begun(job.run_id)
            if begun is None:
                raise JobChangedError(f"The journal has no beginning of job {job.id}: it was not confirmed.")
            same_key = begun.get("to", job.target_key_arn) == job.target_key_arn
            known = str(begun.get("terms", terms_digest(job) if same_key else ""))
            self._known[job.run_id] = known
        if known != terms_digest(job):
            raise JobChangedError(f"Job {job.id} is not as it was confirmed: its row was changed since.")
