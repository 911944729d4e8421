"""Who opens something for the first time: a principal, or a known one from elsewhere or with other software.

What is normal is what the store has from before the window. A principal that is new itself is told once,
not again for its network and its software.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts, NoSigma, Said, Sigma, SigmaKeys, rule
from crypto_core.findings.standards import CLOUD_ACCOUNTS, CLOUD_SECRETS, STEAL_TOKEN
from crypto_core.trail.event import KMS, PEOPLE
from crypto_core.trail.rules.rule_context import (
    RuleContext,
    found,
    listed,
    name_of,
    recorded,
    text,
    times,
    where_from,
)
from crypto_core.trail.store.history import Group, flag, has, like

_PRIVATE = tuple(
    ipaddress.ip_network(own)
    for own in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10")
)
"""RFC 1918, 6598, 4193, 4291. `ipaddress.is_private` has the networks of documentation besides."""
_ROAMS = 10
"""Who came from so many networks comes from a new one as a matter of course."""
_ASK = "Ask its owner. If it has none, take its permission away and follow what it opened: "


_NO_SIGMA = NoSigma("what is new is known from the weeks before")


def network(address: str) -> str:
    """Return the network that an address counts as: /24, for IPv6 /48; a host name is itself."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address.lower()
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    if mapped is not None:
        ip = mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def is_private(net: str) -> bool:
    """True for networks of one's own, from which nobody outside comes."""
    try:
        ip = ipaddress.ip_network(net).network_address
    except ValueError:
        return net.endswith((".internal", ".local"))
    return any(ip.version == own.version and ip in own for own in _PRIVATE)


_APP = re.compile(r"\bapp/([A-Za-z0-9._-]{1,50})")
_PRODUCT = re.compile(r"\[?([A-Za-z][A-Za-z0-9._ +-]{0,60}?)(?:/|\s|\]|$)")


def family(agent: str) -> str:
    """Return the software and application that a user agent names, without versions, which are no news."""
    named = _PRODUCT.match(agent.strip())
    product = named[1].lower() if named else agent.strip().lower()[:40]
    application = _APP.search(agent)
    return f"{product} app/{application[1].lower()}" if application else product


@rule(
    "event-decrypt-new-principal",
    "Decrypt by a principal that never decrypted before",
    Severity.HIGH,
    Facts.EVENTS,
    about="never before in the store's own history",
    techniques=(CLOUD_ACCOUNTS, STEAL_TOKEN, CLOUD_SECRETS),
    sigma=_NO_SIGMA,
)
def new_principal(context: RuleContext) -> Said:
    if not context.has_baseline:
        return
    for group in context.opened:
        principal = group.values[0]
        if principal in context.opened_before:
            continue
        known = principal in context.seen_before
        events = context.evidence(principal, context.openings)
        keys = context.history.groups(("key",), context.of(principal, context.openings), context.window)
        yield found(
            Severity.MEDIUM if known else Severity.HIGH,
            principal,
            f"{name_of(principal)} decrypted for the first time",
            f"Decrypt or ReEncrypt {times(group.events)} from {where_from(events)} under "
            f"{listed(context.key(arn) for g in keys for arn in g.values[0].split(' '))}; by {principal}; "
            + ("it made other calls before; " if known else "no call of it before; ")
            + f"{context.days_before:,} days with events before",
            _ASK + f"keydeck events principal {principal}.",
            events,
        )


@rule(
    "event-decrypt-new-network",
    "Decrypt from a network that the principal never came from",
    Severity.MEDIUM,
    Facts.EVENTS,
    techniques=(CLOUD_ACCOUNTS, STEAL_TOKEN),
    sigma=_NO_SIGMA,
)
def new_network(context: RuleContext) -> Said:
    for principal, new, before, groups in _news(context, "ip", network):
        outside = [net for net in new if not is_private(net)]
        severity = Severity.MEDIUM if outside else Severity.LOW
        if len(before) >= _ROAMS:
            severity = severity.lowered()
        addresses = [g.values[1] for g in groups]
        yield found(
            severity,
            principal,
            f"{name_of(principal)} decrypted from a new network",
            f"{times(sum(g.events for g in groups)).capitalize()} from {listed(outside or new)}"
            f" ({listed(addresses)}); before from {listed(sorted(before))}; by {principal}",
            "If the platform has not moved, its credentials may be used elsewhere: rotate them. "
            + _ASK
            + f"keydeck events principal {principal}.",
            context.evidence(principal, (*context.openings, has("ip", *addresses))),
        )


@rule(
    "event-decrypt-new-endpoint",
    "Decrypt through a VPC endpoint that the principal never used",
    Severity.HIGH,
    Facts.EVENTS,
    about="low through an endpoint of one's own account",
    techniques=(CLOUD_ACCOUNTS, STEAL_TOKEN),
    sigma=_NO_SIGMA,
)
def new_endpoint(context: RuleContext) -> Said:
    """Yield known principals that come through a new endpoint: addresses behind it are its owner's choice."""
    if not context.has_baseline:
        return
    through = (*context.openings, like("endpoint", "*"))
    for group in context.history.groups(("principal", "endpoint"), through, context.window):
        principal, endpoint = group.values
        mine = (*context.openings, has("endpoint", endpoint))
        known = principal in context.opened_before
        if not known or context.history.events(context.of(principal, mine), context.before, limit=1):
            continue
        events = context.evidence(principal, mine)
        owners = dict.fromkeys(text(recorded(e).get("vpcEndpointAccountId"), 12) for e in events)
        foreign = [a for a in owners if a and a not in context.keys.accounts | {e.account for e in events}]
        unknown = Severity.LOW if all(owners) else Severity.MEDIUM
        yield found(
            Severity.HIGH if foreign else unknown,
            principal,
            f"{name_of(principal)} decrypted through a new VPC endpoint",
            f"{times(group.events).capitalize()} through {endpoint}, "
            + (f"which is account {listed(foreign)}'s" if foreign else "which it never used before")
            + f"; from {where_from(events)}; by {principal}",
            "If the endpoint is none of yours, the principal's credentials are used elsewhere: rotate them. "
            f"{_ASK}keydeck events principal {principal}.",
            events,
        )


