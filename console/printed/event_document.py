"""An event as `events show` prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crypto_core.trail.store.store import StoredEvent
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
class EventDocument(JsonRecord):
    """One event with its receipts, and its record as it came."""

    stored: StoredEvent
    record: dict[str, Any]

    json_shape = shape("*stored receipts=stored.receipts record")
