"""Who opens something: new principals, networks, software; people; root and the console; retired keys."""

from __future__ import annotations

import pytest

from crypto_core.findings.finding import Severity
from crypto_core.trail.rules.novelty import family, network
from crypto_core.trail.rules.watched_keys import Configured
from tests.crypto_core.trail.records import ACCOUNT, KEY, OTHER_KEY, S3_CONTEXT, denied, record, role, user
from tests.crypto_core.trail.rules.watching import CONFIGURED, FOREIGN, HOUR, Watch, normal, of

NEW, NETWORK = "event-decrypt-new-principal", "event-decrypt-new-network"
AGENT, HUMAN = "event-decrypt-new-agent", "event-decrypt-human"
ENDPOINT, REGIONS = "event-decrypt-new-endpoint", "event-decrypt-new-region"
STRANGER = role("stranger")
MRK = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab"


def test_a_principal_that_never_opened_anything_is_told_with_its_events(watch: Watch) -> None:
    mine = [record(ago=60 + n, who=STRANGER) for n in range(3)]
    (found,) = of(watch([*normal(), *mine]), NEW)
    assert found.severity is Severity.HIGH
    assert found.subject == f"arn:aws:iam::{ACCOUNT}:role/stranger"
    assert set(found.events) == {one["eventID"] for one in mine}
    assert "3 times from 10.20.1.17 under alias/tokens" in found.evidence
    assert "no call of it before" in found.evidence
    assert found.techniques == ("T1078.004", "T1528", "T1555.006")
    assert found.first_at is not None
    assert found.last_at is not None
    assert (found.last_at - found.first_at).total_seconds() == 2


def test_a_principal_that_made_other_calls_before_is_less(watch: Watch) -> None:
    before = record("DescribeKey", ago=30 * HOUR, who=STRANGER)
    (found,) = of(watch([*normal(), before, record(ago=60, who=STRANGER)]), NEW)
    assert found.severity is Severity.MEDIUM
    assert "it made other calls before" in found.evidence


def test_a_denied_call_before_makes_nobody_known(watch: Watch) -> None:
    before = denied("DescribeKey", who=STRANGER, eventTime="2026-11-23T12:00:00Z")
    (found,) = of(watch([*normal(), before, record(ago=60, who=STRANGER)]), NEW)
    assert found.severity is Severity.HIGH


@pytest.mark.parametrize(
    "mine",
    [
        record(ago=60),
        record("DescribeKey", ago=60, who=STRANGER),
        denied(who=STRANGER),
        record(ago=60, who=STRANGER, key=KEY.replace("1234abcd-", "ffffffff-")),
        record(
            ago=60,
            who=role("stranger", invokedBy="s3.amazonaws.com"),
            sourceIPAddress="s3.amazonaws.com",
            context=S3_CONTEXT,
        ),
        record(ago=3 * 24 * HOUR, who=STRANGER),
    ],
    ids=["known", "opens nothing", "denied", "another key", "a service in its name", "before the window"],
)
def test_who_is_no_new_principal(watch: Watch, mine: dict[str, object]) -> None:
    assert of(watch([*normal(), mine]), NEW) == []


def test_without_a_baseline_nobody_is_new_and_a_gap_says_so(watch: Watch) -> None:
    examined = watch([record(ago=60, who=STRANGER)])
    assert of(examined, NEW) == of(examined, NETWORK) == []
    assert any("no baseline yet: events on 0 days before" in gap.reason for gap in examined.gaps)
    assert all(gap.hides is Severity.LOW for gap in examined.gaps)


def test_one_old_event_is_no_baseline(watch: Watch) -> None:
    examined = watch([record(ago=200 * 24 * HOUR), record(ago=60, who=STRANGER)])
    assert any("events on 1 day before" in gap.reason for gap in examined.gaps)


@pytest.mark.parametrize(
    ("address", "severity"), [("10.99.1.17", Severity.LOW), ("198.51.100.7", Severity.MEDIUM)]
)
def test_a_known_principal_from_a_new_network(watch: Watch, address: str, severity: Severity) -> None:
    (found,) = of(watch([*normal(), record(ago=60, sourceIPAddress=address)]), NETWORK)
    assert address in found.evidence
    assert "before from 10.20.1.0/24" in found.evidence
    assert found.severity is severity


