"""One token of the inventory, without its value, and what people read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.database.tokens.decoys import DECOY_SIGN
from crypto_core.envelope import Format
from crypto_core.findings.finding import FORMAT_SEVERITY, Severity
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.sheet import NOTHING, Reader, Sheet, SheetField, Words
from crypto_core.lists.tone import Tone
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.references import TokenRef


@dataclass(frozen=True, slots=True)
class InventoryRow(JsonRecord):
    """One token without its value.

    `plaintext_provider` is whose plaintext it is (an issuer), told by its prefix.
    `characters` is the stored value's length. `key_arn` and `key_material_id` come from attribution.
    `shown` are (column, text) pairs that help to recognise the row; those of `altered` columns are not what
    is stored, but cleaned or cut: nothing is to be done by them.
    """

    json_shape = shape(
        "reference=ref provider organisation format severity plaintext_provider characters key_arn "
        "key_material_id evidence created_at shown tripwire ... -altered",
        shown=made(Mapping[str, str], lambda row: dict(row.shown)),
    )

    ref: TokenRef
    provider: str
    organisation: CleanText
    format: Format
    plaintext_provider: str | None
    characters: int
    key_arn: str | None
    key_material_id: str | None
    evidence: Evidence
    created_at: datetime | None
    shown: tuple[tuple[str, CleanText], ...]
    altered: frozenset[str] = frozenset()
    tripwire: int | None = None

    def __post_init__(self) -> None:
        shown = tuple((clean(name, 100), clean(text, 200)) for name, text in self.shown)
        altered = (
            name for (name, text), (_, stored) in zip(shown, self.shown, strict=True) if text != stored
        )
        object.__setattr__(self, "organisation", clean(self.organisation, 100))
        object.__setattr__(self, "altered", self.altered.union(altered))
        object.__setattr__(self, "shown", shown)

    @property
    def severity(self) -> Severity:
        return FORMAT_SEVERITY[self.format]


def _format(row: InventoryRow, _: Reader) -> Words:
    return row.format.value, _tone(row.severity)


def _key(row: InventoryRow, reader: Reader) -> Words:
    if row.key_arn is None:
        return ("?", Tone.WARNING) if row.format.protected else NOTHING
    return reader.key(row.key_arn, row.key_material_id), Tone.PLAIN


def _evidence(row: InventoryRow, _: Reader) -> Words:
    if row.tripwire is not None:
        return f"{DECOY_SIGN} decoy", Tone.NOTED
    if not row.format.protected:
        return NOTHING if row.format is not Format.UNRECOGNISED else ("unknown", Tone.WARNING)
    return row.evidence.value, row.evidence.tone


def _created(row: InventoryRow, reader: Reader) -> Words:
    return (reader.age(row.created_at) if row.created_at else "?"), Tone.QUIET


def _state(row: InventoryRow, _: Reader) -> Words:
    return "ok" if row.severity is Severity.NONE else row.severity.value, _tone(row.severity)


def _about(row: InventoryRow, _: Reader) -> Words:
    return "  ".join(f"{name} {value}" for name, value in row.shown if value), Tone.QUIET


def _material(row: InventoryRow, reader: Reader) -> Words:
    return (reader.material(row.key_material_id), Tone.PLAIN) if row.key_material_id else NOTHING


def _tone(severity: Severity) -> Tone:
    return Tone.PLAIN if severity is Severity.NONE else severity.tone


TOKEN: Sheet[InventoryRow, Any] = Sheet(
    "token",
    "tokens",
    (
        SheetField("reference", None, (30, 60, 0), "token reference", at="ref", order=True, ends=True),
        SheetField("org", None, (8, 24, 3), at="organisation", order=True),
        SheetField("provider", None, (10, 12, 5), order=True),
        SheetField("format", _format, (12, 12, 1), order=True),
        SheetField("key", _key, (14, 26, 2), "key · material", at="key_arn", order=True),
        SheetField("evidence", _evidence, (8, 10, 4), order=True),
        SheetField("created", _created, (6, 7, 6), "age", at="created_at", order=True),
        SheetField("state", _state, (8, 9, 7), at="severity", order=True, shown=False),
        SheetField("characters", None, (10, 12, 8), order=True, shown=False, right=True),
        SheetField("material", _material, (16, 64, 9), "key material id", at="key_material_id", shown=False),
        SheetField("about", _about, (30, 160, 10), "row", at="shown", shown=False),
    ),
    InventoryRow,
    hidden=frozenset({"plaintext_provider", "tripwire"}),
)
