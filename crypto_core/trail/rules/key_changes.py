"""Changes that make keys useless, or not what they were: disabled, to be deleted, material, rotation, alias.

Each is told whoever did it: that it was meant is for an operator to say, and to suppress. A key that guards
no tokens is medium at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import DESTRUCTION, ENCRYPTED, NO_RECOVERY
from crypto_core.trail.event import KMS, TrailEvent
from crypto_core.trail.rules.change_findings import JudgedChange, Say, findings_for_changes
from crypto_core.trail.rules.rule import Rule, Sigma
from crypto_core.trail.rules.rule_context import (
    RuleContext,
    found,
    request,
    subject_of,
    text,
    where_from,
    who,
)
from crypto_core.trail.store.history import Span, has

SHORT_DAYS = 14
"""Fewer days than these before a key is deleted leave little time to notice."""
DEFAULT_DAYS = 30
"""What ScheduleKeyDeletion takes where the request names none."""
RANSOM_HOURS = 24
"""Who retires a key disables it, waits, and deletes it later; who destroys it doesn't wait."""


def _name(watched: RuleContext, event: TrailEvent) -> str:
    return watched.key(event.key_arns[0]) if event.key_arns else event.alias or "a key"


def _disabled(watched: RuleContext, event: TrailEvent) -> Say:
    retired = watched.keys.is_retired(event.key_arns)
    severity = Severity.LOW if retired else Severity.HIGH
    return severity, f"disabled {_name(watched, event)}", "the key is retired, as expected" if retired else ""


def _deletion(watched: RuleContext, event: TrailEvent) -> Say:
    given = request(event).get("pendingWindowInDays")
    days = given if isinstance(given, int) and not isinstance(given, bool) else DEFAULT_DAYS
    retired = watched.keys.is_retired(event.key_arns)
    severity = Severity.CRITICAL if days < SHORT_DAYS else Severity.HIGH
    return (
        Severity.MEDIUM if retired else severity,
        f"scheduled the deletion of {_name(watched, event)}",
        f"pendingWindowInDays {days}" + ("; the key is retired, as expected" if retired else ""),
    )


def _rotation_off(watched: RuleContext, event: TrailEvent) -> Say:
    return Severity.MEDIUM, f"turned rotation of {_name(watched, event)} off", ""


def _material_gone(watched: RuleContext, event: TrailEvent) -> Say:
    return (
        Severity.CRITICAL,
        f"deleted the imported key material of {_name(watched, event)}",
        "at once, without a waiting time",
    )


def _material_imported(watched: RuleContext, event: TrailEvent) -> Say:
    expires = text(request(event).get("expirationModel"), 60)
    return (
        Severity.HIGH,
        f"imported key material into {_name(watched, event)}",
        f"expirationModel {expires}" if expires else "",
    )


def _primary(watched: RuleContext, event: TrailEvent) -> Say:
    region = text(request(event).get("primaryRegion"), 40)
    return Severity.HIGH, f"made another Region primary of {_name(watched, event)}", f"primaryRegion {region}"


_ALIAS_WORDS = {
    "UpdateAlias": "pointed {} elsewhere",
    "DeleteAlias": "deleted {}",
    "CreateAlias": "created {}",
}


def _alias(watched: RuleContext, event: TrailEvent) -> Say | None:
    name = event.alias or text(request(event).get("aliasName"), 256)
    matters = name in watched.keys.aliases or not watched.keys.guarding
    if event.name == "CreateAlias" and name not in watched.keys.aliases:
        return None  # a new name of which nobody is told anything
    target = text(request(event).get("targetKeyId"), 256)
    # To be created it must have been gone, and that is told as well.
    grave = Severity.MEDIUM if event.name == "CreateAlias" else Severity.HIGH
    return (
        grave if matters else Severity.LOW,
        _ALIAS_WORDS[event.name].format(name or "an alias"),
        f"{name} to {target}" if target else name,
    )


def _of_alias(event: TrailEvent) -> str:
    return event.alias or text(request(event).get("aliasName"), 256) or subject_of(event)


_KINDS: dict[str, JudgedChange] = {
    kind.rule: kind
    for kind in (
        JudgedChange(
            "event-key-disabled",
            _disabled,
            "Nothing under it can be opened until keydeck keys enable. Ask who did it; if nobody of yours, "
            "take the permission away first.",
            "EnableKey",
        ),
        JudgedChange(
            "event-key-deletion",
            _deletion,
            "While it waits it can be kept: keydeck keys cancel-deletion, then keydeck keys enable. After "
            "that nothing under it can ever be opened.",
            "CancelKeyDeletion",
        ),
        JudgedChange(
            "event-rotation-off",
            _rotation_off,
            "Turn it on again: keydeck keys enable-rotation.",
            "EnableKeyRotation",
        ),
        JudgedChange(
            "event-material-deleted",
            _material_gone,
            "Import the same material again from where it is kept: nothing else opens what is under it.",
            "ImportKeyMaterial",
        ),
        JudgedChange(
            "event-material-imported",
            _material_imported,
            "Make sure that the material is yours and is kept safe outside AWS: who has it opens every "
            "envelope, and when it expires nobody does.",
        ),
        JudgedChange(
            "event-primary-region", _primary, "Rotation and deletion follow the primary: check it there."
        ),
        JudgedChange(
            "event-alias-changed",
            _alias,
            "Whoever is told its key by this alias seals under another key from now on: compare with "
            "TOKEN_ENCRYPTION_KEY_ID, and point it back with keydeck keys alias.",
            subject=_of_alias,
            about_keys=False,
        ),
    )
}


