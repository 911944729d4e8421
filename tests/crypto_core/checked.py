"""Entries as the functions make them that check what they record, by whoever owns the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crypto_core.database.state.journal import Journal


def checked(
    journal: Journal, action: str, subject: str, detail: Mapping[str, Any], *, actor: str | None = None
) -> None:
    """Make one that something was done."""
    told = (action, subject, "done", json.dumps(detail, sort_keys=True), True)
    journal.call("make_entry", *told, actor=actor)
