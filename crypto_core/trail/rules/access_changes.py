"""Changes of who may use a key: its policy, read as the posture reads it, and grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crypto_core.findings.finding import Severity
from crypto_core.findings.standards import CLOUD_ROLES
from crypto_core.keys.policy.access import Access, accesses
from crypto_core.keys.policy.actions import Power, powers
from crypto_core.keys.policy.comparison import compare
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.principals import PolicyPrincipal as Named
from crypto_core.trail.event import KMS, TrailEvent
from crypto_core.trail.rules.change_findings import Judgement, change_rule
from crypto_core.trail.rules.rule_context import RuleContext, listed, request, text
from crypto_core.trail.store.history import Span, has
from crypto_core.values.errors import PolicyError
from crypto_core.values.key_names import account_of

_GRAVE = (Power.OPEN, Power.DELEGATE, Power.DESTROY)


def _name(context: RuleContext, event: TrailEvent) -> str:
    return context.key(event.key_arns[0]) if event.key_arns else "a key"


@change_rule(
    "event-key-policy",
    "Policy of a KMS key replaced",
    Severity.CRITICAL,
    techniques=(CLOUD_ROLES,),
    names=("PutKeyPolicy",),
    about="critical where it opens the key to everybody or to another account; says what changed",
    limits="Keydeck reads the policy: where it opens the key to nobody else, it is high or medium.",
    falsepositives=("A deployment that changes the policy",),
    remedy="Look at it: keydeck keys policy KEY --explain. If it was not intended, put the one before back: "
    "keydeck keys put-policy.",
)
def policy_replaced(context: RuleContext, event: TrailEvent) -> Judgement:
    """What the new policy lets through, and what it changes where the one before is in the store."""
    arn = event.key_arns[0] if event.key_arns else "*"
    did = f"replaced the policy of {_name(context, event)}"
    if event.failed:
        return Severity.HIGH, did, ""
    try:
        policy = _document(event)
    except PolicyError as error:
        return Severity.HIGH, did, f"the new policy can't be read: {error.message}"
    if policy is None:
        return Severity.HIGH, did, "the record does not have the policy"
    found = accesses(policy, (), arn)
    public = [a for a in found if a.is_public]
    beyond = _beyond(context, found, arn)
    unchecked = request(event).get("bypassPolicyLockoutSafetyCheck") is True
    said = ["KMS's check against locking oneself out was bypassed"] if unchecked else []
    said.append(_difference(context, event, policy, arn))
    if public:
        sids = listed(dict.fromkeys(a.statement for a in public))
        said.insert(0, f"open to everybody by {sids}")
        if any(_grave(a) for a in public):
            return Severity.CRITICAL, f"opened {_name(context, event)} to everybody", "; ".join(said)
    if beyond:
        said.insert(0, f"lets in account {listed(beyond)}")
        return Severity.CRITICAL, f"let another account use {_name(context, event)}", "; ".join(said)
    if _shuts_out(found, event.principal.arn):
        said.insert(0, "nobody else may change the key or its policy any more")
        return Severity.CRITICAL, f"shut everybody else out of {_name(context, event)}", "; ".join(said)
    return (Severity.HIGH if public or unchecked else Severity.MEDIUM), did, "; ".join(said)


def opened_to(context: RuleContext, event: TrailEvent) -> str:
    """Return to whom the policy in a call opens the key, everybody or other accounts; "" for neither."""
    arn = event.key_arns[0] if event.key_arns else "*"
    try:
        policy = _document(event)
    except PolicyError as error:
        return f"its policy can't be read: {error.message}"
    found = accesses(policy, (), arn) if policy is not None else ()
    if any(access.is_public and _grave(access) for access in found):
        return "open to everybody"
    beyond = _beyond(context, found, arn, event.account)
    return f"lets in account {listed(beyond)}" if beyond else ""


@change_rule(
    "event-key-made-open",
    "KMS key made that everybody or another account may use",
    Severity.HIGH,
    techniques=(CLOUD_ROLES,),
    names=("CreateKey",),
    about_keys=False,
    no_sigma="whom the new key lets in stands in its policy, a document within the record",
    remedy="Don't write under it. Look at it: keydeck keys policy KEY --explain.",
)
def made_open(context: RuleContext, event: TrailEvent) -> Judgement | None:
    """None for a key that stays within the account."""
    opened = opened_to(context, event)
    return (Severity.HIGH, "made a key that others may use", opened) if opened else None


def _beyond(context: RuleContext, found: Sequence[Access], arn: str, own: str = "") -> list[str]:
    own = account_of(arn) or own
    expected = context.keys.accounts | ({own} if own else set())
    return sorted({a for access in found if _grave(access) for a in access.accounts - expected})


def _shuts_out(found: Sequence[Access], caller: str) -> bool:
    """True where nobody but the caller may change the key's policy; an account is everybody in it."""
    may = [a for a in found if Power.DELEGATE in powers(a.actions)]
    return all(a.principal.value == caller and not (a.all_but or a.principal.is_account) for a in may)


