"""JSON Schemas of what commands print for programs: one for each thing, whichever command prints it.

They follow from the models that make the documents. `words.toml` has what annotations don't say: of each
schema a title and a description, and of members a sentence, or a narrower rule such as a pattern.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib import resources
from pkgutil import resolve_name
from typing import Any

from console.capabilities import manifests
from console.manual.schema_of import Schema, schema_of
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.typed_names import meant

_MODELS = {
    "status": ("crypto_core.keys.status:Status",),
    "token": (
        "crypto_core.database.tokens.inventory_row:InventoryRow",
        "crypto_core.database.tokens.inspection:Inspection",
    ),
    "key": ("console.printed.key_document:KeyDocument",),
    "finding": ("console.printed.finding_document:FindingDocument",),
    "event": ("crypto_core.trail.store.store:StoredEvent", "console.printed.event_document:EventDocument"),
    "incident": ("crypto_core.incidents.model:IncidentView", "console.printed.incident_words:ShownIncident"),
    "job": (
        "console.printed.job_words:JobDocument",
        "console.printed.job_words:ShownJob",
        "console.printed.job_words:StartedJob",
    ),
    "forecast": ("crypto_core.reencryption.scale.forecast:Forecast",),
    **{name: models for one in manifests() for name, models in one.schemas.items()},
}
"""The model of each; what only its others have is in some documents."""


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))


SCHEMAS = tuple(name for name in _words() if name in _MODELS)
"""Their names, in the order of their words."""


def schema_text(name: str) -> str:
    """Return a schema as JSON. Raises SettingsError for a name that is none."""
    if name not in SCHEMAS:
        raise SettingsError(
            f"There is no schema {clean(name, 60)!r}.",
            remedy=f"{meant(name, SCHEMAS)}Schemas: {', '.join(SCHEMAS)}.",
        )
    return json.dumps(_schema(name), indent=2, ensure_ascii=False) + "\n"


def _schema(name: str) -> Schema:
    model, *others = map(resolve_name, _MODELS[name])
    schema = schema_of(model)
    for other in others:
        schema["properties"] = schema_of(other)["properties"] | schema["properties"]
    words = _words()[name]
    for path, said in words["members"].items():
        _member(schema, path).update({"description": said} if isinstance(said, str) else said)
    about = {"title": words["title"], "description": words["description"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | about | schema


def _member(schema: Schema, path: str) -> Schema:
    """Return a member's schema by its path, such as "steps.state"; the entries of a list have no name."""
    found = schema
    for part in path.split("."):
        found = found.get("items", found)["properties"][part]
    return found


def fields_of(name: str) -> tuple[str, ...]:
    """Return what every record of a schema has. Raises as `schema_text`."""
    return tuple(json.loads(schema_text(name))["required"])


def markdown() -> str:
    """Return each schema with what it describes."""
    rows = [f"| `{name}` | {json.loads(schema_text(name))['description']} |" for name in SCHEMAS]
    return "\n".join(["| schema | |", "|---|---|", *rows])
