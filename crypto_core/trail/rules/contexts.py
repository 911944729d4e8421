"""Decrypt with an encryption context that is not the envelope's, or without one where others have one."""

from __future__ import annotations

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts, NoSigma, Said, Sigma, rule
from crypto_core.findings.standards import CLOUD_SECRETS, STEAL_TOKEN
from crypto_core.lists.filter_language import Alternative, Term
from crypto_core.trail.event import KMS
from crypto_core.trail.own_calls import OWN
from crypto_core.trail.rules.rule_context import (
    NO_SERVICE,
    OF_KMS,
    RuleContext,
    calls,
    found,
    listed,
    name_of,
    where_from,
)
from crypto_core.trail.store.history import flag, has

MANY = 10
ESTABLISHED = 20
"""v2 is what a key's tokens are in once so many Decrypts named one and hardly any did not."""
SHARE = 0.99

_INVALID = ("InvalidCiphertextException", "IncorrectKeyException")
_NO_TOKEN = Term("token", (Alternative(text="*"),), negated=True, position=0)


@rule(
    "event-context-wrong",
    "Decrypt of an envelope that is not this row's, or was changed",
    Severity.HIGH,
    Facts.EVENTS,
    techniques=(STEAL_TOKEN, CLOUD_SECRETS),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": ["Decrypt", "ReEncrypt"], "errorCode": list(_INVALID)},
        services=False,
        limits=f"Fewer than {MANY} of one principal are medium in Keydeck, its own are low.",
        falsepositives=("Keydeck's attribution of v1 envelopes", "Damaged rows"),
    ),
)
def context_wrong(context: RuleContext) -> Said:
    """Yield who offered envelopes that KMS could not open: of another row, changed, or of another key.

    Keydeck itself does so while it looks for the Region of a v1 envelope. The record often names no key, so
    calls under every key count. Services are left out: they open data of their own.
    """
    terms = (OF_KMS, NO_SERVICE, has("name", "Decrypt", "ReEncrypt"), has("error", *_INVALID))
    for group in context.history.groups(("principal",), terms, context.window):
        principal, number = group.values[0], group.events
        events = context.evidence(principal, terms)
        tokens = listed(dict.fromkeys(str(e.token_ref) for e in events if e.token_ref))
        keydeck = not context.evidence(principal, (*terms, flag(OWN, negated=True)))
        severity = Severity.HIGH if number >= MANY else Severity.MEDIUM
        yield found(
            Severity.LOW if keydeck else severity,
            principal,
            f"{name_of(principal)} sent envelopes that KMS could not open",
            f"{calls(number)}: {listed(dict.fromkeys(e.error_code for e in events))} from "
            + where_from(events)
            + (f"; for {tokens}" if tokens else "; without a token's encryption context")
            + ("; as Keydeck's attribution does" if keydeck else "")
            + f"; by {principal}",
            "An envelope was moved to another row, changed, or tried under another key: keydeck verify finds "
            "those that don't open.",
            events,
        )


@rule(
    "event-context-missing",
    "Decrypt without a row's encryption context though tokens are v2",
    Severity.HIGH,
    Facts.EVENTS,
    techniques=(STEAL_TOKEN, CLOUD_SECRETS),
    sigma=NoSigma("under which keys all tokens are v2 is known from what was opened before"),
)
def context_missing(context: RuleContext) -> Said:
    """Yield who opened something without a row's context under a key whose tokens were all v2 before."""
    if not context.has_baseline:
        return
    before = context.history.split_by_token(context.openings, context.before)
    by_key: dict[str, list[int]] = {}
    for (key, _), (named, unnamed) in before.items():
        known = by_key.setdefault(key, [0, 0])
        known[0] += named
        known[1] += unnamed
    bound = {
        key
        for key, (named, unnamed) in by_key.items()
        if key and named >= ESTABLISHED and named >= SHARE * (named + unnamed)
    }
    if not bound:
        return
    now = context.history.split_by_token(context.openings, context.window)
    for (key, principal), (_, unnamed) in now.items():
        if key not in bound or not unnamed:
            continue
        events = context.evidence(principal, (*context.openings, has("key", *key.split(" ")), _NO_TOKEN))
        first = key.split(" ")[0]
        yield found(
            Severity.HIGH if before.get((key, principal)) is None else Severity.HIGH.lowered(),
            principal,
            (
                f"{name_of(principal)} opened something under {context.key(first)} without a row's "
                "encryption context"
            ),
            f"{calls(unnamed)} without keydeck:table, column and id; before, {by_key[key][0]:,} of "
            f"{sum(by_key[key]):,} Decrypts under this key named a token; from {where_from(events)}; "
            f"by {principal}; key {first}",
            "It is no v2 envelope that was opened: an old backup's v1 envelope, or a data key of another "
            "kind. Find out what it read.",
            events,
        )