def test_another_address_of_a_known_network_is_no_news(watch: Watch) -> None:
    assert of(watch([*normal(), record(ago=60, sourceIPAddress="10.20.1.200")]), NETWORK) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.20.1.17", "10.20.1.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:10.20.1.17", "10.20.1.0/24"),
        ("Worker.Example.com", "worker.example.com"),
        ("", ""),
    ],
)
def test_networks(address: str, expected: str) -> None:
    assert network(address) == expected


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Boto3/1.40.21 md/Botocore#1.40.21 lang/python#3.12 app/platform-api", "boto3 app/platform-api"),
        ("Boto3/1.41.0 lang/python#3.13 app/platform-api", "boto3 app/platform-api"),
        ("aws-cli/1.22.34 Python/3.10.12", "aws-cli"),
        ("aws-cli/2.27.41 md/awscrt#0.26.1", "aws-cli"),
        ("[aws-sdk-java/2.20 Linux]", "aws-sdk-java"),
        ("s3.amazonaws.com", "s3.amazonaws.com"),
    ],
)
def test_families_of_software(agent: str, expected: str) -> None:
    assert family(agent) == expected


def test_other_software_is_told_and_another_version_is_not(watch: Watch) -> None:
    newer = record(ago=90, userAgent="Boto3/2.0.0 lang/python#3.14 app/platform-api")
    assert of(watch([*normal(), newer]), AGENT) == []
    (found,) = of(watch([record(ago=60, userAgent="aws-cli/1.22.34 Python/3.10")]), AGENT)
    assert "with aws-cli" in found.evidence
    assert "before with boto3 app/platform-api" in found.evidence


def test_people_who_open_something_are_told(watch: Watch) -> None:
    (found,) = of(watch([*normal(), record(ago=60, who=user("ana"), userAgent="aws-cli/2.1")]), HUMAN)
    assert (found.severity, found.subject) == (Severity.MEDIUM, f"arn:aws:iam::{ACCOUNT}:user/ana")


def test_people_who_always_do_and_programs_with_a_users_key_are_low(watch: Watch) -> None:
    usual = normal(who=user("ana"), userAgent="aws-cli/2.1")
    program = record(ago=60, who=user("batch"))
    mine = [record(ago=60, who=user("ana"), userAgent="aws-cli/2.1"), program]
    found = of(watch([*usual, *mine]), HUMAN)
    assert [f.severity for f in found] == [Severity.LOW, Severity.LOW]
    assert of(watch([record(ago=50)]), HUMAN) == found


RETIRED = "event-retired-key"


@pytest.mark.parametrize("name", [OTHER_KEY, OTHER_KEY.rsplit("/", 1)[-1]])
def test_any_use_of_a_retired_key_is_told(watch: Watch, name: str) -> None:
    retired = Configured(KEY, (), (name,))
    (found,) = of(watch([record(ago=60, key=OTHER_KEY)], retired), RETIRED)
    assert (found.severity, found.subject) == (Severity.CRITICAL, OTHER_KEY)


def test_a_retired_key_is_found_under_its_alias_and_as_a_replica(watch: Watch) -> None:
    (found,) = of(watch([record(ago=60)], Configured(OTHER_KEY, (), ("alias/tokens",))), RETIRED)
    assert found.subject == KEY
    replica = MRK.replace("eu-west-1", "us-east-1")
    (found,) = of(watch([record(ago=60, key=replica)], Configured(KEY, (), (MRK,))), RETIRED)
    assert found.subject == replica


def test_services_count_as_use_of_a_retired_key_and_looking_at_it_does_not(watch: Watch) -> None:
    retired = Configured(KEY, (), (OTHER_KEY,))
    looked = record("DescribeKey", ago=60, key=OTHER_KEY)
    assert of(watch([looked, record(ago=60)], retired), RETIRED) == []
    service = record(ago=50, key=OTHER_KEY, who=role(invokedBy="s3.amazonaws.com"))
    assert len(of(watch([service], retired), RETIRED)) == 1


def test_an_attempt_with_a_retired_key_is_less(watch: Watch) -> None:
    retired = Configured(KEY, (), (OTHER_KEY,))
    (found,) = of(watch([denied(key=OTHER_KEY)], retired), RETIRED)
    assert found.severity is Severity.MEDIUM
    assert "tried to use" in found.title
    assert "AccessDenied" in found.evidence


