"""Changes that make keys useless, or not what they were: disabled, to be deleted, material, rotation, alias.

Each is told whoever did it: that it was meant is for an operator to say, and to suppress. What is done to a
key that guards no tokens is two degrees less: critical becomes medium, all else low.
"""

from __future__ import annotations

from datetime import timedelta

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Correlation, Facts, Said, Sigma, SigmaKeys, rule
from crypto_core.findings.standards import CLOUD_ROLES, DESTRUCTION, ENCRYPTED, NO_RECOVERY
from crypto_core.trail.event import KMS, TrailEvent
from crypto_core.trail.rules.access_changes import opened_to
from crypto_core.trail.rules.change_findings import Judgement, change_rule
from crypto_core.trail.rules.rule_context import (
    RuleContext,
    found,
    listed,
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


def _name(context: RuleContext, event: TrailEvent) -> str:
    return context.key(event.key_arns[0]) if event.key_arns else event.alias or "a key"


@change_rule(
    "event-key-disabled",
    "KMS key disabled",
    Severity.HIGH,
    techniques=(NO_RECOVERY,),
    names=("DisableKey",),
    undo="EnableKey",
    remedy=(
        "Nothing under it can be opened until keydeck keys enable. Ask who did it; if it was none of "
        "yours, take the permission away first."
    ),
)
def disabled(context: RuleContext, event: TrailEvent) -> Judgement:
    retired = context.keys.is_retired(event.key_arns)
    severity = Severity.LOW if retired else Severity.HIGH
    return severity, f"disabled {_name(context, event)}", "the key is retired, as expected" if retired else ""


@change_rule(
    "event-key-deletion",
    "KMS key scheduled for deletion",
    Severity.CRITICAL,
    techniques=(DESTRUCTION, NO_RECOVERY),
    names=("ScheduleKeyDeletion",),
    about="critical in less than 14 days, high in more",
    undo="CancelKeyDeletion",
    remedy="While it waits it can be kept: keydeck keys cancel-deletion, then keydeck keys enable. After "
    "that nothing under it can ever be opened.",
)
def deletion(context: RuleContext, event: TrailEvent) -> Judgement:
    days = _waiting_days(event)
    retired = context.keys.is_retired(event.key_arns)
    severity = Severity.CRITICAL if days < SHORT_DAYS else Severity.HIGH
    return (
        Severity.MEDIUM if retired else severity,
        f"scheduled the deletion of {_name(context, event)}",
        f"pendingWindowInDays {days}" + ("; the key is retired, as expected" if retired else ""),
    )


def _waiting_days(event: TrailEvent) -> int:
    given = request(event).get("pendingWindowInDays")
    return given if isinstance(given, int) and not isinstance(given, bool) else DEFAULT_DAYS


@change_rule(
    "event-rotation-off",
    "Rotation of a KMS key turned off",
    Severity.MEDIUM,
    techniques=(NO_RECOVERY,),
    names=("DisableKeyRotation",),
    undo="EnableKeyRotation",
    remedy="Turn it on again: keydeck keys enable-rotation.",
)
def rotation_off(context: RuleContext, event: TrailEvent) -> Judgement:
    return Severity.MEDIUM, f"turned rotation of {_name(context, event)} off", ""


@change_rule(
    "event-material-deleted",
    "Imported key material deleted",
    Severity.CRITICAL,
    techniques=(DESTRUCTION, NO_RECOVERY),
    names=("DeleteImportedKeyMaterial",),
    undo="ImportKeyMaterial",
    remedy="Import the same material again from where it is kept: nothing else opens what is under it.",
)
def material_deleted(context: RuleContext, event: TrailEvent) -> Judgement:
    return (
        Severity.CRITICAL,
        f"deleted the imported key material of {_name(context, event)}",
        "at once, without a waiting time",
    )


@change_rule(
    "event-material-imported",
    "Key material imported",
    Severity.HIGH,
    techniques=(ENCRYPTED,),
    names=("ImportKeyMaterial",),
    remedy="Make sure that the material is yours and is kept safe outside AWS: anyone who has it can open "
    "every envelope, and once it expires no one can.",
)
def material_imported(context: RuleContext, event: TrailEvent) -> Judgement:
    expires = text(request(event).get("expirationModel"), 60)
    return (
        Severity.HIGH,
        f"imported key material into {_name(context, event)}",
        f"expirationModel {expires}" if expires else "",
    )


@change_rule(
    "event-primary-region",
    "Another Region made primary of a multi-Region key",
    Severity.HIGH,
    techniques=(NO_RECOVERY,),
    names=("UpdatePrimaryRegion",),
    remedy="Rotation and deletion follow the primary: check it there.",
)
def primary_region(context: RuleContext, event: TrailEvent) -> Judgement:
    region = text(request(event).get("primaryRegion"), 40)
    return Severity.HIGH, f"made another Region primary of {_name(context, event)}", f"primaryRegion {region}"


@change_rule(
    "event-key-revived",
    "Retired KMS key brought back",
    Severity.HIGH,
    techniques=(CLOUD_ROLES,),
    names=("EnableKey", "CancelKeyDeletion"),
    undo="DisableKey",
    keys=SigmaKeys.RETIRED,
    falsepositives=("keydeck incident, which enables a key to open what is left under it",),
    remedy="What was copied from under it opens again: keydeck keys disable, and ask who did it.",
)
def revived(context: RuleContext, event: TrailEvent) -> Judgement | None:
    """None for a key that is in use."""
    if not context.keys.is_retired(event.key_arns):
        return None
    return Severity.HIGH, f"brought {_name(context, event)} back, which is retired", ""


@change_rule(
    "event-key-replicated",
    "Replica of a multi-Region KMS key made",
    Severity.HIGH,
    techniques=(CLOUD_ROLES,),
    names=("ReplicateKey",),
    limits="Keydeck reads the replica's policy: where it lets in everybody or other accounts: critical.",
    remedy="A replica opens what the key opens, for whom its own policy lets: keydeck keys policy.",
)
def replicated(context: RuleContext, event: TrailEvent) -> Judgement:
    region = text(request(event).get("replicaRegion"), 40)
    did = f"made a replica of {_name(context, event)}"
    opened = opened_to(context, event)
    return (
        (Severity.CRITICAL if opened else Severity.HIGH),
        did,
        f"in {region or 'a Region'}" + (f"; {opened}" if opened else ""),
    )


@change_rule(
    "event-key-tagged",
    "Tags of a KMS key changed",
    Severity.MEDIUM,
    techniques=(CLOUD_ROLES,),
    names=("TagResource", "UntagResource"),
    services=False,
    remedy="Where a policy decides by tags, this changes who may use the key: keydeck keys policy --explain.",
)
def tagged(_: RuleContext, event: TrailEvent) -> Judgement | None:
    """None for services, which tag what they look after."""
    if event.by_service:
        return None
    given = request(event).get("tags") or request(event).get("tagKeys")
    names = [one.get("tagKey", "") if isinstance(one, dict) else one for one in given or ()]
    said = f"tags {listed(map(text, names))}" if isinstance(given, list) and names else ""
    return Severity.MEDIUM, f"changed tags of {subject_of(event).rsplit('/', 1)[-1]}", said


@change_rule(
    "event-grant-withdrawn",
    "Grant on a KMS key withdrawn",
    Severity.LOW,
    techniques=(NO_RECOVERY,),
    names=("RevokeGrant", "RetireGrant"),
    services=False,
    remedy="Whoever had the grant is refused from now on: keydeck keys grants lists those that are left.",
)
def grant_withdrawn(context: RuleContext, event: TrailEvent) -> Judgement | None:
    """None for services, which retire their own grants as they go."""
    grant = text(request(event).get("grantId"), 128)
    did = f"withdrew a grant on {_name(context, event)}"
    return None if event.by_service else (Severity.LOW, did, f"grant {grant}" if grant else "")


_STORE_WORDS = {
    "DisconnectCustomKeyStore": "disconnected {}",
    "UpdateCustomKeyStore": "changed how {} is reached",
    "DeleteCustomKeyStore": "deleted {}",
}


def _of_store(event: TrailEvent) -> str:
    return text(request(event).get("customKeyStoreId"), 64) or event.event_id


@change_rule(
    "event-key-store",
    "Custom key store disconnected or changed",
    Severity.HIGH,
    techniques=(NO_RECOVERY,),
    names=tuple(_STORE_WORDS),
    undo="ConnectCustomKeyStore",
    subject=_of_store,
    about_keys=False,
    remedy="Keys in the store open nothing while it is away: aws kms connect-custom-key-store.",
)
def key_store(_: RuleContext, event: TrailEvent) -> Judgement:
    store = text(request(event).get("customKeyStoreId"), 64)
    return (
        Severity.HIGH,
        _STORE_WORDS[event.name].format(f"key store {store}" if store else "a key store"),
        "",
    )


def _of_alias(event: TrailEvent) -> str:
    return event.alias or text(request(event).get("aliasName"), 256) or subject_of(event)


_ALIAS_WORDS = {
    "UpdateAlias": "pointed {} elsewhere",
    "DeleteAlias": "deleted {}",
    "CreateAlias": "created {}",
}


@change_rule(
    "event-alias-changed",
    "Alias of a KMS key changed",
    Severity.HIGH,
    techniques=(ENCRYPTED,),
    names=("UpdateAlias", "DeleteAlias", "CreateAlias"),
    subject=_of_alias,
    about_keys=False,
    keys=SigmaKeys.ALIASES,
    limits="Keydeck also tells, as low, other names that are given to keys that guard tokens.",
    falsepositives=("A manual rotation that moves the alias",),
    remedy="A platform that uses this alias seals under another key from now on: compare with "
    "TOKEN_ENCRYPTION_KEY_ID, and point it back with keydeck keys alias.",
)
def alias_changed(context: RuleContext, event: TrailEvent) -> Judgement | None:
    name = event.alias or text(request(event).get("aliasName"), 256)
    matters = name in context.keys.aliases or not context.keys.guarding
    target = text(request(event).get("targetKeyId"), 256)
    if event.name == "CreateAlias" and name not in context.keys.aliases:
        # Of a new name nobody is told anything; but policies may name keys by their aliases.
        if not context.keys.guarding or not context.keys.guards([*event.key_arns, target]):
            return None
        return Severity.LOW, f"gave {_name(context, event)} another name", f"{name} to {target}"
    # To be created it must have been gone, and that is told as well.
    grave = Severity.MEDIUM if event.name == "CreateAlias" else Severity.HIGH
    return (
        grave if matters else Severity.LOW,
        _ALIAS_WORDS[event.name].format(name or "an alias"),
        f"{name} to {target}" if target else name,
    )


@rule(
    "event-key-ransom",
    "KMS key disabled and then scheduled for deletion",
    Severity.CRITICAL,
    Facts.EVENTS,
    about="both within a day",
    techniques=(ENCRYPTED, DESTRUCTION, NO_RECOVERY),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": ["DisableKey", "ScheduleKeyDeletion"]},
        SigmaKeys.GUARDING,
        failed=False,
        limits="Of a retired key it is medium in Keydeck.",
        falsepositives=("A key that is retired without the quiet period",),
        correlation=Correlation(
            f"{RANSOM_HOURS}h", ("resources.ARN",), steps=("DisableKey", "ScheduleKeyDeletion")
        ),
    ),
)
def ransom(context: RuleContext) -> Said:
    """Yield keys that were disabled, and within a day scheduled for deletion. Only what succeeded counts."""
    scheduled, _ = context.changes(KMS, "ScheduleKeyDeletion")
    for event in scheduled:
        if event.failed or not event.key_arns or not event.dated:
            continue
        begin = event.time - timedelta(hours=RANSOM_HOURS)
        disabled = context.history.events(
            (has("source", KMS), has("name", "DisableKey"), has("key", event.key_arns[0])),
            Span(begin, event.time + timedelta(seconds=1)),
            limit=10,
        )
        done = [e for e in disabled if not e.failed]
        if not done:
            continue
        retired = context.keys.is_retired(event.key_arns)
        # A key of another application that has its whole waiting time left is retired, as keys are.
        unhurried = _waiting_days(event) >= SHORT_DAYS and not context.keys.guards(event.key_arns)
        worst = Severity.HIGH if unhurried else Severity.CRITICAL
        severity = Severity.MEDIUM if retired else context.weighed(worst, event.key_arns)
        name = _name(context, event)
        apart = event.time - done[0].time
        yield found(
            severity,
            event.key_arns[0],
            f"{who(event)} scheduled the deletion of {name}, which had just been disabled",
            f"DisableKey by {done[0].principal.arn} at {done[0].time:%Y-%m-%d %H:%M:%S} UTC, "
            f"ScheduleKeyDeletion {_long(apart)} later by {event.principal.arn} from {where_from([event])}"
            + ("; the key is retired, as expected" if retired else ""),
            "This is how keys are held to ransom. keydeck keys cancel-deletion, then enable; take away the "
            "credentials that did it; make a new key that they can't reach.",
            [done[0], event],
        )


def _long(apart: timedelta) -> str:
    seconds = int(apart.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3_600} h"
