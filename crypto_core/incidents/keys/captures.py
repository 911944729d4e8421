"""Evidence about keys: what they are, who may use them, who did, which tokens are under them, and the jobs.

Nothing here reads a token or an envelope; texts from outside are cleaned when they are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from crypto_core.findings.finding import Finding
from crypto_core.incidents.event_fetch import begin_of, fetched
from crypto_core.incidents.keys.evidence_json import kept
from crypto_core.incidents.keys.subject import ENCRYPT_JOB, JOB, elsewhere, everywhere, new_key, old_key
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.step_contracts import Captured, IncidentCapture, Situation
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.state import KeyState, LastUse, last_use_since
from crypto_core.lists.coverage import Coverage
from crypto_core.values.clean_text import json_escaped
from crypto_core.values.errors import KeydeckError, KmsError, TrailError, UnknownJobError

_PRINCIPALS = 500

Piece = tuple[str, dict[str, Any]]
"""A title and a content that is not cleaned yet."""


class KeyCaptures:
    """Takes evidence. Blocks on KMS, the database and the events' store; changes nothing."""

    def __init__(self, services: ToolServices) -> None:
        self._services = services

    def by_kind(self) -> dict[CaptureKind, IncidentCapture]:
        functions: dict[CaptureKind, Callable[[Situation], Iterator[Piece]]] = {
            CaptureKind.KEY: self.key,
            CaptureKind.POLICY: partial(self._of_each, "Policy", self._policy),
            CaptureKind.GRANTS: partial(self._of_each, "Grants", self._grants),
            CaptureKind.KEY_USE: self.key_use,
            CaptureKind.CENSUS: self.census,
            CaptureKind.JOB: self.job,
            CaptureKind.FINDINGS: self.findings,
        }
        return {kind: partial(self._captured, kind, read) for kind, read in functions.items()}

    def _captured(
        self, kind: CaptureKind, read: Callable[[Situation], Iterator[Piece]], situation: Situation
    ) -> tuple[Captured, ...]:
        """What is there now, each with the incident and the time. Raises as its services do."""
        head = {"incident": situation.incident.name, "taken_at": self._services.clock().isoformat()}
        return tuple(Captured(kind, title, kept(head | content)) for title, content in read(situation))

    def key(self, situation: Situation) -> Iterator[Piece]:
        """Yield each key in each of its Regions as KMS describes it, or why it does not."""
        for which, name in (("Old key", old_key(situation)), ("New key", new_key(situation))):
            if not name:
                continue
            try:
                states = everywhere(self._services.keys, name)
            except KmsError as error:
                yield f"{which} {name}", {"key_arn": name, "not_known": str(error)}
                states = elsewhere(self._services.keys, name)
            for state in states:
                if "state" in state.missing:
                    yield f"{which} {state.key_arn}", _unasked(state)
                    continue
                shown = self._services.keys.show(state.key_arn)
                yield f"{which} {state.name} in {state.region}", shown.as_json()

    def _of_each(
        self, what: str, read: Callable[[KeyState], dict[str, Any]], situation: Situation
    ) -> Iterator[Piece]:
        """Yield what is read of each key in each of its Regions, or why that can't be asked."""
        for which, state in self._states(situation):
            if "state" in state.missing:
                yield f"{what} of {state.key_arn}", _unasked(state)
            else:
                title = f"{what} of the {which.lower()} {state.name} in {state.region}"
                yield title, {"key_arn": state.key_arn, **read(state)}

    def _policy(self, state: KeyState) -> dict[str, Any]:
        """A key's policy: its text, line by line, and the SHA-256 of the text as KMS gave it."""
        policy = self._services.policies.of(state)
        lines = policy.text.split("\n")
        shown = [json_escaped(line) for line in lines]
        return {
            "sha256": hashlib.sha256(policy.text.encode("utf-8", "surrogatepass")).hexdigest(),
            "text": [part for line in shown for part in _parts(line)],
            "as_kms_gave_it": shown == lines and all(len(line) <= _PART for line in lines),
            "says": [str(sentence) for sentence in policy.sentences],
        }

    def _grants(self, state: KeyState) -> dict[str, Any]:
        missing: dict[str, str] = {}
        found = self._services.policies.grants_of(state, missing)
        return {
            "grants": [grant.as_json() for grant in found] if found is not None else None,
            "coverage": _coverage(missing.values()),
        }

    def key_use(self, situation: Situation) -> Iterator[Piece]:
        """Yield who used the old key: KMS's last use, and the events, fetched anew, with what they cover."""
        arn = self._services.keys.describe(old_key(situation)).key_arn
        since, cancelled = situation.incident.scope.since, situation.cancelled
        last: list[dict[str, Any]] = []
        for _, state in self._states(situation):
            if "state" in state.missing:
                last.append(_unasked(state))
                continue
            shown = self._services.keys.show(state.key_arn)
            last.append(
                {
                    "key_arn": shown.key_arn,
                    "last_used_at": shown.last_used_at,
                    "last_used_for": shown.last_used_for,
                    "tracked_since": shown.use_tracked_since,
                    "not_known": shown.missing.get("last use") or _untold(shown, since),
                }
            )
        begin = begin_of(situation.incident)
        gaps = fetched(self._services.monitor, (arn,), begin, cancelled)
        summary = self._services.use.key_use(arn, since=since, cancelled=cancelled)
        by_whom = self._services.events.tally(
            ("principal", "name"), summary.filter, limit=_PRINCIPALS, cancelled=cancelled
        )
        yield (
            "Use of the old key",
            {
                "since": since,
                "last_use": last,
                "not_fetched": list(gaps),
                "by_principal_and_operation": by_whom.as_json({"name": "operation"}),
                **summary.as_json(),
            },
        )

    def census(self, situation: Situation) -> Iterator[Piece]:
        scope, new = situation.incident.scope.key, new_key(situation)
        proof = self._services.status.prove(cancelled=situation.cancelled)
        status = self._services.status.status_by(proof)
        content = status.as_json() | {"counted_at": status.taken_at, "proof": proof.as_json()}
        for name, key in (("under_old_key", scope), ("under_new_key", new)):
            if key:
                arn = self._arn(key)
                content[name] = None if arn is None else proof.tokens_under(arn)
        yield "Census", content

    def job(self, situation: Situation) -> Iterator[Piece]:
        """Yield each job of the incident with its censuses and the tokens that it could not write."""
        for value in (JOB, ENCRYPT_JOB):
            number = situation.incident.values.get(value, "")
            if not (number.isascii() and number.isdecimal()):
                continue
            try:
                view = self._services.jobs.show_job(int(number))
            except UnknownJobError as error:
                yield f"Job {number}", {"job": int(number), "not_known": error.message}
                continue
            unwritten = self._services.jobs.unwritten(view.job.id)
            yield (
                f"Job {view.job.id}: {view.job.verb.words}",
                {
                    **view.as_json(),
                    "created_at": view.job.created_at,
                    "created_by": view.job.created_by,
                    "census_before": view.census_before,
                    "census_after": view.census_after,
                    "unwritten": [{"reference": u.reference, "reason": u.reason} for u in unwritten],
                    "coverage": _coverage(
                        [f"{view.poisoned - len(unwritten):,} more could not be written"]
                        if view.poisoned > len(unwritten)
                        else []
                    ),
                },
            )

    def findings(self, situation: Situation) -> Iterator[Piece]:
        states = everywhere(self._services.keys, old_key(situation))
        names = {name for s in states for name in (s.key_arn, s.key_arn.rpartition("/")[2], *s.aliases)}
        since = begin_of(situation.incident)
        found: list[tuple[str, Finding]] = []
        gaps: list[str] = []
        try:
            posture = self._services.posture.examine_keys(cancelled=situation.cancelled)
            gaps += posture.coverage.reasons
            found += [("posture", finding) for finding in posture.findings]
        except KmsError as error:
            gaps.append(f"The posture could not be examined: {error}")
        try:
            examined = self._services.trail_rules.examine_events(since, None, situation.cancelled)
            gaps += examined.coverage.reasons
            found += [("events", finding) for finding in examined.findings]
            gaps += [f"{len(examined.suppressed):,} findings are suppressed"] if examined.suppressed else []
        except TrailError as error:
            gaps.append(f"The events could not be examined: {error}")
        suspects = self._services.suspects.suspects_of(situation.incident, situation.cancelled).as_json()
        gaps += suspects["suspects_coverage"]["reasons"]
        told = [{"by": by, **finding.as_json()} for by, finding in found if _is_about(finding, names)]
        yield (
            "Findings about the old key",
            {
                "key_arn": states[0].key_arn,
                "since": since,
                "findings": told,
                "others": len(found) - len(told),
                "suspects": suspects["suspects"],
                "coverage": _coverage(gaps),
            },
        )

    def _arn(self, key: str) -> str | None:
        """The key's ARN; None where KMS does not tell it."""
        try:
            return self._services.keys.describe(key).key_arn if key else None
        except KeydeckError:
            return None

    def _states(self, situation: Situation) -> Iterator[tuple[str, KeyState]]:
        """The old key in each of its Regions, then the new one where there is one."""
        for state in everywhere(self._services.keys, old_key(situation)):
            yield "Old key", state
        new = new_key(situation)
        if new:
            yield "New key", self._services.keys.describe(new)


_PART = 1_500


def _parts(line: str) -> list[str]:
    """A line in parts that are kept whole."""
    return [line[i : i + _PART] for i in range(0, len(line), _PART)] or [""]


def _unasked(state: KeyState) -> dict[str, Any]:
    return {"key_arn": state.key_arn, "not_known": state.missing["state"]}


def _untold(state: KeyState, since: datetime | None) -> str | None:
    """Why a key's use since a moment is not known; None where the last one is."""
    use = last_use_since(state, since)
    return None if use in (LastUse.SEALED, LastUse.OTHER) else use.value


def _is_about(finding: Finding, names: set[str]) -> bool:
    said = f"{finding.subject} {finding.title} {finding.evidence}"
    return any(name in said for name in names)


def _coverage(reasons: Iterable[str]) -> dict[str, Any]:
    return Coverage(tuple(dict.fromkeys(reasons))).as_json()
