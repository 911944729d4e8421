"""The changes that began and ended what was wrong: a fact where a change does just that, else an inference.

Only a fact moves a moment: rotation that is off was turned off by DisableKeyRotation, at that time. That
tokens are no longer in plaintext after an encrypt in between is an inference, and told as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from crypto_core.compliance.control_tests.findings import RULES
from crypto_core.compliance.facts import ChangeFact
from crypto_core.findings.finding import Finding
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.key_names import is_multi_region, region_of


class Aspect(StrEnum):
    """What of its subject a cause is about.

    A posture rule, a rule about events and a control's test that speak of one aspect of one subject speak of
    one thing: rotation that was turned off is a finding, an event, and a control that is not met.
    """

    ROTATION = "rotation"
    ACCESS = "access"
    STATE = "state"
    ALIAS = "alias"
    STORAGE = "storage"
    RECORDING = "recording"
    FILES = "files"
    OTHER = "other"
    """Anything else: known by its kind."""


@dataclass(frozen=True, slots=True)
class AspectTable:
    """What belongs to an aspect.

    `kinds` are those of causes, beside the rules of its tests. `begins` and `ends` are the changes that
    certainly begin and end it, `concerns` those that may, by CloudTrail's names and the journal's. `tests`
    are those that a record of the time would have failed.
    """

    kinds: frozenset[str]
    begins: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    concerns: frozenset[str] = frozenset()
    tests: tuple[str, ...] = ()


_TABLE: dict[Aspect, AspectTable] = {
    Aspect.ROTATION: AspectTable(
        frozenset({"event-rotation-off"}),
        frozenset({"DisableKeyRotation", "keys disable-rotation"}),
        frozenset({"EnableKeyRotation", "keys enable-rotation"}),
        tests=("keys-rotate",),
    ),
    Aspect.ACCESS: AspectTable(
        frozenset({"event-key-policy", "event-key-grant", "event-key-made-open", "event-key-replicated"}),
        concerns=frozenset(
            {"PutKeyPolicy", "CreateGrant", "RevokeGrant", "RetireGrant", "ReplicateKey", "CreateKey"}
            | {"keys put-policy", "keys block", "keys unblock", "keys revoke-grant", "keys retire-grant"}
            | {"keys create", "keys replicate"}
        ),
        tests=("key-access-narrow", "posture-well"),
    ),
    Aspect.STATE: AspectTable(
        frozenset(
            {"tokens-key-not-enabled", "tokens-key-pending-deletion"}
            | {"event-key-disabled", "event-key-deletion", "event-key-ransom", "event-material-deleted"}
        ),
        frozenset({"DisableKey", "ScheduleKeyDeletion", "DeleteImportedKeyMaterial"})
        | {"keys disable", "keys schedule-deletion"},
        frozenset({"EnableKey", "CancelKeyDeletion", "ImportKeyMaterial"})
        | {"keys enable", "keys cancel-deletion"},
        tests=("keys-usable",),
    ),
    Aspect.ALIAS: AspectTable(
        frozenset({"event-alias-changed"}),
        concerns=frozenset({"UpdateAlias", "DeleteAlias", "CreateAlias", "keys alias"}),
        tests=("keys-not-substituted",),
    ),
    Aspect.STORAGE: AspectTable(
        frozenset(
            {"tokens-plaintext", "tokens-dev", "tokens-unrecognised", "tokens-unprotected"}
            | {"column-unguarded", "columns-unguarded"}
        ),
        concerns=frozenset(
            {"encrypt", "reencrypt", "enter token", "guard", "jobs restore", "backups restore"}
        ),
        tests=("tokens-encrypted",),
    ),
    Aspect.RECORDING: AspectTable(
        frozenset(
            {"event-trail-stopped", "event-trail-deleted", "event-trail-changed", "event-trail-hides-kms"}
        ),
        frozenset({"StopLogging", "DeleteTrail"}),
        frozenset({"StartLogging", "CreateTrail"}),
        frozenset({"UpdateTrail", "PutEventSelectors"}),
        tests=("trail-records-keys",),
    ),
    Aspect.FILES: AspectTable(
        frozenset(
            {"event-trail-bucket-opened", "event-trail-bucket-policy", "event-trail-bucket-unprotected"}
        ),
        concerns=frozenset({"PutBucketPolicy", "PutBucketAcl", "PutBucketPublicAccessBlock"}),
        tests=("trail-files-protected",),
    ),
    Aspect.OTHER: AspectTable(frozenset()),
}
_BY_KIND = {
    kind: aspect
    for aspect, table in _TABLE.items()
    for kind in table.kinds.union(*(RULES.get(test, ()) for test in table.tests))
}
_OVER_SUBJECTS = frozenset({"tokens-plaintext", "tokens-dev", "tokens-unrecognised", "column-unguarded"})
"""Kinds that are one thing in several columns where they come and go together."""
CHANGED_ASPECTS = (Aspect.ROTATION, Aspect.ACCESS, Aspect.STATE, Aspect.RECORDING)
"""What changes certainly begin and end: events alone tell of it, too."""
OF_GUARDING_KEYS = (Aspect.ROTATION, Aspect.STATE)
"""What is wrong only with a key that guards tokens."""
DONE = "done"
"""The outcome of a change that took effect; any other is an attempt."""


def table_of(aspect: Aspect) -> AspectTable:
    return _TABLE[aspect]


def aspect_of(kind: str) -> Aspect:
    return _BY_KIND.get(kind, Aspect.OTHER)


def thing_of(cause: Finding, subject: str, *, together: bool = False) -> tuple[str, str]:
    """Return what a cause is about, in a form to compare: aspect and subject, or rule and subject.

    `together`: several columns are one thing, for what comes and goes with the same records.
    """
    aspect = aspect_of(cause.rule)
    if together and cause.rule in _OVER_SUBJECTS:
        return aspect.value, ""
    return (cause.rule if aspect is Aspect.OTHER else aspect.value), subject


def begins(change: ChangeFact, aspect: Aspect) -> bool:
    if change.outcome != DONE:
        return False
    return change.what in table_of(aspect).begins or (aspect is Aspect.ACCESS and bool(change.opens))


def ends(change: ChangeFact, aspect: Aspect) -> bool:
    if change.outcome != DONE:
        return False
    return change.what in table_of(aspect).ends or (aspect is Aspect.ACCESS and change.closes)


def stays_open(change: ChangeFact) -> bool:
    """Return whether what a change opened is not known to end with the policy that is set later: a grant."""
    return change.what == "CreateGrant"


def concerns(change: ChangeFact, aspect: Aspect) -> bool:
    return change.outcome == DONE and change.what in table_of(aspect).concerns


_SAME_CALL = timedelta(minutes=15)
"""So far apart CloudTrail's event of a call and the journal's entry of the operation that made it may be."""
TRAIL = "CloudTrail"
"""The source of what CloudTrail recorded."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """Names of keys by which changes, findings and facts call them, brought to one."""

    arns: dict[str, str]

    @classmethod
    def of(cls, named: Iterable[tuple[str, str]]) -> Subjects:
        """Return the subjects of (name, ARN), by key ids too; a name that several keys had stays as it is."""
        arns: dict[str, set[str]] = {}
        for name, arn in named:
            arns.setdefault(name, set()).add(arn)
            arns.setdefault(arn.rsplit("/", 1)[-1], set()).add(arn)
        return cls({name: next(iter(found)) for name, found in arns.items() if len(found) == 1})

    def one(self, subject: str) -> str:
        """Return a subject's one name: a key's ARN, without the Region for one that is in several."""
        arn = self.arns.get(subject, subject)
        if is_multi_region(arn):
            return arn.replace(f":{region_of(arn)}:", "::", 1)
        return arn


@dataclass(frozen=True, slots=True)
@cleans(words=600)
class Turn:
    """What began or ended something: `words` say who did what, and how it is known."""

    words: CleanText
    changes: tuple[ChangeFact, ...] = ()
    at: datetime | None = None
    """When, where that is a fact."""


NO_TURN = Turn(clean(""))


def beginning(
    changes: Sequence[ChangeFact], aspect: Aspect, after: datetime | None, first_at: datetime
) -> Turn:
    """Return what began it: between the last moment without it and the first with it."""
    between = [one for one in changes if (after is None or one.at > after) and one.at <= first_at]
    certain: list[ChangeFact] = []
    for one in between:
        if ends(one, aspect):
            certain = [opened for opened in certain if stays_open(opened)]
        elif begins(one, aspect):
            certain.append(one)
    if certain:
        return fact(certain[0], certain)
    may = [one for one in between if concerns(one, aspect) and not ends(one, aspect)]
    return _inference(may, "before the first record that shows it")


def ending(
    changes: Sequence[ChangeFact],
    aspect: Aspect,
    last_at: datetime,
    before: datetime | None,
    opened: Sequence[ChangeFact] = (),
) -> Turn:
    """Return what ended it: between the last moment with it and the first without it.

    Without the latter, only a change that certainly ends it counts, for what these changes opened.
    """
    between = [one for one in changes if one.at >= last_at and (before is None or one.at <= before)]
    certain: list[ChangeFact] = []
    for one in between:
        if begins(one, aspect):
            if certain:
                break
        elif ends(one, aspect) and not any(map(stays_open, opened)):
            certain.append(one)
    if certain:
        # A key whose deletion was cancelled is still disabled: the last call of several made it usable.
        return fact(certain[-1 if aspect is Aspect.STATE else 0], certain)
    if before is None:
        return NO_TURN
    may = [one for one in between if concerns(one, aspect) and not begins(one, aspect)]
    return _inference(may, "before the record that shows its end")


def told(change: ChangeFact) -> str:
    """Return a change in words: what, who, when, and where to look it up."""
    by = f" by {change.who}" if change.who else ""
    return f"{change.what}{by} at {change.at:%Y-%m-%d %H:%M} UTC ({change.source} {change.id})"


def fact(turn: ChangeFact, certain: Sequence[ChangeFact]) -> Turn:
    """Return the turn that a change made.

    It is told by the event of the call itself rather than by the journal's entry of the operation behind it.
    """
    near = [one for one in certain if abs(one.at - turn.at) <= _SAME_CALL]
    if turn.source != TRAIL:
        turn = next((one for one in near if one.source == TRAIL), turn)
    return Turn(clean(told(turn), 600), tuple(near), turn.at)


def _inference(candidates: Sequence[ChangeFact], where: str) -> Turn:
    if not candidates:
        return NO_TURN
    last = candidates[-1]
    if len(candidates) == 1:
        return Turn(clean(f"inferred: {told(last)}, the only such change {where}", 600), (last,))
    most = f"the last of {counted(len(candidates), 'such change')} {where}"
    return Turn(clean(f"inferred: {told(last)}, {most}", 600), (last,))
