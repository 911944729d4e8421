"""What the documents of a pack have in common besides the period: where, when and by whom it is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crypto_core.compliance.control import ControlCatalogue
from crypto_core.values.clean_text import NO_TEXT, CleanText, cleans
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
@cleans(500)
class PackContext(JsonRecord):
    """Where a pack is made, when, and by whom. The same period and context give the same bytes."""

    database_id: CleanText
    version: CleanText
    made_at: datetime
    made_by: CleanText
    host: CleanText = NO_TEXT
    catalogues: tuple[ControlCatalogue, ...] = ()
    left_out: tuple[CleanText, ...] = ()
    """Documents that the pack has not, and how to get them, a sentence each."""

    json_shape = shape("at=made_at by=made_by host version")
