"""Use of keys that tokens must not be under: retired ones, and others than those written under or trusted."""

from __future__ import annotations

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts, NoSigma, Said, Sigma, SigmaKeys, rule
from crypto_core.findings.standards import CLOUD_ACCOUNTS, CLOUD_SECRETS, ENCRYPTED, STEAL_TOKEN
from crypto_core.keys.key_uses import MAKES, USES
from crypto_core.trail.event import KMS
from crypto_core.trail.rules.rule_context import (
    DID,
    NO_SERVICE,
    OF_KMS,
    RuleContext,
    calls,
    found,
    listed,
    name_of,
    where_from,
)
from crypto_core.trail.rules.watched_keys import one_of, patterns
from crypto_core.trail.store.history import Span, has, like
from crypto_core.values.key_names import account_of


@rule(
    "event-retired-key",
    "Use of a compromised or retired KMS key",
    Severity.CRITICAL,
    Facts.EVENTS,
    about="any use of a key in KEYDECK_RETIRED_KEYS",
    techniques=(STEAL_TOKEN, CLOUD_SECRETS),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": list(USES)},
        SigmaKeys.RETIRED,
        limits="What failed is less in Keydeck.",
        falsepositives=("An instance of the platform that has not been given the new key yet",),
    ),
)
def retired_key(context: RuleContext) -> Said:
    """Yield who used a retired key, or tried to, services included; reads such as DescribeKey don't count."""
    keys = context.keys
    if not keys.retired:
        return
    about = like("key", *patterns(keys.retired, keys.names or {}))
    terms = (OF_KMS, has("name", *USES), about)
    for principal, groups in context.by_principal(terms, "name", "key", "error").items():
        events = context.evidence(principal, terms)
        done = sum(g.events for g in groups if not g.values[3])
        tried = sum(g.events for g in groups if g.values[3])
        used = list(dict.fromkeys(arn for g in groups for arn in g.values[2].split(" ") if arn))
        mine = [arn for arn in used if keys.is_retired([arn])] or used
        names = listed(dict.fromkeys(context.key(arn) for arn in mine))
        yield found(
            Severity.CRITICAL if done else Severity.HIGH.lowered(),
            mine[0] if mine else principal,
            f"{name_of(principal)} {'used' if done else 'tried to use'} {names}, which is retired",
            f"{calls(done)} that succeeded, {tried:,} that failed"
            f" ({listed(dict.fromkeys(e for g in groups if (e := g.values[3])))}): "
            f"{listed(dict.fromkeys(g.values[1] for g in groups))} from {where_from(events)}; "
            f"by {principal}; keys {listed(mine)}"
            if tried
            else f"{calls(done)}: {listed(dict.fromkeys(g.values[1] for g in groups))} from "
            f"{where_from(events)}; by {principal}; keys {listed(mine)}",
            "Find out who this is. If it is the platform, tokens are still under this key: keydeck status. "
            "If not, the tokens that it opened are lost: have new ones issued.",
            events,
        )


@rule(
    "event-rewrapped-elsewhere",
    "Tokens' data keys rewrapped under a key that is not trusted",
    Severity.CRITICAL,
    Facts.EVENTS,
    about="critical where that key is another account's",
    techniques=(STEAL_TOKEN, ENCRYPTED),
    sigma=Sigma(
        {"eventSource": KMS, "eventName": "ReEncrypt"},
        SigmaKeys.ELSEWHERE,
        failed=False,
        limits="Where the other key is of an expected account, it is high in Keydeck.",
        falsepositives=("keydeck rewrap to a new key, before it is trusted",),
    ),
)
def rewrapped_elsewhere(context: RuleContext) -> Said:
    """Yield who rewrapped from a guarding key to another, where tokens are opened without a record here."""
    keys = context.keys
    if not keys.guarding:
        return
    terms = (OF_KMS, DID, has("name", "ReEncrypt"), like("key", *patterns(keys.guarding, keys.names or {})))
    for group in context.history.groups(("principal", "key"), terms, context.window):
        principal, named = group.values
        others = [arn for arn in named.split(" ") if not one_of(arn, keys.guarding | keys.aliases)]
        if not others:
            continue
        foreign = sorted({a for arn in others if (a := account_of(arn)) and a not in keys.accounts})
        events = context.evidence(principal, (*terms, has("key", *others)))
        yield found(
            Severity.CRITICAL if foreign else Severity.HIGH,
            others[0],
            f"{name_of(principal)} rewrapped data keys under {context.key(others[0])}, which is not trusted",
            f"{calls(group.events)} of ReEncrypt under {listed(others)}"
            + (f", a key of account {listed(foreign)}" if foreign else "")
            + f"; from {where_from(events)}; by {principal}",
            "Whoever may decrypt under that key opens these tokens, and no record of it is made here: treat "
            "them as stolen. If the key is yours, trust it: KEYDECK_TRUSTED_KEYS.",
            events,
        )


@rule(
    "event-wrong-write-key",
    "Data keys made under another key than the one written under",
    Severity.HIGH,
    Facts.EVENTS,
    techniques=(ENCRYPTED, CLOUD_ACCOUNTS),
    sigma=NoSigma("who writes under the configured key is known from all that was recorded before"),
)
def wrong_write_key(context: RuleContext) -> Said:
    """Yield who writes under the configured key, and also under another one.

    A key that the principal wrote under before as well is told as low: it may be meant for something else,
    and that old keys are still written under is told from the keys' own last use. Services wrap data keys
    of their own under keys of their own; they are left out.
    """
    keys = context.keys
    if not keys.writing:
        return
    terms = (OF_KMS, NO_SERVICE, DID, has("name", *MAKES))
    under = like("key", *patterns(keys.writing, keys.names or {}))
    always = Span(None, context.until)
    writers = {g.values[0] for g in context.history.groups(("principal",), (*terms, under), always)}
    if not writers:
        return
    before = {g.values for g in context.history.groups(("principal", "key"), terms, context.before)}
    for group in context.history.groups(("principal", "key"), terms, context.window):
        principal, key = group.values
        arns = key.split(" ")
        if principal not in writers or not key or any(one_of(arn, keys.writing) for arn in arns):
            continue
        if set(arns) & keys.aliases:
            continue
        foreign = {a for arn in arns if (a := account_of(arn)) and a not in keys.accounts}
        usual = (principal, key) in before
        severity = Severity.LOW if usual else Severity.MEDIUM
        events = context.evidence(principal, (*terms, has("key", *arns)))
        yield found(
            Severity.HIGH if foreign else severity,
            arns[0],
            f"{name_of(principal)} made data keys under {context.key(arns[0])}, not the key written under",
            f"{calls(group.events)} of {listed(dict.fromkeys(e.name for e in events))} under {arns[0]}"
            + (f", a key of account {listed(sorted(foreign))}" if foreign else "")
            + f"; TOKEN_ENCRYPTION_KEY_ID is {listed(sorted(keys.writing))}"
            + ("; as before" if usual else "")
            + f"; from {where_from(events)}; by {principal}",
            "Give every instance of the platform the same key. Tokens under another account's key can't be "
            "opened once that account refuses.",
            events,
        )
