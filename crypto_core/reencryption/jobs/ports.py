"""What a job's runner is joined to: what writes the tokens of a chunk, and who knows which keys they lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event
from typing import Protocol
from uuid import UUID

from crypto_core.reencryption.bulk.ports import TokenPages, TokenSink, TokenTask
from crypto_core.reencryption.bulk.watch import CallSample


class ChunkWork(Protocol):
    """Writes the tokens of one chunk after the other.

    Used by one thread, but for `set_rate`, `hold_back` and `take_sample`.
    """

    def write_chunk(self, pages: TokenPages, sink: TokenSink, order: TokenTask, stop: Event) -> None:
        """Write every token of `pages` anew. Blocks.

        Once `stop` is set KMS is asked nothing more, what is sealed is written, and this returns. Raises
        KmsError for what waiting does not mend, LeaseLostError, DatabaseError.
        """
        ...

    def set_rate(self, limit: float, fellows: float) -> None:
        """Ask KMS so often a second at most, from now on; 0 for as often as the quota has room.

        `fellows` is the mean pace of all processes that work on the job, 0 for one alone.
        """
        ...

    def hold_back(self, waits: bool, /) -> None:
        """Ask KMS nothing and read nothing while `waits`; what is sealed is written."""
        ...

    def take_sample(self) -> CallSample:
        """Return what was measured since the last time."""
        ...


OpenWork = Callable[[], AbstractContextManager[ChunkWork]]
"""Makes what writes, with its connections to KMS, for as long as a process works on a job."""

OpenRestoring = Callable[[UUID], AbstractContextManager[ChunkWork]]
"""Makes what puts back the envelopes that a run, by its id, has replaced."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Who loses access, or may lose it, each with why; and what is not known of it. Cleaned text."""

    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


CompareAccess = Callable[[str, str, Sequence[str]], Compared]
"""Who decrypts under a source key today and may not under a target key: by both ARNs.

Those that the last argument names may lose it, and are left out.
"""
