"""Tests that are answered by rules, or by checks of `keydeck doctor`: of every place that was checked.

Met where all were asked, nothing may hide and nothing was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from crypto_core.compliance.answer import BY_TEST, ControlAnswer, ControlTest, answer, cause, not_assessed
from crypto_core.compliance.facts import CheckFacts, FindingFact, FindingFacts, GuardingKeyFacts, KeyFact
from crypto_core.compliance.snapshot import Lack, SnapshotPart
from crypto_core.diagnosis.check import CheckOutcome
from crypto_core.findings.finding import Finding, Severity
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted, listed

_GRAVE = tuple(severity for severity in Severity if severity.grave)


def _line(found: FindingFact) -> str:
    since = f", since {found.first_at:%Y-%m-%d %H:%M} UTC" if found.first_at else ""
    return f"{found.severity}: {found.title} ({found.rule}: {found.subject}{since})"


def _causes(facts: FindingFacts, found: Sequence[FindingFact]) -> list[Finding]:
    """What findings are about. Those of events tell what happened, all others what stands."""
    happened = facts.since is not None
    return [
        Finding(
            *(one.rule, one.severity, one.subject, clean(one.title, 300), "", ""),
            first_at=one.first_at if happened else None,
        )
        for one in found
    ]


def _told(
    facts: FindingFacts,
    found: Sequence[FindingFact],
    good: Sequence[str],
    unasked: Sequence[str] = (),
    *,
    mild_counts: bool = True,
) -> ControlAnswer:
    """The answer of findings; what is suppressed is left open, and what is mild where it doesn't count."""
    hidden = [one for one in found if one.suppressed]
    shown = [one for one in found if not one.suppressed]
    bad = [one for one in shown if mild_counts or one.severity in _GRAVE]
    mild = [one for one in shown if one not in bad]
    return answer(
        good,
        bad=[_line(one) for one in bad],
        open_=[*map(_line, mild), *(f"Suppressed {one.suppressed}: {_line(one)}" for one in hidden)],
        unseen=[*unasked, *(f"Not examined: {gap}" for gap in facts.gaps)],
        causes=_causes(facts, bad),
        undecided=_causes(facts, [*mild, *hidden]),
    )


def _nothing_found(
    rules: tuple[str, ...],
    now: datetime,
    facts: FindingFacts,
    keys: GuardingKeyFacts | None = None,
    *,
    mild_counts: bool = True,
) -> ControlAnswer:
    """The answer of rules; of those about keys there must be a key that guards tokens."""
    if keys is not None and not keys.keys:
        return not_assessed("no key is known that guards tokens")
    found = [one for one in facts.findings if one.rule in rules]
    asked = [rule for rule in rules if rule in facts.rules]
    if not asked:
        return not_assessed(f"not asked: {listed(rules, 3)}")
    left = [f"Not asked: {rule}" for rule in rules if rule not in asked]
    first = f"{'Asked' if found else 'No finding of'}: {listed(asked, 12)}"
    said = [first, *(_key_line(key, now) for key in (keys.keys if keys else ()))]
    return _told(facts, found, said, left, mild_counts=mild_counts)


def _key_line(key: KeyFact, now: datetime) -> str:
    rotation = {
        None: "rotation not known",
        True: f"rotates every {counted(key.rotation_days or 365, 'day')}",
        False: "not rotated by KMS",
    }[key.rotates]
    oldest = key.oldest_in_use
    age = f", oldest material in use {counted((now - oldest).days, 'day')} old" if oldest else ""
    return f"{key.name}: {key.state or 'state not known'}, {rotation}{age}"


def _nothing_grave(_now: datetime, facts: FindingFacts) -> ControlAnswer:
    if not facts.rules:
        return not_assessed("no rule was asked")
    found = [one for one in facts.findings if one.severity in _GRAVE]
    milder = counted(len(facts.findings) - len(found), "milder finding")
    period = f" from {facts.since:%Y-%m-%d %H:%M} to {facts.until:%Y-%m-%d %H:%M} UTC" if facts.since else ""
    good = f"{counted(len(facts.rules), 'rule')} asked{period}: nothing of severity high or worse, {milder}"
    return _told(facts, found, [good])


