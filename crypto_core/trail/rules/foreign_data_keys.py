"""New data keys under another key than the one that tokens are written under."""

from __future__ import annotations

from crypto_core.findings.registry import Facts, NoSigma, Said, rule
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_ACCOUNTS, ENCRYPTED
from crypto_core.key_names import account_of
from crypto_core.key_uses import MAKES
from crypto_core.trail.rules.configured import one_of, patterns
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
from crypto_core.trail.store.event_questions import Span, has, like


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