def _changes(watched: RuleContext, rule: str, *names: str) -> Iterator[Finding | Gap]:
    events, gaps = watched.changes(KMS, *names)
    yield from gaps
    yield from findings_for_changes(watched, events, _KINDS[rule])


def _ransom(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield keys that were disabled, and within a day scheduled for deletion. Only what succeeded counts."""
    scheduled, _ = watched.changes(KMS, "ScheduleKeyDeletion")
    for event in scheduled:
        if event.failed or not event.key_arns or not event.dated:
            continue
        begin = event.time - timedelta(hours=RANSOM_HOURS)
        disabled = watched.history.events(
            (has("source", KMS), has("name", "DisableKey"), has("key", event.key_arns[0])),
            Span(begin, event.time + timedelta(seconds=1)),
            limit=10,
        )
        done = [e for e in disabled if not e.failed]
        if not done:
            continue
        retired = watched.keys.is_retired(event.key_arns)
        severity = Severity.MEDIUM if retired else watched.weighed(Severity.CRITICAL, event.key_arns)
        name = _name(watched, event)
        apart = event.time - done[0].time
        yield found(
            "event-key-ransom",
            severity,
            event.key_arns[0],
            f"{who(event)} scheduled the deletion of {name}, which had just been disabled",
            f"DisableKey by {done[0].principal.arn} at {done[0].time:%Y-%m-%d %H:%M:%S} UTC, "
            f"ScheduleKeyDeletion {_long(apart)} later by {event.principal.arn} from {where_from([event])}"
            + ("; the key is retired, as expected" if retired else ""),
            "So keys are held to ransom. keydeck keys cancel-deletion, then enable; take away the "
            "credentials that did it; make a new key that they can't reach.",
            [done[0], event],
        )


def _long(apart: timedelta) -> str:
    seconds = int(apart.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3_600} h"


def _rule(
    rule: str,
    title: str,
    severity: Severity,
    techniques: tuple[str, ...],
    names: tuple[str, ...],
    falsepositives: tuple[str, ...],
) -> Rule:
    return Rule(
        rule,
        title,
        severity,
        techniques,
        Sigma({"eventSource": KMS, "eventName": list(names)}, falsepositives=falsepositives),
        lambda watched: _changes(watched, rule, *names),
    )


_PLANNED = ("A planned change by the keys' administrators",)

RULES = (
    _rule("event-key-disabled", "KMS key disabled", Severity.HIGH, (NO_RECOVERY,), ("DisableKey",), _PLANNED),
    _rule(
        "event-key-deletion",
        "KMS key scheduled for deletion",
        Severity.CRITICAL,
        (DESTRUCTION, NO_RECOVERY),
        ("ScheduleKeyDeletion",),
        _PLANNED,
    ),
    Rule(
        "event-key-ransom",
        "KMS key disabled and then scheduled for deletion",
        Severity.CRITICAL,
        (ENCRYPTED, DESTRUCTION, NO_RECOVERY),
        Sigma(
            {"eventSource": KMS, "eventName": ["DisableKey", "ScheduleKeyDeletion"]},
            limits="Both must be about the same key, DisableKey first, within a day.",
            falsepositives=("A key that is retired without the quiet period",),
        ),
        _ransom,
    ),
    _rule(
        "event-material-deleted",
        "Imported key material deleted",
        Severity.CRITICAL,
        (DESTRUCTION, NO_RECOVERY),
        ("DeleteImportedKeyMaterial",),
        _PLANNED,
    ),
    _rule(
        "event-material-imported",
        "Key material imported",
        Severity.HIGH,
        (ENCRYPTED,),
        ("ImportKeyMaterial",),
        _PLANNED,
    ),
    _rule(
        "event-rotation-off",
        "Rotation of a KMS key turned off",
        Severity.MEDIUM,
        (NO_RECOVERY,),
        ("DisableKeyRotation",),
        _PLANNED,
    ),
    _rule(
        "event-alias-changed",
        "Alias of a KMS key changed",
        Severity.HIGH,
        (ENCRYPTED,),
        ("UpdateAlias", "DeleteAlias", "CreateAlias"),
        ("A manual rotation that moves the alias",),
    ),
    _rule(
        "event-primary-region",
        "Another Region made primary of a multi-Region key",
        Severity.HIGH,
        (NO_RECOVERY,),
        ("UpdatePrimaryRegion",),
        _PLANNED,
    ),
)