@rule(
    "event-decrypt-new-region",
    "Decrypt in a Region where the principal never decrypted",
    Severity.MEDIUM,
    Facts.EVENTS,
    techniques=(CLOUD_ACCOUNTS, STEAL_TOKEN),
    sigma=_NO_SIGMA,
)
def new_region(context: RuleContext) -> Said:
    """Yield known principals that open tokens in a new Region: with a replica of a multi-Region key."""
    for principal, new, before, groups in _news(context, "region", str):
        events = context.evidence(principal, (*context.openings, has("region", *new)))
        yield found(
            Severity.MEDIUM,
            principal,
            f"{name_of(principal)} decrypted in a new Region",
            f"{times(sum(g.events for g in groups)).capitalize()} in {listed(new)}; before in "
            f"{listed(sorted(before))}; from {where_from(events)}; by {principal}",
            "If the platform doesn't work there, find out who made a replica of the key there, and for whom. "
            f"{_ASK}keydeck events principal {principal}.",
            events,
        )


@rule(
    "event-decrypt-new-agent",
    "Decrypt with software that the principal never used",
    Severity.MEDIUM,
    Facts.EVENTS,
    techniques=(CLOUD_ACCOUNTS, STEAL_TOKEN),
    sigma=_NO_SIGMA,
)
def new_agent(context: RuleContext) -> Said:
    for principal, new, before, groups in _news(context, "agent", family):
        agents = [g.values[1] for g in groups]
        yield found(
            Severity.MEDIUM,
            principal,
            f"{name_of(principal)} decrypted with software it never used before",
            f"{times(sum(g.events for g in groups)).capitalize()} with {listed(new)} ({listed(agents, 2)}); "
            f"before with {listed(sorted(before))}; by {principal}",
            "Compare with what was deployed. " + _ASK + f"keydeck events principal {principal}.",
            context.evidence(principal, (*context.openings, has("agent", *agents))),
        )


def _news(
    context: RuleContext, field: str, kind: Callable[[str], str]
) -> Iterator[tuple[str, list[str], set[str], list[Group]]]:
    """Yield each known principal with the kinds that are new for it, those before, and the new groups."""
    if not context.has_baseline:
        return
    usual = context.by_principal(context.openings, field, span=context.before)
    for principal, groups in context.by_principal(context.openings, field).items():
        before = {kind(g.values[1]) for g in usual.get(principal, ()) if g.values[1]}
        others = [g for g in groups if g.values[1] and kind(g.values[1]) not in before]
        if before and others:
            yield principal, list(dict.fromkeys(kind(g.values[1]) for g in others)), before, others


@rule(
    "event-decrypt-human",
    "Decrypt by a person's identity",
    Severity.MEDIUM,
    Facts.EVENTS,
    about="low for people known to do so, and for an SDK with a user's access key",
    techniques=(CLOUD_ACCOUNTS, CLOUD_SECRETS),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": ["Decrypt", "ReEncrypt"]},
        SigmaKeys.GUARDING,
        either=(
            {"userIdentity.type": list(PEOPLE)},
            {"sessionCredentialFromConsole": ["true", True]},
            {"userIdentity.arn|contains": "/AWSReservedSSO_"},
        ),
        services=False,
        failed=False,
        limits="People who did so before, and SDKs with a user's access key, are low in Keydeck.",
        falsepositives=("An on-call engineer who verifies tokens with Keydeck",),
    ),
)
def human(context: RuleContext) -> Said:
    """Yield people who opened something by hand.

    Whoever is known to do so is told as low. A user whose software is an SDK is most likely a program with
    a user's keys: low as well, since it is no session of a person.
    """
    terms = (*context.openings, flag("human"))
    before = {g.values[0] for g in context.history.groups(("principal",), terms, context.before)}
    for principal, groups in context.by_principal(terms, "agent").items():
        program = all(_is_sdk(g.values[1]) for g in groups)
        usual = context.has_baseline and principal in before
        events = context.evidence(principal, terms)
        yield found(
            Severity.LOW if usual or program else Severity.MEDIUM,
            principal,
            f"{name_of(principal)} decrypted (a person's identity, not a service role)",
            f"Decrypt or ReEncrypt {times(sum(g.events for g in groups))} from {where_from(events)} with "
            f"{listed(dict.fromkeys(family(g.values[1]) for g in groups), 3)}; by {principal}"
            + ("; as before" if usual else "")
            + ("; the software is an SDK: perhaps a program with a user's access key" if program else ""),
            "People don't need data keys: the platform opens tokens. Ask why; take kms:Decrypt away.",
            events,
        )


def _is_sdk(agent: str) -> bool:
    return family(agent).startswith(("boto3", "botocore", "aws-sdk", "apn"))
