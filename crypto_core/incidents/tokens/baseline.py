"""The tokens as they were when they were first captured: what "dead" and "replaced" are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import Format
from crypto_core.incidents.model import Incident
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.step_contracts import Captured, Situation
from crypto_core.incidents.tokens.marks import Held, Marker, TokenComparison, TokenMark
from crypto_core.incidents.tokens.scope_tokens import InScope, ScopedTokens, in_pages
from crypto_core.incidents.tokens.token_evidence import Answers, Before, Remembered, mark_json
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.values.counts import counted
from crypto_core.values.references import TokenRef

_IN_DETAIL = 500
"""Rows that are kept with all that is shown of them; of the others, what proves them replaced."""


@dataclass(frozen=True, slots=True)
class TokenStanding:
    """Where an incident's old tokens stand; `fresh` is evidence to keep of what was captured only now."""

    before: Before
    comparisons: tuple[TokenComparison, ...]
    answers: Answers
    fresh: tuple[Captured, ...] = ()
    now: dict[TokenRef, StoredToken] = field(default_factory=dict, repr=False)

    @property
    def marks(self) -> dict[TokenRef, TokenMark]:
        return {mark.ref: mark for mark in self.before.marks}

    def holding(self, *held: Held) -> tuple[TokenRef, ...]:
        return tuple(one.ref for one in self.comparisons if one.held in held)


class Baseline:
    """Takes and reads it. Blocks on SQL and KMS."""

    def __init__(self, parts: ToolServices) -> None:
        self._parts = parts
        self.scoped = ScopedTokens(parts)
        self.marker = Marker(parts.opener, parts.marks)
        self.remembered = Remembered(parts.evidence)

    def captured(self, situation: Situation) -> tuple[Captured, ...]:
        """Return the tokens in scope as evidence: row by row, without any value.

        Raises RefusedError for an incident that is about no tokens, KmsError, DatabaseError,
        InterruptedRunError.
        """
        incident, cancelled = situation.incident, situation.cancelled
        found = self.scoped.resolve(incident, cancelled=cancelled)
        # A filter may let empty values through; nothing can become of these.
        tokens = [t for t in self.read(found.refs, cancelled) if t.format is not Format.EMPTY]
        marks = self.marker.marks(incident, tokens, cancelled=cancelled)
        rows = in_pages(self._parts.inventory.rows, [token.ref for token in tokens], cancelled)
        content = _content(incident, found, marks, rows)
        return (Captured(CaptureKind.TOKENS, f"{counted(len(marks), 'token')} in scope", content),)

    def standing(self, situation: Situation) -> TokenStanding:
        """Return where the old tokens stand; captured now if they never were. Raises as `captured`."""
        incident, cancelled = situation.incident, situation.cancelled
        before = self.remembered.before(incident)
        fresh: tuple[Captured, ...] = ()
        if before is None or not before.whole:
            fresh = self.captured(situation)
            before = self.remembered.read(fresh[0].content)
        tokens = self.read([mark.ref for mark in before.marks], cancelled)
        answers = self.remembered.answers(incident)
        compared = self.marker.compare(
            incident, before.marks, tokens, entered=answers.entered, cancelled=cancelled
        )
        return TokenStanding(before, compared, answers, fresh, {token.ref: token for token in tokens})

    def read(self, refs: Sequence[TokenRef], cancelled: Event | None = None) -> list[StoredToken]:
        """Return those of some rows' stored values that are there."""
        return in_pages(self._parts.store.read_many, refs, cancelled)


def _content(
    incident: Incident, found: InScope, marks: Sequence[TokenMark], rows: Sequence[InventoryRow]
) -> dict[str, Any]:
    row_of = {row.ref: row for row in rows}

    def told(mark: TokenMark) -> dict[str, Any]:
        row = row_of.get(mark.ref)
        format_, key = (row.format.value, row.key_arn) if row else (None, None)
        return mark_json(mark) | {"format": format_, "key_arn": key}

    return {
        "captured_at": datetime.now(UTC).isoformat(),
        "scope": str(incident.scope),
        "number": len(marks),
        "whole": found.whole,
        "gaps": list(found.gaps),
        "marks": "stored and token are HMAC-SHA-256 under a key of this incident, cut to 16 bytes",
        "tokens": [told(mark) for mark in marks],
        "rows": [row.as_json() for row in rows[:_IN_DETAIL]],
        "rows_without_detail": max(len(rows) - _IN_DETAIL, 0),
    }
