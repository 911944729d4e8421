"""What was done with an incident's tokens, by their providers' audit logs, and how far these reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.forensics.provider_logs.store import CoverBook, uncovered
from crypto_core.forensics.provider_logs.token_hashes import TokenHashBook, digest_of
from crypto_core.forensics.provider_logs.token_use import FRESH, TokenUses, place_of
from crypto_core.incidents.event_fetch import begin_of
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.runbooks.catalogue import CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import Captured, Situation, Toolbox
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.blast import scope_refs
from crypto_core.incidents.tokens.checks import seen
from crypto_core.incidents.tokens.verification_result import listed
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.lists.coverage import Coverage
from crypto_core.providers.answers import HashedQuery
from crypto_core.trail.use.token_timeline import TokenUse
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted, first_lines
from crypto_core.values.errors import RefusedError
from crypto_core.values.moments import in_utc
from crypto_core.values.references import TokenRef, parse_reference

QUERIES = 1_000
"""Tokens whose audit log queries are made."""
TOKENS = 200
"""Tokens whose uses are looked at one by one."""
_IN_DETAIL, _DEEDS, _THEFTS = 50, 100, 200
OTHER_PLACES = (
    "What was done at GitHub in organisations whose logs are not here stands in logs that only these have."
)


class ProviderUse:
    """Captures uses and checks coverage. Blocks on SQL, KMS and the stores; asks no provider."""

    def __init__(self, parts: ToolServices, uses: TokenUses) -> None:
        self._baseline = Baseline(parts)
        self._parts = parts
        self._uses = uses

    def tools(self) -> Toolbox:
        return Toolbox(
            checks={CheckKind.PROVIDER_EVENTS_COVERED: self.covered},
            captures={CaptureKind.HASHED_QUERY: self.queries, CaptureKind.PROVIDER_EVENTS: self.captured},
        )

    def queries(self, situation: Situation) -> tuple[Captured, ...]:
        """Return what to search GitHub's audit log for, token by token, without the token.

        The hashes are noted: by them events in the store are found. Raises KmsError, DatabaseError,
        EventStoreError.
        """
        refs = scope_refs(self._baseline, situation)
        there, queries = self._made(refs[:QUERIES], situation)
        content = {
            "captured_at": datetime.now(UTC).isoformat(),
            "where": "GitHub: organisation settings, Logs, Audit log; or the enterprise's audit log",
            "queries": [{"reference": str(one.ref), "query": clean(one.query, 200)} for one in queries],
            "not_made": max(len(refs) - QUERIES, 0),
            "without_query": there - len(queries),
        }
        title = f"Audit log queries (hashed-query) of {counted(len(queries), 'token')}"
        return (Captured(CaptureKind.HASHED_QUERY, title, content),)

    def _made(self, refs: tuple[TokenRef, ...], situation: Situation) -> tuple[int, tuple[HashedQuery, ...]]:
        """Return how many of some tokens are there, and the queries of GitHub's, whose hashes are noted."""
        there = {token.ref for token in self._baseline.read(refs, situation.cancelled)}
        queries = self._parts.providers.hashed_queries(tuple(ref for ref in refs if ref in there))
        hashes = {one.ref: digest for one in queries if (digest := digest_of(one.query)) is not None}
        if hashes:
            TokenHashBook(self._uses.log.file).note(hashes, situation.incident.name, datetime.now(UTC))
        return len(there), queries

    def captured(self, situation: Situation) -> tuple[Captured, ...]:
        """Return what the providers' logs in the store say of the tokens; GitHub's are opened for it.

        Raises RefusedError for an incident that is about no tokens, KmsError, DatabaseError,
        EventStoreError, InterruptedRunError.
        """
        refs = scope_refs(self._baseline, situation)
        self._note_earlier(situation)
        queries = self._made(refs[:TOKENS], situation)[1]
        uses = list(self._used(refs[:TOKENS], situation))
        content = _content(uses)
        content |= {
            "since": begin_of(situation.incident).isoformat(),
            "tokens": len(refs),
            "looked_at": len(uses),
            "not_looked_at": max(len(refs) - TOKENS, 0),
            "hashes_known": len(queries),
        }
        title = (
            f"Providers' audit logs (provider-events): {counted(content['used'], 'use')} of "
            f"{counted(len(uses), 'token')}, {content['may_have_been_used']:,} possible, "
            f"{content['look_like_theft']:,} look like a thief's"
        )
        return (Captured(CaptureKind.PROVIDER_EVENTS, title, content),)

    def covered(self, situation: Situation) -> CheckResult:
        """Return whether every provider's log covers the time since the suspicion begins.

        NOT_YET with the times that are missing, UNKNOWN where a provider's log isn't read or a row doesn't
        tell its place: what is not in the store may have happened.
        """
        try:
            refs = scope_refs(self._baseline, situation)
        except RefusedError as error:
            return seen(CheckState.FAILED, str(error))
        kept = self._baseline.remembered.last(situation.incident, CaptureKind.PROVIDER_EVENTS)
        if kept is None:
            return seen(CheckState.NOT_YET, "Capture what the providers' logs say first.")
        named, unread = self._places(refs, situation)
        since, until = begin_of(situation.incident), datetime.now(UTC) - FRESH
        if until <= since:
            until = since + timedelta(seconds=1)
        periods = CoverBook(self._uses.log.file).periods()
        gaps = [
            gap
            for provider, places in sorted(named.items())
            for gap in uncovered(periods, provider, sorted(places), since, until)
        ]
        done = sum(not uncovered(periods, p, sorted(places), since, until) for p, places in named.items())
        total = len(named) + len(unread)
        if gaps:
            return seen(CheckState.NOT_YET, *listed(gaps), *unread, done=done, total=total)
        if unread or not named:
            words = unread or ("No token in scope is one whose provider's log is read.",)
            return seen(CheckState.UNKNOWN, *words, done=done, total=total)
        line = f"Covered from {in_utc(since)} on: {', '.join(sorted(named))}."
        others = (OTHER_PLACES,) if "github" in named else ()
        return seen(CheckState.PASSED, line, *others, done=done, total=total)

    def _used(self, refs: tuple[TokenRef, ...], situation: Situation) -> Iterator[TokenUse]:
        suspects = self._parts.suspects.suspects_of(situation.incident, situation.cancelled)
        judge = self._uses.judge(suspects.arns, situation.cancelled)
        for ref in refs:
            stop_if(situation.cancelled)
            timeline = self._parts.use.token_timeline(ref, cancelled=situation.cancelled)
            yield self._uses.use_of(timeline, judge, cancelled=situation.cancelled)

    def _note_earlier(self, situation: Situation) -> None:
        """Note what the evidence has of the tokens' hashes: whoever captured it may have another store."""
        for text in self._parts.evidence(situation.incident.id, CaptureKind.HASHED_QUERY.value):
            content = json.loads(text)
            hashes: dict[TokenRef, bytes] = {}
            for one in content.get("queries", ()):
                ref, digest = parse_reference(str(one["reference"])), digest_of(str(one["query"]))
                if isinstance(ref, TokenRef) and digest is not None:
                    hashes[ref] = digest
            if hashes and content.get("captured_at"):
                at = datetime.fromisoformat(content["captured_at"])
                TokenHashBook(self._uses.log.file).note(hashes, situation.incident.name, at)

    def _places(
        self, refs: tuple[TokenRef, ...], situation: Situation
    ) -> tuple[dict[str, set[str]], tuple[str, ...]]:
        """The places of the tokens by provider, and a sentence for what isn't known of them."""
        named: dict[str, set[str]] = {}
        other = placeless = 0
        for row in self._parts.inventory.rows(list(refs)):
            stop_if(situation.cancelled)
            place = place_of(row)
            if place is None:
                other += 1
                continue
            named.setdefault(place.provider, set()).update(place.named)
            placeless += place.provider != "github" and not place.named
        unread = []
        if other:
            unread.append(f"{counted(other, 'token')} of providers whose audit logs are not read.")
        if placeless:
            unread.append(f"{counted(placeless, 'token')} whose rows don't tell their workspace or site.")
        return named, tuple(unread)


