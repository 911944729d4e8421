"""What an incident is about, as far as a screen knows: what stood under its cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

from crypto_core.findings.finding import Finding
from crypto_core.incidents.model import IncidentScope, finding_origin
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.trail.event import UNDATED
from crypto_core.trail.store import EventStore, StoredEvent
from crypto_core.trail.use.filter_builder import keys_used
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.references import TokenRef

LOST = "key-lost"
"""The runbook for a key that can't be used any more."""
_LOSES = frozenset({"DisableKey", "ScheduleKeyDeletion", "DeleteImportedKeyMaterial"})
_LOST_BY = frozenset(
    {
        *("kms-key-pending-deletion", "kms-key-disabled", "event-key-disabled", "event-key-deletion"),
        "event-material-deleted",
    }
)


@dataclass(frozen=True, slots=True)
class About:
    """What an incident may be about, as far as a screen knows: a key, tokens, or either.

    `events` are the ids of those that it is declared from: where the key isn't known, theirs are proposed,
    else those that the principal used. `fitting` are the runbooks that fit best, by their ids.
    """

    origin: str = ""
    key: str = ""
    references: tuple[str, ...] = ()
    filter: str = ""
    since: datetime | None = None
    principal: str = ""
    """The ARN of whom the event or finding names, "" for none."""
    events: tuple[str, ...] = ()
    fitting: tuple[str, ...] = ()

    @property
    def kinds(self) -> frozenset[SubjectKind]:
        """What is known; for a principal alone a key or tokens; nothing where the operator is to say it."""
        kinds = set()
        if self.key:
            kinds.add(SubjectKind.KEY)
        if self.references or self.filter:
            kinds.add(SubjectKind.TOKENS)
        if not kinds and self.principal:
            return frozenset((SubjectKind.KEY, SubjectKind.TOKENS))
        return frozenset(kinds)

    def scope(self, kind: SubjectKind) -> IncidentScope:
        """Return the part that a runbook of that kind is about."""
        scope = IncidentScope(since=self.since, origin=self.origin, principal=self.principal)
        match kind:
            case SubjectKind.KEY:
                return replace(scope, key=self.key)
            case SubjectKind.TOKENS:
                return replace(scope, references=self.references, filter=self.filter)
            case SubjectKind.DATABASE:
                return scope


def about_tokens(references: Sequence[TokenRef], expression: str | None, words: str) -> About:
    """Return what is known on the list of tokens: references, or all that a filter lets through."""
    if expression is not None:
        # The language's words for every token, where nothing narrows them.
        return About(origin=words, filter=expression.strip() or "reference:*")
    return About(origin=words, references=tuple(map(str, references)))


def about_event(row: StoredEvent) -> About:
    """Return what an event is about: its key, its token where its context names one."""
    event = row.event
    who = event.principal.name or "no principal in the record"
    key = next((arn for arn in event.key_arns if is_key_arn(arn)), "")
    return About(
        origin=f"event {event.event_id}: {event.name} by {who}",
        key=key,
        references=(str(event.token_ref),) if event.token_ref is not None else (),
        since=event.time if event.dated else None,
        principal=event.principal.arn if is_principal(event.principal.arn) else "",
        events=(event.event_id,),
        fitting=(LOST,) if event.name in _LOSES else (),
    )


def about_principal(arn: str, first: datetime | None) -> About:
    """Return what a principal is about: whatever it used, since its first event, if that has a time."""
    since = first if first != UNDATED else None
    return About(origin=f"principal {arn}", since=since, principal=arn if is_principal(arn) else "")


def about_finding(finding: Finding) -> About:
    """Return what a finding is about; its subject names a key, a principal, or nothing that is known here."""
    return About(
        origin=finding_origin(finding),
        key=finding.subject if is_key_arn(finding.subject) else "",
        since=finding.first_at,
        principal=finding.subject if is_principal(finding.subject) else "",
        events=finding.events,
        fitting=(LOST,) if finding.rule in _LOST_BY else (),
    )


def used_keys(events: EventStore, about: About, cancelled: Event | None = None) -> tuple[str, ...]:
    """Return the keys of an incident's events, else those that its suspect used; with most events first."""
    found = keys_used(events, "id", about.events, cancelled)
    suspects = (about.principal,) if about.principal else ()
    return found or keys_used(events, "principal", suspects, cancelled)