def _grave(access: Access) -> bool:
    return any(power in _GRAVE for power in powers(access.actions))


def _document(event: TrailEvent) -> PolicyDocument | None:
    given = request(event).get("policy")
    return parse_policy(given) if isinstance(given, str) else None


def _difference(context: RuleContext, event: TrailEvent, policy: PolicyDocument, arn: str) -> str:
    earlier = context.history.events(
        (has("source", KMS), has("name", "PutKeyPolicy", "CreateKey"), has("key", arn)),
        Span(None, event.time),
        limit=5,
    )
    for one in earlier:
        try:
            before = None if one.failed else _document(one)
        except PolicyError:
            continue
        if before is not None:
            changes = compare(before, policy, arn).changes
            said = listed([str(change) for change in changes], 4) or "no principal gains or loses anything"
            return f"since {one.time:%Y-%m-%d %H:%M} UTC: {said}"
    return "the policy before is not in the store: compare with keydeck keys policy"


@change_rule(
    "event-key-grant",
    "Grant on a KMS key created",
    Severity.CRITICAL,
    techniques=(CLOUD_ROLES,),
    names=("CreateGrant",),
    about="critical to everybody or to another account",
    services=False,
    limits="Keydeck reports grants to other accounts even if a service makes them; which are critical, it "
    "knows from grantee and operations.",
    falsepositives=("An administrator who gives a role access for a while",),
    remedy="If it was not intended: keydeck keys revoke-grant. A grant needs no policy and is easily "
    "overlooked; a principal that may create grants can pass access on.",
)
def grant_created(context: RuleContext, event: TrailEvent) -> Judgement | None:
    """To whom, and what for. What services grant themselves or roles of the key's account is their work.

    EC2, RDS and others make a grant for each disk they attach: that is noise, a grant to another account is
    none.
    """
    given, made = request(event), _grant(context, event)
    if event.by_service and not made.foreign and not made.wide:
        return None
    severity = Severity.HIGH if made.grave else Severity.MEDIUM
    whom = made.principal.seen_from(made.own) if made.grantee else "a principal"
    return (
        Severity.CRITICAL if (made.foreign or made.wide) and made.grave else severity,
        f"granted {whom} the use of {_name(context, event)}",
        f"operations {listed(made.operations, 12) or 'not recorded'}; to {made.grantee or 'nobody recorded'}"
        + ("; of another account" if made.foreign else "")
        + ("; constrained by an encryption context" if given.get("constraints") else ""),
    )


def granted_beyond(context: RuleContext, event: TrailEvent) -> str:
    """Return to whom a grant gives what is grave, everybody or other accounts; "" for neither."""
    made = _grant(context, event)
    if not made.grave or not (made.foreign or made.wide):
        return ""
    return f"granted {made.grantee} {listed(made.operations, 12) or 'operations that are not recorded'}"


class _Grant(NamedTuple):
    """A grant as a call asks for it. `own` is the key's account."""

    grantee: str
    operations: list[str]
    principal: Named
    own: str
    foreign: bool
    wide: bool
    grave: bool


def _grant(context: RuleContext, event: TrailEvent) -> _Grant:
    given = request(event)
    grantee = text(given.get("granteePrincipal"), 300)
    operations = (
        [text(o, 40) for o in given["operations"]] if isinstance(given.get("operations"), list) else []
    )
    principal = Named("Service" if grantee.endswith(".amazonaws.com") else "AWS", grantee)
    own = (account_of(event.key_arns[0]) if event.key_arns else event.account) or ""
    return _Grant(
        grantee,
        operations,
        principal,
        own,
        foreign=bool(principal.account) and principal.account not in context.keys.accounts | {own},
        wide="*" in grantee or principal.is_account,
        grave=any(power in _GRAVE for power in powers(operations)) or not operations,
    )
