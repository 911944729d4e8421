"""JSON Schemas of what commands print for programs: one for each thing, whichever command prints it."""

from __future__ import annotations

import json
from importlib import resources

from crypto_core.errors import SettingsError
from crypto_core.text.cleaning import clean
from crypto_core.text.likeness import meant

SCHEMAS = (
    "status",
    "token",
    "abilities",
    "order",
    "key",
    "finding",
    "event",
    "incident",
    "job",
    "forecast",
    "whose",
    "scan",
    "control",
    "control-period",
    "evidence-record",
    "pack-check",
)
"""Their names."""


def schema_text(name: str) -> str:
    """Return a schema as JSON. Raises SettingsError for a name that is none."""
    if name not in SCHEMAS:
        raise SettingsError(
            f"There is no schema {clean(name, 60)!r}.",
            remedy=f"{meant(name, SCHEMAS)}Schemas: {', '.join(SCHEMAS)}.",
        )
    text = resources.files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    return _completed(text) if name == "token" else text


def _completed(text: str) -> str:
    """Add the fields of a token's row that the text doesn't describe."""
    from crypto_core.database.tokens.inventory_row import InventoryRow
    from crypto_core.text.json_schema import properties_of

    document = json.loads(text)
    described = document["properties"]
    added = {key: value for key, value in properties_of(InventoryRow).items() if key not in described}
    document["properties"] = described | added
    document["required"] += added
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n" if added else text


def fields_of(name: str) -> tuple[str, ...]:
    """Return what every record of a schema has. Raises as `schema_text`."""
    return tuple(json.loads(schema_text(name))["required"])


def markdown() -> str:
    """Return each schema with what it describes."""
    rows = [f"| `{name}` | {json.loads(schema_text(name))['description']} |" for name in SCHEMAS]
    return "\n".join(["| schema | |", "|---|---|", *rows])
