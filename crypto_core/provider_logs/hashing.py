"""Opens GitHub tokens, where an operator agreed to it, and notes their hashes: no token is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from crypto_core.provider_logs.mappings import hash_of
from crypto_core.provider_logs.token_hashes import TokenHashBook
from crypto_core.providers.answers import HashedQuery
from crypto_core.providers.service import ProviderService
from crypto_core.references import TokenRef
from crypto_core.text.json_records import JsonRecord, shape

_FIELD = "hashed_token:"


@dataclass(frozen=True, slots=True)
class NotedHashes(JsonRecord):
    """The tokens whose hashes are known now; `new` of them were not known before."""

    refs: tuple[TokenRef, ...]
    new: int
    without: tuple[TokenRef, ...]
    """Those that are none of GitHub's, or that don't open."""

    json_shape = shape("noted=refs ...")


@dataclass(frozen=True, slots=True)
class TokenHashing:
    """Notes them. Blocks on SQL and KMS."""

    providers: ProviderService
    book: TokenHashBook
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def note(self, refs: tuple[TokenRef, ...], origin: str) -> NotedHashes:
        """Open tokens and note what GitHub's audit log calls them.

        Raises InvalidReferenceError, RowVanishedError, DatabaseError, KmsError, EventStoreError.
        """
        queries = self.providers.hashed_queries(refs)
        return self.note_queries(refs, queries, origin)

    def note_queries(
        self, refs: tuple[TokenRef, ...], queries: tuple[HashedQuery, ...], origin: str
    ) -> NotedHashes:
        """Note the hashes of queries that were made already, as of now. Raises EventStoreError."""
        hashes = {one.ref: digest for one in queries if (digest := digest_of(one.query)) is not None}
        new = self.book.note(hashes, origin, self.clock()) if hashes else 0
        return NotedHashes(tuple(hashes), new, tuple(ref for ref in refs if ref not in hashes))


def digest_of(query: str) -> bytes | None:
    """Return the hash that a query for GitHub's audit log has, None where it has none."""
    return hash_of(query.removeprefix(_FIELD).strip('"'))
