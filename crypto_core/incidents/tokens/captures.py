"""Captures about tokens: the rows in scope, GitHub's audit log queries, and what was verified or asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crypto_core.errors import RefusedError
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.step_contracts import Captured, Situation
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.blast import scope_refs
from crypto_core.incidents.tokens.remembered import Remembered, counts
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted

if TYPE_CHECKING:
    from crypto_core.providers.service import ProviderService

QUERIES = 1_000
"""Tokens whose audit log queries are made."""


class TokensCapture:
    """An IncidentCapture: the rows in scope, field by field, and what proves them replaced later."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline

    def capture(self, situation: Situation) -> tuple[Captured, ...]:
        """Return them. Raises RefusedError, KmsError, DatabaseError, InterruptedRunError."""
        return (self._baseline.take(situation.incident, cancelled=situation.cancelled),)


class HashedQueryCapture:
    """An IncidentCapture: what to search GitHub's audit log for, token by token, without the token."""

    def __init__(self, baseline: Baseline, providers: ProviderService) -> None:
        self._baseline = baseline
        self._providers = providers

    def capture(self, situation: Situation) -> tuple[Captured, ...]:
        """Return the queries of those tokens in scope that are GitHub's. Raises KmsError, DatabaseError."""
        refs = scope_refs(self._baseline, situation)
        there = {token.ref for token in self._baseline.read(refs[:QUERIES], situation.cancelled)}
        queries = self._providers.hashed_queries(tuple(ref for ref in refs[:QUERIES] if ref in there))
        content = {
            "where": "GitHub: organisation settings, Logs, Audit log; or the enterprise's audit log",
            "queries": [{"reference": str(one.ref), "query": clean(one.query, 200)} for one in queries],
            "not_made": max(len(refs) - QUERIES, 0),
            "without_query": len(there) - len(queries),
        }
        title = f"Audit log queries (hashed-query) of {counted(len(queries), 'token')}"
        return (Captured(CaptureKind.HASHED_QUERY, title, content),)


class SummaryCapture:
    """An IncidentCapture of what an action of the incident has found out, in short.

    The action's own evidence holds it token by token; this is where it stands when the step ends.
    """

    def __init__(
        self, kind: CaptureKind, title: str, tell: Callable[[Situation], dict[str, Any] | None]
    ) -> None:
        self._kind = kind
        self._title = title
        self._tell = tell

    def capture(self, situation: Situation) -> tuple[Captured, ...]:
        """Return the summary. Raises RefusedError where nothing was done yet."""
        content = self._tell(situation)
        if content is None:
            raise RefusedError(
                f"There is no {self._kind} to keep yet.", remedy="Run the action that finds it out first."
            )
        return (Captured(self._kind, self._title, {"summary": True, **content}),)


def verification_summary(remembered: Remembered) -> SummaryCapture:
    """Return what keeps the last verification, without its examples."""

    def tell(situation: Situation) -> dict[str, Any] | None:
        last = remembered.last(situation.incident, CaptureKind.VERIFICATION)
        if last is None:
            return None
        return {name: value for name, value in last.items() if name != "not_opened_examples"}

    return SummaryCapture(CaptureKind.VERIFICATION, "The last verification", tell)


def liveness_summary(remembered: Remembered) -> SummaryCapture:
    """Return what keeps how many of the old tokens are dead."""

    def tell(situation: Situation) -> dict[str, Any] | None:
        before = remembered.before(situation.incident)
        answers = remembered.answers(situation.incident)
        if before is None or not answers.by_mark:
            return None
        return counts(before.marks, answers) | {"last_asked": answers.at}

    return SummaryCapture(CaptureKind.LIVENESS, "Where the old tokens stand", tell)
