"""A journal without a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from crypto_core.guard.guarded_change import Outcome
from crypto_core.values.errors import KeydeckError


@dataclass
class Paper:
    """A journal on paper; `torn` is what happens to whoever writes in it."""

    torn: KeydeckError | None = None
    entries: list[tuple[str, str, Outcome, dict[str, Any]]] = field(default_factory=list)

    def record(
        self,
        action: str,
        subject: str,
        outcome: Outcome,
        detail: Mapping[str, Any] | None = None,
        *,
        within: Connection | None = None,
        actor: str | None = None,
        by: str = "",
    ) -> None:
        """Append an entry, or raise."""
        if self.torn is not None:
            raise self.torn
        self.entries.append((action, subject, outcome, dict(detail or {})))
