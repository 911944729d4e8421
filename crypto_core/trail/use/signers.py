"""Who signed with a KMS key near a moment, as the kept events of CloudTrail have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from crypto_core.trail.store import EventStore
from crypto_core.trail.use.asking import asked_as, term

NEAR = timedelta(minutes=2)
"""The database's clock, which dates a decision, and that of AWS may differ by so much."""
_MOST = 100


@dataclass(frozen=True, slots=True)
class StoredSigners:
    """A SignatureWitness. Fetches nothing: it goes by what the store holds, which is opened to be asked."""

    store: Callable[[], EventStore]

    def signers(self, key_arn: str, at: datetime) -> tuple[str, ...]:
        """Return the identities that signed with a key near a moment, each once, as STS names them.

        Raises EventStoreError.
        """
        begin, end = ((at + by).replace(microsecond=0).isoformat() for by in (-NEAR, NEAR))
        signing = f"{term('key', asked_as(key_arn))} {term('name', 'Sign', 'GenerateMac')} -failed"
        found = self.store().tally(
            ("principal", "session"), f"{signing} since:{begin} until:{end}", limit=_MOST
        )
        return tuple(dict.fromkeys(_identity(*row.texts) for row in found.rows))


def _identity(principal: str, session: str) -> str:
    """A principal as STS names it: a role's session by the role's name, without its path."""
    account, _, name = principal.partition(":role/")
    if not name or not session:
        return principal
    return f"{account.replace(':iam:', ':sts:', 1)}:assumed-role/{name.rpartition('/')[2]}/{session}"
