"""One call that CloudTrail records twice: what both records have, and which of the two tells more.

CloudTrail User Guide, "CloudTrail record contents": a call of one account on another's key is recorded in
both, with the same sharedEventID. "Logging network activity events": a call through a VPC endpoint may have a
record of its way beside its own, with the same requestID.
"""

from __future__ import annotations

from crypto_core.trail.event import TrailEvent

NETWORK = "AwsVpceEvent"
"""The type of events that tell a call's way."""


def twin_keys(event: TrailEvent) -> tuple[bytes, ...]:
    """Return what another record of the same call has too; nothing where there can be none."""
    found = [b"s" + event.shared_id.encode()] if event.shared_id else []
    if event.request_id and event.vpc_endpoint:
        found.append(b"r" + event.request_id.encode())
    return tuple(found)


def detail(event: TrailEvent) -> int:
    """Return how much a record tells: the call before its way, then the caller by name before an account."""
    named = any(kind in event.principal.arn for kind in (":user/", ":role/"))
    return 2 * (event.event_type != NETWORK) + named
