"""JSON Schemas of what commands print for programs: one for each thing, whichever command prints it."""

from __future__ import annotations

import json
from importlib import resources

from crypto_core.errors import SettingsError
from crypto_core.text.cleaning import clean
from crypto_core.text.likeness import meant

SCHEMAS = ("status", "token", "key", "finding", "event", "incident", "job")
"""Their names."""


def schema_text(name: str) -> str:
    """Return a schema as JSON. Raises SettingsError for a name that is none."""
    if name not in SCHEMAS:
        raise SettingsError(
            f"There is no schema {clean(name, 60)!r}.",
            remedy=f"{meant(name, SCHEMAS)}Schemas: {', '.join(SCHEMAS)}.",
        )
    return resources.files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")


def fields_of(name: str) -> tuple[str, ...]:
    """Return what every record of a schema has. Raises as `schema_text`."""
    return tuple(json.loads(schema_text(name))["required"])


def schemas_text() -> str:
    """Return the topic: each schema with what it describes."""
    lines = [f"  {name:<10}{json.loads(schema_text(name))['description']}" for name in SCHEMAS]
    return "\n".join(
        (
            "Each thing has one shape, whichever command prints it. keydeck help schema NAME prints its",
            "JSON Schema (draft 2020-12). A list is a document of such rows with what else there is to say;",
            "--output jsonl, csv and yaml have the same rows.",
            "",
            *lines,
        )
    )
