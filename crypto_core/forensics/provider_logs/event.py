"""One event of a provider's audit log, whichever provider's: its fields, and the record as it came."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crypto_core.trail.record_reader import load
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """An event. `at` is aware and exact to the millisecond; texts are cleaned, "" where none is told."""

    provider: str
    event_id: CleanText
    """The provider's own id; where it gives none, the SHA-256 of the record."""
    at: datetime
    action: CleanText
    actor: CleanText = NO_TEXT
    address: CleanText = NO_TEXT
    agent: CleanText = NO_TEXT
    target: CleanText = NO_TEXT
    place: CleanText = NO_TEXT
    access: CleanText = NO_TEXT
    """The kind of token or app by which it was done; "" where a person did it, or none is told."""
    token_hash: bytes | None = None
    """SHA-256 of the token, as GitHub has it as `hashed_token`; None where the record has none."""
    raw: bytes = field(default=b"", repr=False)

    def as_json(self, *, record: bool = False) -> dict[str, Any]:
        """The event as a JSON document's part; with `record` also what came, every text of it cleaned."""
        document: dict[str, Any] = {
            "provider": self.provider,
            "id": self.event_id,
            "time": self.at.isoformat(timespec="milliseconds"),
            "action": self.action,
            "actor": self.actor or None,
            "address": self.address or None,
            "user_agent": self.agent or None,
            "target": self.target or None,
            "place": self.place or None,
            "access": self.access or None,
            "token_hash_known": self.token_hash is not None,
        }
        return document | ({"record": _cleaned(load(self.raw))} if record and self.raw else {})


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean(name, 200): _cleaned(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return clean(value, 10)
    return clean(value, 4_000) if isinstance(value, str) else value


def moment_of(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def milliseconds_of(moment: datetime) -> int:
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
