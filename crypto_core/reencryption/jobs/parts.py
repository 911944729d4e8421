"""What jobs are made of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.jobs import JobStore
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.chunks import ChunkStore
from crypto_core.database.tokens.job_tokens import UnwritableStore
from crypto_core.database.tokens.store import TokenStore
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.guard import Guard


@dataclass(frozen=True, slots=True)
class JobParts:
    engine: Engine
    jobs: JobStore
    chunks: ChunkStore
    unwritable: UnwritableStore
    store: TokenStore
    answers: AttributionCache
    attributor: Attributor
    journal: Journal
    same_database: bool
    """True if the journal is in the tokens' own database."""

    def guard(self, *, read_only: bool, approvals: ApprovalGate | None) -> Guard:
        """Return what stands before changes of jobs: both databases must be able to keep what it takes."""
        ready = require_schemas(self.engine, self.journal.engine)
        return Guard(self.journal, read_only=read_only, ready=ready, approvals=approvals)

    def journaling(self, connection: Connection) -> Connection | None:
        """Return the transaction that entries of the journal can share with the tokens'; None if none can."""
        return connection if self.same_database else None
