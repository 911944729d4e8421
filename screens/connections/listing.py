"""The tokens as a table lists them: columns, words, and what is exported."""

from __future__ import annotations

from crypto_core.database.tokens.inventory import InventoryRow, SortKey
from crypto_core.database.tokens.inventory_expressions import FIELDS
from crypto_core.envelope import Format
from crypto_core.findings.severity import Severity
from screens.ages import span
from screens.facts import Facts
from screens.signs import DECOY_SIGN, EVIDENCE_STYLES, SIGNS, format_style, row_sign
from screens.widgets.cells import fit_middle
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing


def _format(row: InventoryRow, _facts: Facts) -> Cell:
    return row.format.value, format_style(row.format)


def _key(row: InventoryRow, facts: Facts) -> Cell:
    if row.key_arn is None:
        return ("?", "$warning") if row.format.protected else ("-", "$muted")
    return facts.key_words.short_with_generation(row.key_arn, row.key_material_id), ""


def _evidence(row: InventoryRow, _facts: Facts) -> Cell:
    if row.tripwire is not None:
        return f"{DECOY_SIGN} decoy", "$accent"
    if not row.format.protected:
        return ("-", "$muted") if row.format is not Format.UNRECOGNISED else ("unknown", "$warning")
    return row.evidence.value, EVIDENCE_STYLES[row.evidence]


def _created(row: InventoryRow, facts: Facts) -> Cell:
    return (span(facts.moment - row.created_at) if row.created_at else "?"), "$muted"


def _state(row: InventoryRow, _facts: Facts) -> Cell:
    if row.severity is Severity.NONE:
        return "ok", ""
    return row.severity.value, SIGNS[row.severity].style


def _characters(row: InventoryRow, _facts: Facts) -> Cell:
    return f"{row.characters:,}", ""


def _material(row: InventoryRow, _facts: Facts) -> Cell:
    return (row.key_material_id or "-"), "" if row.key_material_id else "$muted"


def _about(row: InventoryRow, _facts: Facts) -> Cell:
    return "  ".join(f"{name} {value}" for name, value in row.shown if value), "$muted"


def _reference(row: InventoryRow, _facts: Facts) -> Cell:
    return str(row.ref), ""


COLUMNS: tuple[Column[InventoryRow], ...] = (
    Column("reference", "token reference", _reference, SortKey.REFERENCE, 30, 60, 0, cut=fit_middle),
    Column("org", "org", lambda row, _: (row.organisation, ""), SortKey.ORGANISATION, 8, 24, 3),
    Column("provider", "provider", lambda row, _: (row.provider, ""), SortKey.PROVIDER, 10, 12, 5),
    Column("format", "format", _format, SortKey.FORMAT, 12, 12, 1),
    Column("key", "key · material", _key, SortKey.KEY, 14, 26, 2),
    Column("evidence", "evidence", _evidence, SortKey.EVIDENCE, 8, 10, 4),
    Column("created", "age", _created, SortKey.CREATED, 6, 7, 6),
    Column("state", "state", _state, SortKey.STATE, 8, 9, 7, shown=False),
    Column("characters", "characters", _characters, SortKey.CHARACTERS, 10, 12, 8, shown=False, right=True),
    Column("material", "key material id", _material, "", 16, 64, 9, shown=False),
    Column("about", "row", _about, "", 30, 160, 10, shown=False),
)

LISTING: Listing[InventoryRow] = Listing(
    name="connections",
    columns=COLUMNS,
    source=lambda facts: facts.services.inventory,
    fields=FIELDS,
    sort=SortKey.STATE.value,
    identity=lambda row: row.ref,
    reference=lambda row: str(row.ref),
    sign=lambda row, facts: row_sign(row, facts.key_words),
    record=lambda row: row.as_json(),
    one="token",
    many="tokens",
    nothing="No tokens are stored: the configured tables are empty.\n"
    "Is it the right database? c chooses another; keydeck settings shows what is set.",
    worst_first=SortKey.STATE.value,
)
EXAMPLE = "provider:slack format:plaintext,dev -org:acme"
