"""Who got access to a key since a moment, as events show: by a grant, its policy, or an assumed role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from threading import Event

from crypto_core.errors import PolicyError
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.keys.replacement.access import USES
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.rule_context import name_of, request, text
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.asking import asked_as, term

MOST_EVENTS = 500
"""So many changes of a key's access, the newest, are looked at."""

Gained = tuple[str, str]
"""The ARN of who got access, and how, in words."""


def access_gained(
    events: EventStore,
    key: str,
    since: datetime,
    but: str,
    gaps: list[str],
    cancelled: Event | None = None,
) -> Iterator[Gained]:
    """Yield who got access to a key since then, but from `but`, the ARN of who works here.

    Where the policy before is not in the store, only who changed it and is named in it counts: it let itself
    in. What is not looked at is added to `gaps`. Raises TrailError, InterruptedRunError.
    """
    asked = f"{term('key', asked_as(key))} {term('name', 'CreateGrant', 'PutKeyPolicy', 'CreateKey')} -failed"
    page = events.page(Query(asked, descending=True), limit=MOST_EVENTS, cancelled=cancelled)
    if page.below and page.rows[-1].event.time >= since:
        gaps.append(f"of the changes of who may use the key only the last {MOST_EVENTS:,} were looked at")
    before: frozenset[str] | None = None
    for event in (row.event for row in reversed(page.rows)):
        late = event.time >= since and event.principal.arn != but
        if event.name == "CreateGrant":
            grantee = text(request(event).get("granteePrincipal"), 700)
            if late and not event.by_service and is_principal(grantee):
                yield grantee, f"got a grant on the key from {name_of(event.principal.arn)} {_at(event)}"
            continue
        after = _named(event)
        if late and event.name == "PutKeyPolicy":
            gained = after - before if before is not None else after & {event.principal.arn}
            for arn in sorted(gained):
                yield arn, f"got access by the policy that {name_of(event.principal.arn)} put {_at(event)}"
        before = after


def roles_assumed(
    events: EventStore,
    by: Sequence[str],
    since: datetime,
    gaps: list[str],
    cancelled: Event | None = None,
) -> Iterator[Gained]:
    """Yield the roles that some principals assumed since then; see `access_gained`."""
    asked = f"{term('name', 'AssumeRole')} {term('principal', *by)} -failed since:{since.isoformat()}"
    page = events.page(Query(asked, descending=True), limit=MOST_EVENTS, cancelled=cancelled)
    if page.below:
        gaps.append(f"of the roles that suspects assumed only the last {MOST_EVENTS:,} calls were looked at")
    found: Mapping[str, TrailEvent] = {
        text(request(row.event).get("roleArn"), 700): row.event for row in page.rows
    }
    for role, event in sorted(found.items()):
        if is_principal(role):
            yield role, f"assumed by {name_of(event.principal.arn)} {_at(event)}"


def _named(event: TrailEvent) -> frozenset[str]:
    """Whom the policy of a record lets use the key, by ARN; nobody where it can't be read."""
    policy = request(event).get("policy")
    key = event.key_arns[0] if event.key_arns else "*"
    try:
        found = accesses(parse_policy(policy), (), key) if isinstance(policy, str) else ()
    except PolicyError:
        return frozenset()
    return frozenset(
        access.principal.value
        for access in found
        if any(action in access.actions for action in USES)
        and is_principal(access.principal.value)
        and not (access.principal.is_account or access.all_but)
    )


def _at(event: TrailEvent) -> str:
    return f"on {event.time:%Y-%m-%d at %H:%M} UTC"
