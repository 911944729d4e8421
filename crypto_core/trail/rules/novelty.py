"""Who opens something for the first time: a principal, or a known one from elsewhere or with other software.

What is normal is what the store has from before the window. A principal that is new itself is told once,
not again for its network and its software.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_ACCOUNTS, CLOUD_SECRETS, STEAL_TOKEN
from crypto_core.trail.rules.rule import Rule, Sigma
from crypto_core.trail.rules.rule_context import RuleContext, found, listed, lower, name_of, times, where_from
from crypto_core.trail.store.history import Group, flag, has

NEW_PRINCIPAL = "event-decrypt-new-principal"
_NETWORK = "event-decrypt-new-network"
_AGENT = "event-decrypt-new-agent"
_HUMAN = "event-decrypt-human"

_PRIVATE = tuple(
    ipaddress.ip_network(own)
    for own in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10")
)
"""RFC 1918, 6598, 4193, 4291. `ipaddress.is_private` has the networks of documentation besides."""
_ROAMS = 10
"""Who came from so many networks comes from a new one as a matter of course."""
_SELECTION = {"eventSource": "kms.amazonaws.com", "eventName": ["Decrypt", "ReEncrypt"]}
_NO_SERVICE = {"userIdentity.type": "AWSService"}
_BASELINE = "Sigma has no baseline: compare with who did so in the weeks before."
_ASK = "Ask whoever is behind it. If nobody is, take its permission away and follow what it opened: "


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
    """Return the software that a user agent names, without its version, with the application if it names one.

    A new version or another Python is no news; another tool is.
    """
    named = _PRODUCT.match(agent.strip())
    product = named[1].lower() if named else agent.strip().lower()[:40]
    application = _APP.search(agent)
    return f"{product} app/{application[1].lower()}" if application else product


def _new_principal(watched: RuleContext) -> Iterator[Finding | Gap]:
    if not watched.has_baseline:
        return
    for group in watched.opened:
        principal = group.values[0]
        if principal in watched.opened_before:
            continue
        known = principal in watched.seen_before
        terms = watched.of(principal, watched.openings)
        events = watched.evidence(terms)
        keys = watched.history.groups(("key",), terms, watched.window)
        yield found(
            NEW_PRINCIPAL,
            Severity.MEDIUM if known else Severity.HIGH,
            principal or "unknown",
            f"{name_of(principal)} opened something for the first time",
            f"Decrypt or ReEncrypt {times(group.events)} from {where_from(events)} under "
            f"{listed(watched.key(arn) for g in keys for arn in g.values[0].split(' '))}; by {principal}; "
            + ("it made other calls before; " if known else "no call of it before; ")
            + f"{watched.days_before:,} days with events before",
            _ASK + f"keydeck events principal {principal}.",
            events,
        )


def _new_network(watched: RuleContext) -> Iterator[Finding | Gap]:
    for principal, new, before, groups in _news(watched, "ip", network):
        outside = [net for net in new if not is_private(net)]
        severity = Severity.MEDIUM if outside else Severity.LOW
        if len(before) >= _ROAMS:
            severity = lower(severity)
        addresses = [g.values[1] for g in groups]
        terms = watched.of(principal, (*watched.openings, has("ip", *addresses)))
        yield found(
            _NETWORK,
            severity,
            principal,
            f"{name_of(principal)} opened something from a new network",
            f"{times(sum(g.events for g in groups)).capitalize()} from {listed(outside or new)}"
            f" ({listed(addresses)}); before from {listed(sorted(before))}; by {principal}",
            "If the platform has not moved, its credentials may be used elsewhere: rotate them. "
            + _ASK
            + f"keydeck events principal {principal}.",
            watched.evidence(terms),
        )


def _new_agent(watched: RuleContext) -> Iterator[Finding | Gap]:
    for principal, new, before, groups in _news(watched, "agent", family):
        agents = [g.values[1] for g in groups]
        terms = watched.of(principal, (*watched.openings, has("agent", *agents)))
        yield found(
            _AGENT,
            Severity.MEDIUM,
            principal,
            f"{name_of(principal)} opened something with other software than before",
            f"{times(sum(g.events for g in groups)).capitalize()} with {listed(new)} ({listed(agents, 2)}); "
            f"before with {listed(sorted(before))}; by {principal}",
            "Compare with what was deployed. " + _ASK + f"keydeck events principal {principal}.",
            watched.evidence(terms),
        )


def _news(
    watched: RuleContext, field: str, kind: Callable[[str], str]
) -> Iterator[tuple[str, list[str], set[str], list[Group]]]:
    """Yield each known principal with the kinds that are new for it, those before, and the new groups."""
    if not watched.has_baseline:
        return
    before: dict[str, set[str]] = {}
    for group in watched.history.groups(("principal", field), watched.openings, watched.before):
        if group.values[1]:
            before.setdefault(group.values[0], set()).add(kind(group.values[1]))
    news: dict[str, list[Group]] = {}
    for group in watched.history.groups(("principal", field), watched.openings, watched.window):
        known = before.get(group.values[0])
        if known and group.values[1] and kind(group.values[1]) not in known:
            news.setdefault(group.values[0], []).append(group)
    for principal, groups in news.items():
        new = list(dict.fromkeys(kind(g.values[1]) for g in groups))
        yield principal, new, before[principal], groups


def _human(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield people who opened something by hand.

    Whoever is known to do so is told as low. A user whose software is an SDK is most likely a program with
    a user's keys: low as well, since it is no session of a person.
    """
    terms = (*watched.openings, flag("human"))
    before = {g.values[0] for g in watched.history.groups(("principal",), terms, watched.before)}
    agents: dict[str, list[Group]] = {}
    for group in watched.history.groups(("principal", "agent"), terms, watched.window):
        agents.setdefault(group.values[0], []).append(group)
    for principal, groups in agents.items():
        program = all(_is_sdk(g.values[1]) for g in groups)
        usual = watched.has_baseline and principal in before
        events = watched.evidence(watched.of(principal, terms))
        yield found(
            _HUMAN,
            Severity.LOW if usual or program else Severity.MEDIUM,
            principal or "unknown",
            f"{name_of(principal)}, a person's identity, opened something",
            f"Decrypt or ReEncrypt {times(sum(g.events for g in groups))} from {where_from(events)} with "
            f"{listed((family(g.values[1]) for g in groups), 3)}; by {principal}"
            + ("; as before" if usual else "")
            + ("; the software is an SDK: perhaps a program with a user's access key" if program else ""),
            "People need no data keys: tokens are opened by the platform. Ask why; take kms:Decrypt away.",
            events,
        )