def _examined(_now: datetime, facts: FindingFacts) -> ControlAnswer:
    if not facts.rules or facts.since is None or facts.until is None:
        return not_assessed("no event was examined")
    told = sum(not one.suppressed for one in facts.findings)
    period = f"{facts.since:%Y-%m-%d %H:%M} to {facts.until:%Y-%m-%d %H:%M} UTC"
    good = f"{counted(len(facts.rules), 'rule')} over events from {period}: {counted(told, 'finding')}"
    return answer([good], unseen=[f"Not examined: {gap}" for gap in facts.gaps])


_BAD = (CheckOutcome.WARNING, CheckOutcome.FAILED)


def _checked(name: str, _now: datetime, facts: CheckFacts) -> ControlAnswer:
    found = [one for one in facts.checks if one.name == name]
    told = [one for one in found if one.outcome in (CheckOutcome.OK, *_BAD)]
    if not told:
        reasons = [f"{one.area}: {one.said}" for one in found]
        return not_assessed(reasons[0] if reasons else f"{name} was not checked", Lack.FAILED)
    failed = [one for one in told if one.outcome in _BAD]
    left = [one for one in found if one not in told]
    return answer(
        [f"{one.area}: {one.said}" for one in told if one.outcome == CheckOutcome.OK],
        bad=[f"{one.area}: {one.said}" for one in failed],
        open_=[f"{one.area}: {one.said}" for one in left],
        causes=[cause(BY_TEST, one.area, one.said) for one in failed],
        undecided=[cause(BY_TEST, one.area, one.said) for one in left],
    )


def _rules(name: str, measures: str, parts: tuple[SnapshotPart, ...], *rules: str) -> ControlTest:
    ask = partial(_nothing_found, rules, mild_counts=name not in MILD_LEFT_OPEN)
    return ControlTest(name, measures, parts, ask)


MILD_LEFT_OPEN = {"key-changes-watched"}
"""Tests for which a finding below severity high says nothing wrong: a key was changed, and nothing opened."""

RULES: dict[str, tuple[str, ...]] = {}

_POSTURE, _EVENTS = (SnapshotPart.POSTURE,), (SnapshotPart.EVENTS,)
_OF_KEYS = (SnapshotPart.POSTURE, SnapshotPart.KEYS)

