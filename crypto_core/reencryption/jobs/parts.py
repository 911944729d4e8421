"""What jobs are made of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from crypto_core.database.answers import AnswerBook
from crypto_core.database.attribution import Attributor
from crypto_core.database.chunks import ChunkStore
from crypto_core.database.job_tokens import UnwritableStore
from crypto_core.database.jobs import JobStore
from crypto_core.database.journal import Journal
from crypto_core.database.tokens import TokenStore


@dataclass(frozen=True, slots=True)
class JobParts:
    """What jobs are made of, over one database."""

    engine: Engine
    jobs: JobStore
    chunks: ChunkStore
    unwritable: UnwritableStore
    store: TokenStore
    answers: AnswerBook
    attributor: Attributor
    journal: Journal
    same_database: bool
    """True if the journal is in the tokens' own database."""
