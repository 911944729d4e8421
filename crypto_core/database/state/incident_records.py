"""What is read of an incident as it is shown. All text is cleaned on the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crypto_core.values.clean_text import CleanText, cleans
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
@cleans(512)
class EvidencePiece(JsonRecord):
    """A piece of evidence without its content. `sha256` is in hex, over the content's UTF-8 text."""

    id: int
    step_id: CleanText
    kind: str
    title: CleanText
    captured_at: datetime
    captured_by: CleanText
    sha256: CleanText
    characters: int

    json_shape = shape("id step=step_id ...")


@dataclass(frozen=True, slots=True)
@cleans(512)
class Present:
    actor: CleanText
    host: CleanText
    seen_at: datetime
