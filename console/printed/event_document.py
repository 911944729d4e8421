"""An event as `events show` prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crypto_core.text.json_records import JsonRecord, shape
from crypto_core.trail.store.store import StoredEvent


@dataclass(frozen=True, slots=True)
class EventDocument(JsonRecord):
    """One event with its receipts, and its record as it came."""

    stored: StoredEvent
    record: dict[str, Any]

    json_shape = shape("*stored receipts=stored.receipts record")