_TABLE: tuple[tuple[str, str, tuple[SnapshotPart, ...], tuple[str, ...]], ...] = (
    (
        "keys-usable",
        "No key that guards tokens is disabled, pending deletion or otherwise unusable.",
        _OF_KEYS,
        ("kms-key-disabled", "kms-key-pending-deletion", "kms-key-unusable"),
    ),
    (
        "keys-survive-a-region",
        "Keys that guard tokens have a replica in another Region, and none is pending deletion.",
        _OF_KEYS,
        ("kms-single-region", "kms-key-pending-deletion"),
    ),
    (
        "keys-rotate",
        "Keys that KMS can rotate rotate as often as KEYDECK_ROTATION_DAYS wants; rotation by hand counts.",
        _OF_KEYS,
        ("kms-rotation-off", "kms-rotation-period"),
    ),
    (
        "material-young",
        "No token is on key material older than KEYDECK_MATERIAL_DAYS.",
        _OF_KEYS,
        ("kms-material-old",),
    ),
    (
        "old-keys-retired",
        "No data key is made under a key that is no longer written under, and no unused key is left.",
        _OF_KEYS,
        ("kms-old-key-in-use", "kms-unused"),
    ),
    (
        "keys-not-substituted",
        "The alias that the platform is given points to the key that is written under.",
        _OF_KEYS,
        ("kms-alias-elsewhere",),
    ),
    (
        "substitution-watched",
        "No event shows another key put in the place of a trusted one, or data keys under a foreign key.",
        _EVENTS,
        (
            *("event-alias-changed", "event-wrong-write-key", "event-rewrapped-elsewhere"),
            *("event-material-imported", "event-primary-region"),
        ),
    ),
    (
        "key-access-narrow",
        "No policy or grant opens keys wide: to everybody, other accounts, unnamed administrators.",
        _OF_KEYS,
        (
            *("kms-key-public", "kms-key-cross-account", "kms-grant-wide", "kms-key-full-control"),
            *("kms-decrypt-all-managed", "kms-decrypt-all-inline"),
        ),
    ),
    (
        "key-changes-watched",
        "No event shows a key's policy, grants, state or replicas worsened; other changes are left open.",
        _EVENTS,
        (
            *("event-key-policy", "event-key-grant", "event-key-made-open", "event-key-disabled"),
            *("event-key-deletion", "event-key-ransom", "event-material-deleted", "event-rotation-off"),
            *("event-key-replicated", "event-key-store", "event-key-tagged"),
        ),
    ),
    (
        "key-use-expected",
        "No event shows keys used by people, root, new principals, from new places, in bulk; no retired key.",
        _EVENTS,
        (
            *("event-decrypt-human", "event-root-use", "event-decrypt-new-principal", "event-console-use"),
            *("event-decrypt-new-network", "event-decrypt-new-endpoint", "event-decrypt-new-region"),
            *("event-decrypt-new-agent", "event-bulk-decrypt", "event-bulk-tokens", "event-failed-burst"),
            *("event-denied-slowly", "event-retired-key", "event-key-revived"),
        ),
    ),
    (
        "trail-records-keys",
        "CloudTrail records what is done with keys, in every Region, and its files are delivered.",
        _POSTURE,
        (
            *("trail-none", "trail-stopped", "trail-one-region", "trail-excludes-kms"),
            "trail-undelivered",
        ),
    ),
    (
        "trail-files-protected",
        "The trail's files have digests, are under a KMS key, and lie in a logged bucket that is not public.",
        _POSTURE,
        ("trail-unvalidated", "trail-bucket-public", "trail-bucket-unlogged", "trail-unencrypted"),
    ),
    (
        "trail-undisturbed",
        "No event shows a trail, its bucket or its files stopped, changed, opened or deleted.",
        _EVENTS,
        (
            *("event-trail-stopped", "event-trail-deleted", "event-trail-changed", "event-trail-hides-kms"),
            *("event-trail-files-deleted", "event-trail-bucket-deleted", "event-trail-bucket-expiry"),
            *("event-trail-bucket-opened", "event-trail-bucket-policy", "event-trail-bucket-unprotected"),
            "event-data-store-stopped",
        ),
    ),
    (
        "tokens-in-place",
        "No envelope is stored in several places, and no row holds another provider's token.",
        _POSTURE,
        ("tokens-copied", "tokens-foreign"),
    ),
)

_CHECKS = (
    (
        "database-connection-encrypted",
        "Connections to the database are encrypted, or stay on this machine.",
        "encryption",
    ),
    ("database-role-limited", "Keydeck's role in the database is no superuser.", "role"),
    ("aws-connection-encrypted", "AWS is called over https, or on this machine.", "endpoint"),
    ("clocks-agree", "This machine's clock agrees with the database's and AWS's.", "clock"),
)
"""Tests that checks of `keydeck doctor` answer: their name, what they measure, the check's name."""

TESTS = (
    *(_rules(name, measures, parts, *rules) for name, measures, parts, rules in _TABLE),
    ControlTest(
        "posture-well",
        "No finding of severity high or worse about keys, access and trails.",
        (SnapshotPart.POSTURE,),
        _nothing_grave,
    ),
    ControlTest(
        "events-quiet",
        "No finding of severity high or worse in CloudTrail's events since the last record, at least a day.",
        (SnapshotPart.EVENTS,),
        _nothing_grave,
    ),
    ControlTest(
        "events-examined",
        "CloudTrail's events since the last record, at least of a day, were examined by every rule.",
        (SnapshotPart.EVENTS,),
        _examined,
    ),
    *(
        ControlTest(name, measures, (SnapshotPart.CHECKS,), partial(_checked, check))
        for name, measures, check in _CHECKS
    ),
)
RULES.update({name: rules for name, _, _, rules in _TABLE})
