"""Captures about use: who opened the tokens, who could have, and CloudTrail's events about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.incidents.event_fetch import begin_of, fetched
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.step_contracts import Captured, Situation
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.key_uses import OPENS
from crypto_core.lists.coverage import Coverage
from crypto_core.lists.paging import Query
from crypto_core.trail.use.filter_builder import term
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.reach import reach
from crypto_core.trail.use.token_timeline import TokenTimeline
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import counted, first_lines
from crypto_core.values.errors import KeyNotFoundError, SettingsError
from crypto_core.values.json_records import JsonRecord
from crypto_core.values.references import TokenRef

EVENTS = 1_000
"""Events that are kept one by one, the newest."""
TOKENS = 200
"""Tokens whose use is looked at one by one."""
_IN_DETAIL = 50

_OWN = (
    "Keydeck opens the tokens to mark them: after the incident's declaration, calls of its responders are "
    "among these."
)
_V2_ALONE = (
    "Only events that name a token are among these: v2. For v1, CloudTrail names none; the blast radius says "
    "which receipts name it, and who else could have opened it."
)


@dataclass(slots=True)
class _Opener(JsonRecord):
    """A principal, and what it opened or could have opened."""

    tokens: int = 0
    calls: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, calls: int, first: datetime, last: datetime, *, same_calls: bool) -> None:
        """Add one token; `same_calls` where the calls of all tokens are the same ones."""
        self.tokens += 1
        self.calls = max(self.calls, calls) if same_calls else self.calls + calls
        self.first = min(self.first or first, first)
        self.last = max(self.last or last, last)


@dataclass(slots=True)
class _Radius:
    """Who opened tokens by context, who by receipt, and who could have, by principal and key material."""

    opened: dict[str, _Opener] = field(default_factory=dict)
    by_receipt: dict[str, _Opener] = field(default_factory=dict)
    could: dict[tuple[str, str, str], _Opener] = field(default_factory=dict)
    statements: dict[str, None] = field(default_factory=dict)
    gaps: dict[str, None] = field(default_factory=dict)

    def add(self, timeline: TokenTimeline) -> None:
        _add_facts(self.opened, timeline.named)
        if timeline.receipted is not None:
            _add_facts(self.by_receipt, timeline.receipted.use)
        for use in timeline.could:
            for one in use.by:
                key = (one.texts[0], use.key_arn, use.key_material_id or "")
                self.could.setdefault(key, _Opener()).add(one.events, one.first, one.last, same_calls=True)
        self.statements |= dict.fromkeys(timeline.statements)
        self.gaps |= dict.fromkeys(timeline.coverage.reasons)

    def as_json(self) -> dict[str, Any]:
        return {
            "opened": _openers_json(self.opened),
            "opened_by_receipt": _openers_json(self.by_receipt),
            "could_have_opened": [
                {"principal": who, "key_arn": key, "key_material_id": material or None, **opener.as_json()}
                for (who, key, material), opener in sorted(
                    self.could.items(), key=lambda i: (-i[1].calls, i[0])
                )
            ],
            "statements": [*list(self.statements)[:TOKENS], _OWN],
            "coverage": Coverage(first_lines(list(self.gaps), TOKENS)).as_json(),
        }


def _add_facts(openers: dict[str, _Opener], named: NamedUse) -> None:
    """Add one token to those that its events, or receipts of them, say each principal opened."""
    by: dict[CleanText, list[Any]] = {}
    for row in named.rows.rows:
        name, principal = row.texts[0], row.texts[1]
        if name in OPENS and row.done:
            by.setdefault(principal, []).append(row)
    for principal, rows in by.items():
        openers.setdefault(principal, _Opener()).add(
            sum(row.done for row in rows),
            min(row.first for row in rows),
            max(row.last for row in rows),
            same_calls=False,
        )


def _openers_json(openers: Mapping[str, _Opener]) -> list[dict[str, Any]]:
    ordered = sorted(openers.items(), key=lambda item: (-item[1].calls, item[0]))
    return [{"principal": principal, **opener.as_json()} for principal, opener in ordered]


class TrailCaptures:
    """Captures what CloudTrail tells of the tokens or the key. Blocks on SQL, AWS and the events' store."""

    def __init__(self, baseline: Baseline, parts: ToolServices) -> None:
        self._baseline = baseline
        self._parts = parts

    def blast_radius(self, situation: Situation) -> tuple[Captured, ...]:
        """Return who opened the tokens and who could have; for a key, who used it.

        Facts and possibilities are kept apart: v1 names no token. Raises RefusedError for an incident
        that is about no tokens, DatabaseError, EventStoreError.
        """
        scope = situation.incident.scope
        if scope.key:
            use = self._parts.use.key_use(scope.key, since=scope.since, cancelled=situation.cancelled)
            title = f"Who used {scope.key}: {counted(use.events, 'event')}"
            return (Captured(CaptureKind.BLAST_RADIUS, title, use.as_json()),)
        refs = scope_refs(self._baseline, situation)
        radius = _Radius()
        detail: list[dict[str, Any]] = []
        for ref in refs[:TOKENS]:
            stop_if(situation.cancelled)
            timeline = self._parts.use.token_timeline(ref, cancelled=situation.cancelled)
            radius.add(timeline)
            if len(detail) < _IN_DETAIL:
                detail.append(timeline.as_json())
        title = (
            f"Blast radius: {counted(len({*radius.opened, *radius.by_receipt}), 'principal')} opened them, "
            f"{len({who for who, _, _ in radius.could}):,} could have"
        )
        content = {
            "tokens": len(refs),
            "looked_at": min(len(refs), TOKENS),
            "not_looked_at": max(len(refs) - TOKENS, 0),
            **radius.as_json(),
            "by_token": detail,
        }
        return (Captured(CaptureKind.BLAST_RADIUS, title, content),)

    def newest_events(self, situation: Situation) -> tuple[Captured, ...]:
        """Return the newest events since the suspicion begins, of the local store, and what that covers.

        Those about the keys of tokens in scope are fetched before, for a minute at most; those about a key
        are where its use is captured. Raises RefusedError, DatabaseError, EventStoreError,
        InterruptedRunError.
        """
        scope = situation.incident.scope
        notes: list[str] = []
        not_fetched: tuple[str, ...] = ()
        if scope.key:
            expression = self._of_key(scope.key)
        else:
            refs = scope_refs(self._baseline, situation)
            expression = term("token", *(str(ref) for ref in refs[:TOKENS])) if refs else ""
            notes.append(_V2_ALONE)
            if len(refs) > TOKENS:
                notes.append(f"Looked for the first {TOKENS} of {counted(len(refs), 'token')}.")
            not_fetched = self._fetched(refs[:TOKENS], situation)
        content: dict[str, Any] = {"events": [], "number": 0}
        if expression:
            content = self._events(expression, scope.since, situation)
        told = reach(
            self._parts.events, self._parts.covered, scope.since, None, cancelled=situation.cancelled
        )
        reasons = tuple(dict.fromkeys((*notes, *not_fetched, *told.reasons)))
        content |= {
            "since": scope.since.isoformat() if scope.since else None,
            "not_fetched": list(not_fetched),
            "coverage": Coverage(reasons).as_json(),
        }
        kept = counted(len(content["events"]), "event")
        return (Captured(CaptureKind.EVENTS, f"CloudTrail: {kept} of {content['number']:,}", content),)

    def _fetched(self, refs: Sequence[TokenRef], situation: Situation) -> tuple[str, ...]:
        """Fetch the events about the keys that tokens are under; returns what could not be had."""
        sealed = self._sealed(refs)
        if not all(row.key_arn for row in sealed):
            self._parts.status.take_census(cancelled=situation.cancelled)  # which asks KMS about their keys
            sealed = self._sealed(refs)
        keys = tuple(dict.fromkeys(row.key_arn for row in sealed if row.key_arn))
        unknown = sum(not row.key_arn for row in sealed)
        gaps: tuple[str, ...] = ()
        if unknown:
            words = f"The key of {counted(unknown, 'token')} is not known: events about it were not fetched."
            gaps = (words,)
        if keys:
            begin = begin_of(situation.incident)
            gaps += fetched(self._parts.monitor, keys, begin, situation.cancelled)
        return gaps

    def _sealed(self, refs: Sequence[TokenRef]) -> list[InventoryRow]:
        rows = self._parts.inventory.rows(list(refs))
        return [row for row in rows if row.format.protected]

    def _of_key(self, key: str) -> str:
        try:
            return self._parts.use.key_use(key).keys.filter
        except (SettingsError, KeyNotFoundError):
            return term("key", key)

    def _events(self, expression: str, since: datetime | None, situation: Situation) -> dict[str, Any]:
        window = f"{expression} since:{since.isoformat()}" if since else expression
        events, cancelled = self._parts.events, situation.cancelled
        page = events.page(Query(window, "time", descending=True), limit=EVENTS, cancelled=cancelled)
        return {
            "filter": clean(window, 2_000),
            "number": events.count(Query(window), cancelled=cancelled),
            "events": [row.event.as_json() for row in page.rows],
        }


def scope_refs(baseline: Baseline, situation: Situation) -> tuple[TokenRef, ...]:
    """Return the rows in scope: as first captured, or as they are now."""
    before = baseline.remembered.before(situation.incident)
    if before is not None:
        return tuple(mark.ref for mark in before.marks)
    return baseline.scoped.resolve(situation.incident, cancelled=situation.cancelled).refs