ROOT = {"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT}


def test_root_is_told_and_looking_around_as_root_is_low(watch: Watch) -> None:
    (found,) = of(watch([record("ListKeys", ago=60, who=ROOT, key=None)]), "event-root-use")
    assert found.severity is Severity.LOW
    (found,) = of(watch([record("ScheduleKeyDeletion", ago=60, who=ROOT)]), "event-root-use")
    assert found.severity is Severity.HIGH
    assert f"account {ACCOUNT}" in found.title
    assert of(watch([record(ago=50)], since=None), "event-root-use") == [found]


def test_a_console_session_that_opens_something_is_told(watch: Watch) -> None:
    by_console = {"sessionCredentialFromConsole": "true"}
    examined = watch([*normal(), record("DescribeKey", ago=60, **by_console), record(ago=60)])
    assert of(examined, "event-console-use") == []
    (found,) = of(watch([record(ago=60, **by_console)]), "event-console-use")
    assert found.severity is Severity.MEDIUM


def test_the_console_through_a_service_is_left_out(watch: Watch) -> None:
    who = role(invokedBy="s3.amazonaws.com")
    by_s3 = record(ago=60, who=who, sessionCredentialFromConsole="true", context=S3_CONTEXT)
    assert of(watch([by_s3]), "event-console-use") == []


def test_without_configured_keys_every_key_counts(watch: Watch) -> None:
    other = KEY.replace("1234abcd-", "ffffffff-")
    records = [*normal(key=other), record(ago=60, who=STRANGER, key=other)]
    assert of(watch(records, CONFIGURED), NEW) == []
    assert len(of(watch([], Configured()), NEW)) == 1


@pytest.mark.parametrize("service", ["states.amazonaws.com", "ssm.amazonaws.com", "apigateway.amazonaws.com"])
def test_who_has_a_service_open_tokens_is_found_all_the_same(watch: Watch, service: str) -> None:
    who = user("eve", invokedBy=service)
    stolen = [record(ago=60 + n, who=who, sourceIPAddress=service) for n in range(3)]
    (found,) = of(watch([*normal(), *stolen]), NEW)
    assert found.severity is Severity.HIGH
    assert len(found.events) == 3


def test_what_has_no_date_makes_nobody_known(watch: Watch) -> None:
    forged = [{**record(who=STRANGER), "eventTime": when} for when in (None, "never", "0001-01-01T00:00:00Z")]
    (found,) = of(watch([*normal(), *forged, record(ago=60, who=STRANGER)]), NEW)
    assert found.severity is Severity.HIGH


def via(endpoint: str, owner: str | None = ACCOUNT) -> dict[str, str]:
    """Through a VPC endpoint; its owner isn't in every record."""
    return {"vpcEndpointId": endpoint, **({"vpcEndpointAccountId": owner} if owner else {})}


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("owner", "severity"),
    [(FOREIGN, Severity.HIGH), (ACCOUNT, Severity.LOW), (None, Severity.MEDIUM), ("\x1b[31m", Severity.HIGH)],
)
def test_a_known_principal_through_a_new_vpc_endpoint(
    watch: Watch, owner: str | None, severity: Severity
) -> None:
    mine = [record(ago=60 + n, **via("vpce-0b", owner)) for n in range(2)]
    (found,) = of(watch([*normal(**via("vpce-0a")), *mine]), ENDPOINT)
    assert (found.severity, found.subject) == (severity, f"arn:aws:iam::{ACCOUNT}:role/platform")
    assert "2 times through vpce-0b, which" in found.evidence
    assert (FOREIGN in found.evidence) == (owner == FOREIGN)
    assert "\x1b" not in found.evidence


def test_a_usual_endpoint_and_none_are_no_news(watch: Watch) -> None:
    usual = [*normal(**via("vpce-0a")), *normal()]
    new = record(ago=59, who=STRANGER, **via("vpce-0b"))
    assert of(watch([*usual, record(ago=60, **via("vpce-0a")), record(ago=61), new]), ENDPOINT) == []


def test_a_known_principal_in_a_new_region(watch: Watch) -> None:
    replica = MRK.replace("eu-west-1", "ap-southeast-2")
    there = record(ago=60, key=replica, awsRegion="ap-southeast-2")
    (found,) = of(watch([*normal(key=MRK), there], Configured(MRK)), REGIONS)
    assert found.severity is Severity.MEDIUM
    assert "once in ap-southeast-2; before in eu-west-1" in found.evidence.lower()
    assert of(watch([record(ago=50, key=MRK)], Configured(MRK)), REGIONS) == [found]
