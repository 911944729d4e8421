"""New data keys under another key than the one that tokens are written under."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_ACCOUNTS, ENCRYPTED
from crypto_core.key_names import account_of
from crypto_core.trail.rules.configured import one_of, patterns
from crypto_core.trail.rules.rule import Rule, Sigma
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
from crypto_core.trail.store.history import Span, has, like

_ID = "event-wrong-write-key"
_MAKES = ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "Encrypt")


def _wrong_key(watched: RuleContext) -> Iterator[Finding | Gap]:
    """Yield who writes under the configured key, and also under another one.

    A key that the principal wrote under before as well is told as low: it may be meant for something else,
    and that old keys are still written under is told from the keys' own last use. Services wrap data keys
    of their own under keys of their own; they are left out.
    """
    keys = watched.keys
    if not keys.writing:
        return
    terms = (OF_KMS, NO_SERVICE, DID, has("name", *_MAKES))
    under = like("key", *patterns(keys.writing, keys.names or {}))
    always = Span(None, watched.until)
    writers = {g.values[0] for g in watched.history.groups(("principal",), (*terms, under), always)}
    if not writers:
        return
    before = {g.values for g in watched.history.groups(("principal", "key"), terms, watched.before)}
    for group in watched.history.groups(("principal", "key"), terms, watched.window):
        principal, key = group.values
        arns = key.split(" ")
        if principal not in writers or not key or any(one_of(arn, keys.writing) for arn in arns):
            continue
        if set(arns) & keys.aliases:
            continue
        foreign = {a for arn in arns if (a := account_of(arn)) and a not in keys.accounts}
        usual = (principal, key) in before
        severity = Severity.LOW if usual else Severity.MEDIUM
        events = watched.evidence(watched.of(principal, (*terms, has("key", *arns))))
        yield found(
            _ID,
            Severity.HIGH if foreign else severity,
            arns[0],
            f"{name_of(principal)} made data keys under {watched.key(arns[0])}, not the key written under",
            f"{calls(group.events)} of {listed(dict.fromkeys(e.name for e in events))} under {arns[0]}"
            + (f", a key of account {listed(sorted(foreign))}" if foreign else "")
            + f"; TOKEN_ENCRYPTION_KEY_ID is {listed(sorted(keys.writing))}"
            + ("; as before" if usual else "")
            + f"; from {where_from(events)}; by {principal}",
            "Give every instance of the platform the same key. Nobody of yours can open what is sealed "
            "under another account's key once that account says no.",
            events,
        )


RULES = (
    Rule(
        _ID,
        "Data keys made under another key than the one written under",
        Severity.HIGH,
        (ENCRYPTED, CLOUD_ACCOUNTS),
        Sigma(
            {"eventSource": "kms.amazonaws.com", "eventName": list(_MAKES)},
            limits="Name the platform's principals, and leave out the key that they write under.",
            falsepositives=("An instance that was not restarted after the key changed",),
        ),
        _wrong_key,
    ),
)
