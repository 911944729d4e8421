"""Many at once, wrong contexts, wrong keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crypto_core.findings.finding import Severity
from crypto_core.trail.rules.rule_context import MOST_EVENTS
from crypto_core.trail.rules.watched_keys import Configured
from tests.crypto_core.trail.records import (
    ACCOUNT,
    KEY,
    NOW,
    OTHER_KEY,
    S3_CONTEXT,
    context,
    denied,
    record,
    role,
    user,
)
from tests.crypto_core.trail.rules.watching import DAY, FOREIGN, HOUR, Watch, normal, of

TOKENS, DECRYPTS, FAILURES = "event-bulk-tokens", "event-bulk-decrypt", "event-failed-burst"
SLOWLY = "event-denied-slowly"
WRONG, MISSING, WRITE = "event-context-wrong", "event-context-missing", "event-wrong-write-key"


def rows(number: int, ago: float = 3_000, **more: object) -> list[dict[str, object]]:
    """So many different tokens, one a second."""
    return [record(ago=ago - n, context=context(f"gh-{n}"), **more) for n in range(number)]


def at(ago: float) -> dict[str, str]:
    """The time of a record."""
    return {"eventTime": record(ago=ago)["eventTime"]}


def invalid(number: int, **more: object) -> list[dict[str, object]]:
    """Envelopes that KMS could not open."""
    return [record(ago=300 + n, errorCode="InvalidCiphertextException", **more) for n in range(number)]


BEFORE = 2 * DAY
BROKEN = user("broken")
BY_S3 = role("reader", invokedBy="s3.amazonaws.com")
V2 = normal(context=context("gh-1"))
WROTE = record("GenerateDataKey", ago=BEFORE)
ELSEWHERE = KEY.replace("1234abcd-", "ffffffff-")
ABROAD = KEY.replace("111122223333", FOREIGN)

TOLD: dict[str, tuple[list[Any], str, Severity, str]] = {
    "many tokens within minutes": ([*normal(), *rows(60)], TOKENS, Severity.HIGH, "60 different tokens"),
    "three times as many tokens as ever": (
        *([*rows(60, ago=BEFORE), *rows(190)], TOKENS),
        *(Severity.HIGH, "before at most 60"),
    ),
    "far more decrypts than ever within an hour": (
        *([*normal(), *(record(ago=3_500 - n) for n in range(250))], DECRYPTS),
        *(Severity.HIGH, "before at most 1 in an hour"),
    ),
    "many failed calls within minutes": (
        *([denied(**at(300 + n)) for n in range(12)], FAILURES),
        *(Severity.HIGH, "12 failed calls within 10 minutes"),
    ),
    # Stretches begin at multiples of ten minutes, and of five: this one lies on both sides of the former.
    "a burst across the border of two stretches": (
        *([denied(**at(3_600 + 30 - 5 * n)) for n in range(12)], FAILURES),
        *(Severity.HIGH, "12 failed calls"),
    ),
    "who always fails at one operation fails at another": (
        [
            *(denied("GenerateDataKey", who=BROKEN, **at(BEFORE + n)) for n in range(12)),
            *(denied("Decrypt", who=BROKEN, **at(300 + n)) for n in range(12)),
        ],
        *(FAILURES, Severity.HIGH, ", before at most 0: Decrypt AccessDenied"),
    ),
    "an envelope of another row": (
        *(invalid(1, context=context("gh-7")), WRONG),
        *(Severity.MEDIUM, "gh_connection.access_token:gh-7"),
    ),
    "data keys under another key": (
        *([*normal(), WROTE, record("GenerateDataKey", ago=60, key=ELSEWHERE)], WRITE),
        *(Severity.MEDIUM, f"under {ELSEWHERE}"),
    ),
    "data keys under another account's key": (
        *([WROTE, record("GenerateDataKey", ago=60, key=ABROAD)], WRITE),
        *(Severity.HIGH, f"a key of account {FOREIGN}"),
    ),
}


@pytest.mark.parametrize(("records", "rule", "severity", "words"), TOLD.values(), ids=TOLD)
def test_what_is_told(watch: Watch, records: list[Any], rule: str, severity: Severity, words: str) -> None:
    (found,) = of(watch(records), rule)
    assert found.severity is severity
    assert words in found.evidence
    assert 0 < len(found.events) <= MOST_EVENTS


NORMAL: dict[str, tuple[list[Any], str]] = {
    "one token many times, or many over a day": (
        [
            *normal(),
            *(record(ago=3_000 - n, context=context("gh-1")) for n in range(100)),
            *(record(ago=80_000 - n * 600, context=context(f"gh-{n}")) for n in range(100)),
        ],
        TOKENS,
    ),
    "who always opens many": ([*rows(60, ago=BEFORE), *rows(60)], TOKENS),
    "as many decrypts as before": (
        [
            *normal(),
            *(record(ago=BEFORE + n) for n in range(240)),
            *(record(ago=3_500 - n) for n in range(250)),
        ],
        DECRYPTS,
    ),
    "a service, as much as it likes": (
        [
            *normal(),
            *(record(ago=3_500 - n, who=BY_S3, context=S3_CONTEXT) for n in range(250)),
        ],
        DECRYPTS,
    ),
    "waiting": ([record(ago=300 + n, errorCode="ThrottlingException") for n in range(50)], FAILURES),
    "trying out": ([record(ago=300 + n, errorCode="DryRunOperationException") for n in range(50)], FAILURES),
    "few failures": ([denied(**at(300 + n)) for n in range(5)], FAILURES),
    "who always fails": (
        [denied(who=BROKEN, **at(ago + n)) for ago in (BEFORE, 300) for n in range(12)],
        FAILURES,
    ),
    "a disabled key is no wrong context": ([record(ago=60, errorCode="DisabledException")], WRONG),
    "no context under another key": ([*V2, record(ago=60, key=OTHER_KEY)], MISSING),
    "a context as ever": ([*V2, record(ago=60, context=context("gh-2"))], MISSING),
    "no context while v1 is in use": ([*normal(), record(ago=60)], MISSING),
    "written under the write key": ([WROTE, record("GenerateDataKey", ago=60)], WRITE),
    "by one that writes no tokens": (
        [WROTE, record("GenerateDataKey", ago=60, key=OTHER_KEY, who=role("reports"))],
        WRITE,
    ),
    "decrypted under another key": ([WROTE, record(ago=60, key=OTHER_KEY)], WRITE),
    "not written under another key": (
        [WROTE, record("GenerateDataKey", ago=60, key=OTHER_KEY, errorCode="AccessDenied")],
        WRITE,
    ),
}


@pytest.mark.parametrize(("records", "rule"), NORMAL.values(), ids=NORMAL)
def test_what_is_normal(watch: Watch, records: list[Any], rule: str) -> None:
    assert of(watch(records), rule) == []


def test_a_rewrap_under_a_trusted_key_opens_nothing(watch: Watch) -> None:
    pair = [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn} for arn in (KEY, OTHER_KEY)]
    rewrapped = [one | {"eventName": "ReEncrypt", "resources": pair} for one in rows(250)]
    examined = watch([*normal(), *rewrapped])
    assert of(examined, TOKENS) == of(examined, DECRYPTS) == []
    # Which keys are trusted is known from settings alone.
    examined = watch([], Configured())
    assert len(of(examined, TOKENS)) == len(of(examined, DECRYPTS)) == 1


def test_who_tries_out_what_it_may_do_is_told_after_three_operations(watch: Watch) -> None:
    tried = [denied(name, **at(300)) for name in ("ListKeys", "GetKeyPolicy")]
    assert of(watch(tried), FAILURES) == []
    (found,) = of(watch([denied("ReEncrypt", **at(310))]), FAILURES)
    assert found.severity is Severity.MEDIUM
    assert "3 different operations denied" in found.evidence
    assert "GetKeyPolicy AccessDenied" in found.evidence


def test_who_is_denied_one_operation_an_hour_is_told_after_five(watch: Watch) -> None:
    names = ("ListKeys", "GetKeyPolicy", "Decrypt", "CreateGrant", "ReEncrypt")
    tried = [denied(name, **at(HOUR * n + 60)) for n, name in enumerate(names)]
    assert of(watch(tried[:4]), SLOWLY) == []
    (found,) = of(watch(tried), SLOWLY)
    assert found.severity is Severity.MEDIUM
    assert "5 different operations denied within a day" in found.evidence
    assert of(watch([]), FAILURES) == []
    # It lacked one of these permissions a week ago as well.
    assert of(watch([denied("Decrypt", **at(7 * DAY))]), SLOWLY) == []


def test_who_is_denied_much_at_once_is_told_once(watch: Watch) -> None:
    names = ("ListKeys", "GetKeyPolicy", "Decrypt", "CreateGrant", "ReEncrypt")
    examined = watch([denied(name, **at(300)) for name in names])
    assert (len(of(examined, FAILURES)), of(examined, SLOWLY)) == (1, [])


def test_many_of_them_are_worse_and_keydecks_own_search_is_low(watch: Watch) -> None:
    (found,) = of(watch(invalid(10)), WRONG)
    assert found.severity is Severity.HIGH
    ours = role("oncall", "ana")
    searched = invalid(MOST_EVENTS + 1, who=ours, userAgent="Boto3/1.4 app/keydeck")
    # Anybody can send its user agent: its calls are those of an identity that it was used as.
    assert of(watch(searched), WRONG)[0].severity is Severity.HIGH
    caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana"
    (found,) = of(watch([], caller=caller), WRONG)[1:]
    assert (found.subject[-6:], found.severity) == ("oncall", Severity.LOW)
    later = [record(ago=1, who=ours, userAgent="aws-cli/2.27", errorCode="InvalidCiphertextException")]
    assert {found.severity for found in of(watch(later, caller=caller), WRONG)} == {Severity.HIGH}


def test_without_context_where_all_tokens_are_v2_is_told(watch: Watch) -> None:
    (found,) = of(watch([*normal(context=context("gh-1")), record(ago=60)]), MISSING)
    assert found.severity is Severity.MEDIUM
    assert "28 of 28 Decrypts under this key named a token" in found.evidence
    (found, _) = of(watch([record(ago=50, who=role("stranger"))]), MISSING)
    assert (found.severity, found.subject[-8:]) == (Severity.HIGH, "stranger")


def test_many_decrypts_are_shown_by_the_minutes_in_which_they_were_made(watch: Watch) -> None:
    begin = NOW.replace(minute=0, second=0) - timedelta(hours=2)
    usual = [record(eventTime=f"{begin + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}") for n in range(60)]
    peak = begin + timedelta(minutes=43)
    stolen = [
        record(eventID=f"stolen-{n}", eventTime=f"{peak + timedelta(seconds=n):%Y-%m-%dT%H:%M:%SZ}")
        for n in range(250)
    ]
    (found,) = of(watch([*normal(), *usual, *stolen]), DECRYPTS)
    assert sum(one.startswith("stolen") for one in found.events) > len(found.events) // 2
    assert "310 calls" in found.evidence
