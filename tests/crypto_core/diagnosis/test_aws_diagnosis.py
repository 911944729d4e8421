"""What a diagnosis says of AWS and of each configured key, when all is well and when it isn't."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from console.sandbox.endpoint.control import Denial, EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.diagnosis import Check, CheckOutcome
from crypto_core.diagnosis.aws import Apis, AwsPlace, look_at_aws
from crypto_core.diagnosis.key_permissions import keys_of, look_at_key
from tests.crypto_core.canary import CANARY, assert_tells_nothing

REGION = "eu-west-1"
INSPECTING = {
    "kms:DescribeKey",
    "kms:GetKeyRotationStatus",
    "kms:ListKeyRotations",
    "kms:GetKeyLastUsage",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:ListResourceTags",
}
WRITING = {"kms:GenerateDataKey", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"}


@pytest.fixture
def place(aws: EndpointControl, world: World) -> AwsPlace:
    return AwsPlace((REGION,), None, world.current_key.arn, (world.old_key.arn,))


def asked(place: AwsPlace, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> dict[str, Check]:
    return {check.name: check for check in look_at_aws(place, Apis(place), Event(), clock)}


def of_keys(place: AwsPlace) -> dict[str, dict[str, Check]]:
    apis = Apis(place)
    return {
        key.area: {check.name: check for check in look_at_key(key, place, apis, Event())}
        for key in keys_of(place)
    }


def write_key(place: AwsPlace) -> dict[str, Check]:
    return next(checks for area, checks in of_keys(place).items() if area.startswith("write key"))


def outcomes(checks: dict[str, Check]) -> dict[str, CheckOutcome]:
    return {name: c.outcome for name, c in checks.items() if c.outcome is not CheckOutcome.OK}


def test_where_all_is_well_every_check_is_ok(place: AwsPlace, world: World, sandbox: Sandbox) -> None:
    checks = asked(place)
    assert outcomes(checks) == {}
    assert checks["identity"].said.startswith("arn:aws:sts::123456789012:assumed-role/keydeck-oncall/")
    assert sandbox.endpoint_url in checks["endpoint"].said
    assert "AWS_ENDPOINT_URL" in checks["endpoint"].said
    keys = of_keys(place)
    assert [outcomes(c) for c in keys.values()] == [{}, {}]
    written, trusted = keys.values()
    assert set(written) == INSPECTING | WRITING
    assert set(trusted) == INSPECTING | {"kms:Decrypt", "kms:ReEncryptFrom"}
    assert world.current_key.arn in written["kms:DescribeKey"].said


@pytest.mark.parametrize("action", sorted(INSPECTING | WRITING))
def test_a_denied_action_is_named_with_what_allows_it(
    place: AwsPlace, aws: EndpointControl, action: str
) -> None:
    aws.add_denial(Denial("*", action))
    checks = write_key(place)
    check = checks[action]
    failing = action in ("kms:Decrypt", "kms:GenerateDataKey")
    assert check.outcome is (CheckOutcome.FAILED if failing else CheckOutcome.WARNING)
    assert check.said.startswith("Refused.")
    assert f"Allow {action}" in check.remedy
    others = {"kms:ReEncryptTo"} if action == "kms:ReEncryptFrom" else set()
    assert set(outcomes(checks)) == {action} | others


def test_what_writing_needs_is_not_missed_while_read_only(
    place: AwsPlace, aws: EndpointControl, world: World
) -> None:
    for action in WRITING:
        aws.add_denial(Denial("*", action))
    reading = AwsPlace((REGION,), None, world.current_key.arn, (), read_only=True)
    assert outcomes(write_key(reading)) == {
        "kms:GenerateDataKey": CheckOutcome.SKIPPED,
        "kms:Decrypt": CheckOutcome.FAILED,
        "kms:ReEncryptFrom": CheckOutcome.SKIPPED,
        "kms:ReEncryptTo": CheckOutcome.UNKNOWN,
    }


def test_listing_that_is_denied_is_a_warning_by_region(place: AwsPlace, aws: EndpointControl) -> None:
    aws.add_denial(Denial("*", "kms:ListAliases"))
    checks = asked(place)
    assert outcomes(checks) == {f"kms:ListAliases in {REGION}": CheckOutcome.WARNING}
    assert "kms:ListAliases" in checks[f"kms:ListAliases in {REGION}"].said


def test_a_trusted_key_that_is_disabled_is_a_warning_and_a_write_key_a_failure(
    aws: EndpointControl, sandbox: Sandbox, new_key: Callable[[], str]
) -> None:
    dead = new_key()
    sandbox.client("kms").disable_key(KeyId=dead)
    written = write_key(AwsPlace((REGION,), None, dead))
    assert written["kms:DescribeKey"].outcome is CheckOutcome.FAILED
    assert "is Disabled" in written["kms:DescribeKey"].said
    assert written["kms:GenerateDataKey"].outcome is CheckOutcome.FAILED
    (trusted,) = of_keys(AwsPlace((REGION,), None, None, (dead,))).values()
    assert trusted["kms:DescribeKey"].outcome is CheckOutcome.WARNING
    assert trusted["kms:Decrypt"].outcome is CheckOutcome.WARNING
    assert CheckOutcome.FAILED not in outcomes(trusted).values()


def test_a_key_that_is_not_there_is_told_once(aws: EndpointControl) -> None:
    arn = f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000"
    checks = write_key(AwsPlace((REGION,), None, arn))
    assert outcomes(checks) == {"kms:DescribeKey": CheckOutcome.FAILED, "the rest": CheckOutcome.SKIPPED}


def test_an_alias_is_looked_for_in_every_region(aws: EndpointControl) -> None:
    checks = write_key(AwsPlace((REGION, "eu-central-1"), None, "alias/tokens"))
    assert checks[f"kms:Decrypt in {REGION}"].outcome is CheckOutcome.OK
    assert checks[f"kms:GetKeyPolicy in {REGION}"].outcome is CheckOutcome.OK
    assert checks["kms:DescribeKey in eu-central-1"].outcome is CheckOutcome.SKIPPED
    aws.add_denial(Denial("*", "kms:DescribeKey"))
    denied = write_key(AwsPlace((REGION,), None, "alias/tokens"))
    assert denied["kms:GetKeyPolicy"].outcome is CheckOutcome.SKIPPED
    assert denied["kms:Decrypt"].outcome is CheckOutcome.OK


def test_keys_that_look_alike_have_areas_of_their_own() -> None:
    names = [f"arn:aws:kms:{r}:123456789012:key/mrk-{'a1' * 16}" for r in (REGION, "us-east-1", "us-east-2")]
    areas = [key.area for key in keys_of(AwsPlace(trusted_keys=tuple(names)))]
    assert len(set(areas)) == 3
    long = [key.area for key in keys_of(AwsPlace(trusted_keys=("alias/" + "x" * 250, "alias/" + "y" * 250)))]
    assert len({a[:60] for a in long}) == 2


def test_nothing_is_changed_and_every_call_reads_or_rehearses(place: AwsPlace, aws: EndpointControl) -> None:
    before = dict(aws.stats().calls)
    asked(place)
    of_keys(place)
    after = aws.stats().calls
    called = {name for name, count in after.items() if count != before.get(name, 0)}
    assert called <= {
        *INSPECTING,
        *WRITING,
        "kms:ReEncrypt",
        "kms:ListKeys",
        "kms:ListAliases",
        "sts:GetCallerIdentity",
    }
    assert all(api.read_only for api in _apis(place))


def _apis(place: AwsPlace) -> list[object]:
    apis = Apis(place)
    return [apis.of(region) for region in apis.regions]


def test_throttling_leaves_a_permission_not_known(place: AwsPlace, aws: EndpointControl) -> None:
    aws.add_fault(Fault("GetKeyPolicy", "ThrottlingException"))
    checks = write_key(place)
    assert outcomes(checks) == {"kms:GetKeyPolicy": CheckOutcome.UNKNOWN}
    assert "throttles" in checks["kms:GetKeyPolicy"].said


@pytest.mark.deep
def test_an_endpoint_that_does_not_answer_is_asked_once_and_given_up(
    place: AwsPlace, aws: EndpointControl
) -> None:
    aws.add_fault(Fault("*", "hang"))
    started = time.monotonic()
    checks = write_key(AwsPlace((REGION,), None, place.write_key))
    assert time.monotonic() - started < 25
    assert outcomes(checks) == {"kms:DescribeKey": CheckOutcome.FAILED, "the rest": CheckOutcome.SKIPPED}


def test_no_route_to_aws_is_told_with_what_to_check(place: AwsPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    checks = asked(place)
    assert checks["identity"].outcome is CheckOutcome.UNKNOWN
    assert checks[f"kms:ListKeys in {REGION}"].outcome is CheckOutcome.FAILED
    assert "AWS_ENDPOINT_URL" in checks[f"kms:ListKeys in {REGION}"].remedy
    assert checks["clock"].outcome is CheckOutcome.UNKNOWN


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_CLOUDTRAIL"])
def test_an_endpoint_elsewhere_without_tls_is_a_warning(
    place: AwsPlace, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://user:secret-word@192.0.2.1:9/")
    monkeypatch.setattr(
        "crypto_core.diagnosis.aws._identity", lambda _: Check("AWS", "identity", CheckOutcome.OK, "")
    )
    monkeypatch.setattr("crypto_core.diagnosis.aws.LISTED", ())
    check = asked(place)["endpoint"]
    assert check.outcome is CheckOutcome.WARNING
    assert "secret-word" not in check.said


def test_without_credentials_nothing_is_asked(place: AwsPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    checks = asked(place)
    assert outcomes(checks) == {"credentials": CheckOutcome.FAILED, "the rest": CheckOutcome.SKIPPED}
    assert "AWS_PROFILE" in checks["credentials"].remedy
    assert outcomes(write_key(place)) == {
        "kms:DescribeKey": CheckOutcome.FAILED,
        "the rest": CheckOutcome.SKIPPED,
    }


def test_a_profile_that_is_signed_out_names_the_command(
    aws: EndpointControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile ops]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = oncall\n"
        "[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-west-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setattr("botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR", str(tmp_path))
    checks = asked(AwsPlace((REGION,), "ops"))
    assert outcomes(checks) == {"credentials": CheckOutcome.FAILED, "the rest": CheckOutcome.SKIPPED}
    assert checks["credentials"].remedy == "Sign in again: aws sso login --profile ops"


def test_without_a_region_the_configuration_fails(
    place: AwsPlace, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    nowhere = AwsPlace(write_key=world.current_key.arn)
    assert outcomes(asked(nowhere)) == {
        "configuration": CheckOutcome.FAILED,
        "the rest": CheckOutcome.SKIPPED,
    }
    assert outcomes(write_key(nowhere)) == {"key": CheckOutcome.SKIPPED}


def test_a_profile_that_is_not_there_fails(place: AwsPlace) -> None:
    checks = asked(AwsPlace((REGION,), "no[/red]\x1bsuch"))
    assert outcomes(checks) == {"configuration": CheckOutcome.FAILED, "the rest": CheckOutcome.SKIPPED}
    assert "no[/red]such" in checks["configuration"].said
    assert all(c.said.isprintable() for c in checks.values())


@pytest.mark.parametrize(
    ("lasts", "outcome", "said"),
    [
        (timedelta(hours=5), CheckOutcome.OK, "valid until"),
        (timedelta(minutes=10), CheckOutcome.WARNING, "min more"),
    ],
)
def test_credentials_that_run_out_are_told_with_their_end(
    place: AwsPlace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lasts: timedelta,
    outcome: CheckOutcome,
    said: str,
) -> None:
    expires = (datetime.now(UTC) + lasts).isoformat()
    program = tmp_path / "credentials.py"
    program.write_text(
        "import json; print(json.dumps(dict(Version=1, AccessKeyId='ASIAKEYDECKONCALL001',"
        f" SecretAccessKey='secret-word', SessionToken='session-word', Expiration='{expires}')))"
    )
    config = tmp_path / "config"
    config.write_text(f"[profile temporary]\ncredential_process = {sys.executable} {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    checks = asked(AwsPlace((REGION,), "temporary"))
    assert checks["credentials"].outcome is outcome
    assert said in checks["credentials"].said
    assert "credential process" in checks["credentials"].said
    if outcome is CheckOutcome.WARNING:
        assert "the credential_process of profile temporary" in checks["credentials"].remedy
    assert "secret-word" not in str(checks)
    assert "session-word" not in str(checks)


@pytest.mark.parametrize(("ahead", "outcome"), [(120, CheckOutcome.WARNING), (-900, CheckOutcome.FAILED)])
def test_a_clock_that_differs_from_aws_is_told(place: AwsPlace, ahead: int, outcome: CheckOutcome) -> None:
    check = asked(place, lambda: datetime.now(UTC) + timedelta(seconds=ahead))["clock"]
    assert check.outcome is outcome
    assert "5 min" in check.said


def test_the_clock_is_compared_by_a_refusal_too(place: AwsPlace, aws: EndpointControl) -> None:
    aws.add_denial(Denial("*", "kms:List*"))
    assert (
        asked(place, lambda: datetime.now(UTC) + timedelta(hours=1))["clock"].outcome is CheckOutcome.FAILED
    )


def test_a_signature_refused_for_its_time_is_told_as_the_clock(place: AwsPlace, aws: EndpointControl) -> None:
    message = "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z"
    aws.add_fault(Fault("List*", "InvalidSignatureException", message=message))
    checks = asked(place)
    assert checks["clock"].outcome is CheckOutcome.FAILED
    assert "NTP" in checks[f"kms:ListKeys in {REGION}"].remedy


def test_hostile_text_and_secrets_in_an_answer_reach_no_output(place: AwsPlace, aws: EndpointControl) -> None:
    hostile = f"[/red]\x1b]52;c;aGk=\x07\u202e\n{CANARY} postgresql://u:secret-word@h/d"
    for operation in ("List*", "DescribeKey", "Get*", "GenerateDataKey", "Decrypt", "ReEncrypt"):
        aws.add_fault(Fault(operation, "ValidationException", message=hostile))
    checks = [*asked(place).values(), *write_key(place).values()]
    assert [c for c in checks if "[/red]" in c.said]
    assert all(c.said.isprintable() and c.remedy.isprintable() for c in checks)
    assert_tells_nothing("".join(c.said + c.remedy for c in checks).replace(str(0), ""))
    assert "secret-word" not in str(checks)


def test_an_error_that_is_not_ours_is_a_result(place: AwsPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(Path(__file__).parent))
    checks = asked(AwsPlace((REGION,), "x"))
    assert next(iter(checks.values())).outcome is CheckOutcome.FAILED
