"""Changes of keys, policies and grants as CloudTrail recorded them, and what each opened or closed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime

from crypto_core.compliance.facts import ChangeFact, ChangeKind
from crypto_core.errors import PolicyError
from crypto_core.keys.policy.document import parse_policy
from crypto_core.text.cleaning import clean
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.access_changes import granted_beyond, opened_to
from crypto_core.trail.rules.configured import Keys
from crypto_core.trail.rules.rule_context import OF_KMS, RuleContext, listed, request, text
from crypto_core.trail.store.event_questions import has
from crypto_core.trail.store.history import History

CLOUDTRAIL = "CloudTrail"
OF_KEYS = (
    *("EnableKey", "DisableKey", "ScheduleKeyDeletion", "CancelKeyDeletion", "DeleteKey"),
    *("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand", "RotateKey"),
    *("ImportKeyMaterial", "DeleteImportedKeyMaterial", "ReplicateKey", "UpdatePrimaryRegion"),
    *("UpdateKeyDescription", "TagResource", "UntagResource"),
    *("CreateAlias", "UpdateAlias", "DeleteAlias"),
)
OF_ANY = ("CreateKey", "ConnectCustomKeyStore", "DisconnectCustomKeyStore", "UpdateCustomKeyStore")
"""What is told whichever key it is about: a new one may guard tokens later."""
OF_POLICIES = ("PutKeyPolicy", "CreateGrant", "RevokeGrant", "RetireGrant")
_SETS_POLICY = ("PutKeyPolicy", "CreateKey", "ReplicateKey")
_PARAMETERS = (
    *("pendingWindowInDays", "rotationPeriodInDays", "aliasName", "targetKeyId", "replicaRegion"),
    *("primaryRegion", "customKeyStoreId", "expirationModel", "grantId", "granteePrincipal"),
)
"""What of a request is told; the rest may hold anything."""


def trail_changes(
    history: History, keys: Keys, since: datetime, until: datetime, limit: int
) -> tuple[tuple[ChangeFact, ...], int]:
    """Return up to `limit` changes of keys that guard tokens, the oldest first; and how many are left out.

    Raises EventStoreError, InterruptedRunError.
    """
    context = RuleContext(history, since, until, keys)
    asked = (
        (OF_KMS, has("name", *OF_KEYS, *OF_POLICIES), *context.on_guarded),
        (OF_KMS, has("name", *OF_ANY)),
    )
    found: dict[str, TrailEvent] = {}
    left = 0
    for terms in asked:
        some = history.events(terms, context.window, limit=limit, newest_first=False)
        found |= {event.event_id: event for event in some}
        if len(some) == limit:
            left += sum(group.events for group in history.groups(("name",), terms, context.window)) - limit
    events = sorted(found.values(), key=lambda event: (event.time, event.event_id))
    left += max(len(events) - limit, 0)
    return tuple(_change(context, event) for event in events[:limit]), left


def _change(context: RuleContext, event: TrailEvent) -> ChangeFact:
    opens, closes = _effect(context, event)
    session = f", session {event.principal.session}" if event.principal.session else ""
    through = f", through {event.principal.invoked_by}" if event.principal.invoked_by else ""
    return ChangeFact(
        kind=ChangeKind.POLICY if event.name in OF_POLICIES else ChangeKind.KEY,
        source=clean(CLOUDTRAIL),
        id=event.event_id,
        at=event.time,
        what=event.name,
        subject=clean(
            (event.key_arns[0] if event.key_arns else event.alias)
            or text(request(event).get("customKeyStoreId"), 64)
        ),
        who=clean(f"{event.principal.arn or 'nobody named'}{session}{through}", 600),
        outcome=clean(f"refused: {event.error_code}" if event.failed else "done"),
        detail=clean("; ".join(_details(event)), 600),
        opens=clean(opens, 600),
        closes=closes,
    )


def _effect(context: RuleContext, event: TrailEvent) -> tuple[str, bool]:
    """What a call made wider than wanted, and whether what it set is known to leave nothing so."""
    if event.failed:
        return "", False
    if event.name == "CreateGrant":
        return granted_beyond(context, event), False
    if event.name not in _SETS_POLICY or not _readable(event):
        return "", False
    opens = opened_to(context, event)
    return opens, not opens


def policy_digest(policy: str) -> str:
    """Return the SHA-256, in hex, of a policy's JSON written in one way: another one is another policy.

    Raises ValueError for what is no JSON.
    """
    written = json.dumps(json.loads(policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


def _readable(event: TrailEvent) -> bool:
    given = request(event).get("policy")
    if not isinstance(given, str):
        return False
    try:
        parse_policy(given)
    except PolicyError:
        return False
    return True


def _details(event: TrailEvent) -> Iterator[str]:
    given = request(event)
    if event.name in _SETS_POLICY and _readable(event):
        yield f"policy {policy_digest(str(given['policy']))}"
    operations = given.get("operations")
    if isinstance(operations, list):
        yield f"operations {listed([text(one, 40) for one in operations], 20)}"
    for name in _PARAMETERS:
        if said := text(given.get(name), 200):
            yield f"{name} {said}"
