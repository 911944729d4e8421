"""Many at once, wrong contexts, wrong keys."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crypto_core.findings.severity import Severity
from crypto_core.trail.rules.configured import Configured
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
WRONG, MISSING = "event-context-wrong", "event-context-missing"


def rows(number: int, ago: float = 3_000, **more: object) -> list[dict[str, object]]:
    """So many different tokens, one a second."""
    return [record(ago=ago - n, context=context(f"gh-{n}"), **more) for n in range(number)]


def test_many_tokens_within_minutes_are_told(watch: Watch) -> None:
    (found,) = of(watch([*normal(), *rows(60)]), TOKENS)
    assert found.severity is Severity.HIGH
    assert "60 different tokens" in found.evidence
    assert len(found.events) == 20


def test_one_token_many_times_or_many_over_a_day_are_not(watch: Watch) -> None:
    same = [record(ago=3_000 - n, context=context("gh-1")) for n in range(100)]
    slow = [record(ago=80_000 - n * 600, context=context(f"gh-{n}")) for n in range(100)]
    assert of(watch([*normal(), *same, *slow]), TOKENS) == []


def test_who_always_opens_many_is_normal(watch: Watch) -> None:
    assert of(watch([*rows(60, ago=2 * DAY), *rows(60)]), TOKENS) == []


def test_three_times_as_many_as_ever_are_not_normal(watch: Watch) -> None:
    (found,) = of(watch([*rows(60, ago=2 * DAY), *rows(190)]), TOKENS)
    assert "before at most 60" in found.evidence


def test_far_more_decrypts_than_ever_within_an_hour_are_told(watch: Watch) -> None:
    (found,) = of(watch([*normal(), *(record(ago=3_500 - n) for n in range(250))]), DECRYPTS)
    assert "250 calls from" in found.evidence
    assert "before at most 1 in an hour" in found.evidence


def test_as_many_decrypts_as_before_are_normal(watch: Watch) -> None:
    busy = [record(ago=2 * DAY + n) for n in range(240)]
    now = [record(ago=3_500 - n) for n in range(250)]
    assert of(watch([*normal(), *busy, *now]), DECRYPTS) == []


def test_services_may_decrypt_as_much_as_they_like(watch: Watch) -> None:
    who = role("reader", invokedBy="s3.amazonaws.com")
    assert (
        of(
            watch([*normal(), *(record(ago=3_500 - n, who=who, context=S3_CONTEXT) for n in range(250))]),
            DECRYPTS,
        )
        == []
    )


def test_a_rewrap_under_a_trusted_key_opens_nothing(watch: Watch) -> None:
    pair = [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn} for arn in (KEY, OTHER_KEY)]
    rewrapped = [one | {"eventName": "ReEncrypt", "resources": pair} for one in rows(250)]
    examined = watch([*normal(), *rewrapped])
    assert of(examined, TOKENS) == of(examined, DECRYPTS) == []
    # Which keys are trusted is known from settings alone.
    examined = watch([], Configured())
    assert len(of(examined, TOKENS)) == len(of(examined, DECRYPTS)) == 1


def at(ago: float) -> dict[str, str]:
    """The time of a record."""
    return {"eventTime": record(ago=ago)["eventTime"]}


def test_many_failed_calls_within_minutes_are_told(watch: Watch) -> None:
    (found,) = of(watch([denied(**at(300 + n)) for n in range(12)]), FAILURES)
    assert found.severity is Severity.HIGH
    assert "12 failed calls within 10 minutes" in found.evidence


def test_a_burst_across_the_border_of_two_stretches_is_whole(watch: Watch) -> None:
    # Stretches begin at multiples of ten minutes, and of five: this one lies on both sides of the former.
    (found,) = of(watch([denied(**at(3_600 + 30 - 5 * n)) for n in range(12)]), FAILURES)
    assert "12 failed calls" in found.evidence


@pytest.mark.parametrize("error", ["ThrottlingException", "DryRunOperationException"])
def test_waiting_and_trying_out_is_no_failure(watch: Watch, error: str) -> None:
    assert of(watch([record(ago=300 + n, errorCode=error) for n in range(50)]), FAILURES) == []


def test_few_failures_are_not_told_and_neither_is_who_always_fails(watch: Watch) -> None:
    assert of(watch([denied(**at(300 + n)) for n in range(5)]), FAILURES) == []
    before = [denied(who=user("broken"), **at(2 * DAY + n)) for n in range(12)]
    now = [denied(who=user("broken"), **at(300 + n)) for n in range(12)]
    assert of(watch([*before, *now]), FAILURES) == []


def test_who_always_fails_at_one_operation_is_told_when_it_fails_at_another(watch: Watch) -> None:
    before = [denied("GenerateDataKey", who=user("broken"), **at(2 * DAY + n)) for n in range(12)]
    now = [denied("Decrypt", who=user("broken"), **at(300 + n)) for n in range(12)]
    (found,) = of(watch([*before, *now]), FAILURES)
    assert found.severity is Severity.HIGH
    assert "12 failed calls of Decrypt within 10 minutes" in found.evidence
    assert "before at most 0" in found.evidence


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


def invalid(number: int, **more: object) -> list[dict[str, object]]:
    """Envelopes that KMS could not open."""
    return [record(ago=300 + n, errorCode="InvalidCiphertextException", **more) for n in range(number)]


def test_an_envelope_of_another_row_is_told_with_the_row(watch: Watch) -> None:
    (found,) = of(watch(invalid(1, context=context("gh-7"))), WRONG)
    assert found.severity is Severity.MEDIUM
    assert "gh_connection.access_token:gh-7" in found.evidence


def test_many_of_them_are_worse_and_keydecks_own_search_is_low(watch: Watch) -> None:
    (found,) = of(watch(invalid(10)), WRONG)
    assert found.severity is Severity.HIGH
    (found,) = of(watch(invalid(3, who=role("oncall"), userAgent="Boto3/1.4 app/keydeck")), WRONG)[1:]
    assert found.severity is Severity.LOW


def test_a_key_that_is_disabled_is_no_wrong_context(watch: Watch) -> None:
    assert of(watch([record(ago=60, errorCode="DisabledException")]), WRONG) == []


def test_without_context_where_all_tokens_are_v2_is_told(watch: Watch) -> None:
    (found,) = of(watch([*normal(context=context("gh-1")), record(ago=60)]), MISSING)
    assert found.severity is Severity.MEDIUM
    assert "28 of 28 Decrypts under this key named a token" in found.evidence
    (found, _) = of(watch([record(ago=50, who=role("stranger"))]), MISSING)
    assert (found.severity, found.subject[-8:]) == (Severity.HIGH, "stranger")


def test_without_context_is_normal_while_v1_is_in_use_or_under_another_key(watch: Watch) -> None:
    v2 = normal(context=context("gh-1"))
    assert of(watch([*v2, record(ago=60, key=OTHER_KEY)]), MISSING) == []
    assert of(watch([*v2, record(ago=60, context=context("gh-2"))]), MISSING) == []
    assert of(watch([*normal(), record(ago=60)]), MISSING) == []


WRITE = "event-wrong-write-key"


def test_data_keys_under_another_key_are_told(watch: Watch) -> None:
    other = KEY.replace("1234abcd-", "ffffffff-")
    records = [
        *normal(),
        record("GenerateDataKey", ago=2 * DAY),
        record("GenerateDataKey", ago=60, key=other),
    ]
    (found,) = of(watch(records), WRITE)
    assert (found.severity, found.subject) == (Severity.MEDIUM, other)


def test_data_keys_under_another_accounts_key_are_worse(watch: Watch) -> None:
    foreign = KEY.replace("111122223333", FOREIGN)
    (found,) = of(
        watch([record("GenerateDataKey", ago=2 * DAY), record("GenerateDataKey", ago=60, key=foreign)]), WRITE
    )
    assert found.severity is Severity.HIGH
    assert f"a key of account {FOREIGN}" in found.evidence


@pytest.mark.parametrize(
    "mine",
    [
        record("GenerateDataKey", ago=60),
        record("GenerateDataKey", ago=60, key=OTHER_KEY, who=role("reports")),
        record(ago=60, key=OTHER_KEY),
        record("GenerateDataKey", ago=60, key=OTHER_KEY, errorCode="AccessDenied"),
    ],
    ids=["the write key", "who writes no tokens", "decrypts", "failed"],
)
def test_what_is_no_wrong_write_key(watch: Watch, mine: dict[str, object]) -> None:
    assert of(watch([record("GenerateDataKey", ago=2 * HOUR), mine]), WRITE) == []


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