def _is_sdk(agent: str) -> bool:
    return family(agent).startswith(("boto3", "botocore", "aws-sdk", "apn"))


RULES = (
    Rule(
        NEW_PRINCIPAL,
        "Decrypt by a principal that never did so before",
        Severity.HIGH,
        (CLOUD_ACCOUNTS, STEAL_TOKEN, CLOUD_SECRETS),
        Sigma(_SELECTION, _NO_SERVICE, _BASELINE, ("A new service or role of the platform",)),
        _new_principal,
    ),
    Rule(
        _NETWORK,
        "Decrypt from a network that the principal never came from",
        Severity.MEDIUM,
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        Sigma(_SELECTION, _NO_SERVICE, _BASELINE, ("New subnets, NAT gateways or Regions of the platform",)),
        _new_network,
    ),
    Rule(
        _AGENT,
        "Decrypt with software that the principal never used",
        Severity.MEDIUM,
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        Sigma(_SELECTION, _NO_SERVICE, _BASELINE, ("The platform moved to another SDK",)),
        _new_agent,
    ),
    Rule(
        _HUMAN,
        "Decrypt by a person's identity",
        Severity.MEDIUM,
        (CLOUD_ACCOUNTS, CLOUD_SECRETS),
        Sigma(
            {**_SELECTION, "userIdentity.type": ["IAMUser", "Root", "IdentityCenterUser", "FederatedUser"]},
            limits="Roles of IAM Identity Center: sessionIssuer.arn holds AWSReservedSSO.",
            falsepositives=("Somebody on call who verifies tokens with Keydeck",),
        ),
        _human,
    ),
)