def _content(uses: list[TokenUse]) -> dict[str, Any]:
    thefts = [
        {
            "reference": str(use.ref),
            "time": deed.at.isoformat(),
            "what": deed.words,
            "certainty": deed.certainty.value,
            "why": "the token had been replaced: a fact" if deed.old else f"{deed.theft} (inferred)",
        }
        for use in uses
        for deed in use.thefts
    ]
    gaps = list(dict.fromkeys(reason for use in uses for reason in use.coverage.reasons))
    detail = [use for use in uses if use.used or use.may_have_used][:_IN_DETAIL]
    return {
        "used": sum(use.used for use in uses),
        "may_have_been_used": sum(use.may_have_used for use in uses),
        "look_like_theft": len(thefts),
        "old_tokens_used": sum(deed.old for use in uses for deed in use.deeds),
        "thefts": thefts[:_THEFTS],
        "by_token": [_shortened(use) for use in detail],
        "coverage": Coverage(first_lines(gaps, TOKENS)).as_json(),
    }


def _shortened(use: TokenUse) -> dict[str, Any]:
    document = use.as_json()
    further = max(len(use.deeds) - _DEEDS, 0)
    timeline = document["timeline"][further:]
    return {"reference": str(use.ref), **document, "timeline": timeline, "left_out": use.left_out + further}
