"""What a diagnosis says of the keys that sign: whether they can, and whether they may."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from console.sandbox.endpoint.control import Denial, EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.diagnosis import Check, CheckOutcome
from crypto_core.diagnosis.aws import Apis, AwsPlace
from crypto_core.diagnosis.key_permissions import look_at_signing_key, signing_keys_of

REGION = "eu-west-1"


def asked(*names: str) -> list[list[Check]]:
    apis = Apis(AwsPlace((REGION,), None, None, ()))
    return [list(look_at_signing_key(key, apis, Event())) for key in signing_keys_of(names)]


def told(checks: list[Check]) -> dict[str, CheckOutcome]:
    return {check.name: check.outcome for check in checks}


@pytest.fixture
def signing(aws: EndpointControl, client: Any) -> str:
    return str(client.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"])


@pytest.fixture
def hmac(aws: EndpointControl, client: Any) -> str:
    return str(client.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"])


def test_the_first_key_signs_and_verifies_the_others_only_verify(
    sandbox: Sandbox, signing: str, hmac: str
) -> None:
    before = sandbox.control.stats().calls
    first, second = asked(signing, hmac)
    assert told(first) == dict.fromkeys(("kms:DescribeKey", "kms:Sign", "kms:Verify"), CheckOutcome.OK)
    assert told(second) == dict.fromkeys(("kms:DescribeKey", "kms:VerifyMac"), CheckOutcome.OK)
    assert signing in first[0].said
    assert first[0].area.startswith("signing key ")
    assert second[0].area.endswith("(2)")
    after = sandbox.control.stats().calls
    assert after["kms:Sign"] == before.get("kms:Sign", 0) + 1


def test_an_hmac_key_is_asked_what_it_can_do(hmac: str) -> None:
    (checks,) = asked(hmac)
    assert told(checks) == dict.fromkeys(
        ("kms:DescribeKey", "kms:GenerateMac", "kms:VerifyMac"), CheckOutcome.OK
    )


@pytest.mark.parametrize(("action", "name"), [("kms:Sign", "kms:Sign"), ("kms:Verify", "kms:Verify")])
def test_a_missing_permission_is_a_failure_with_its_action(
    aws: EndpointControl, signing: str, action: str, name: str
) -> None:
    aws.add_denial(Denial("*", action))
    (checks,) = asked(signing)
    (refused,) = [check for check in checks if check.outcome is not CheckOutcome.OK]
    assert (refused.name, refused.outcome) == (name, CheckOutcome.FAILED)
    assert action in refused.said
    assert refused.remedy


def test_a_former_key_that_may_not_be_described_is_a_warning(
    aws: EndpointControl, signing: str, hmac: str
) -> None:
    aws.add_denial(Denial("*", "kms:DescribeKey", hmac))
    first, second = asked(signing, hmac)
    assert set(told(first).values()) == {CheckOutcome.OK}
    assert told(second) == {"kms:DescribeKey": CheckOutcome.WARNING}


def test_a_key_that_can_not_sign_is_a_failure_that_names_the_setting(
    aws: EndpointControl, world: World
) -> None:
    ((check,),) = asked(world.current_key.arn)
    assert check.outcome is CheckOutcome.FAILED
    assert "can't sign" in check.said
    assert "KEYDECK_SIGNING_KEY" in check.remedy


def test_a_disabled_key_is_a_failure(client: Any, signing: str) -> None:
    client.disable_key(KeyId=signing)
    (checks,) = asked(signing)
    assert told(checks)["kms:Sign"] is CheckOutcome.FAILED


def test_a_key_that_is_not_there_is_a_failure(aws: EndpointControl) -> None:
    ((check,),) = asked("alias/nobody-knows")
    assert check.outcome is CheckOutcome.FAILED
    assert "alias/nobody-knows" in check.said


def test_where_kms_does_not_answer_nothing_is_known(aws: EndpointControl, signing: str) -> None:
    aws.add_fault(Fault("Sign", "KMSInternalException"))
    (checks,) = asked(signing)
    assert told(checks)["kms:Sign"] is CheckOutcome.UNKNOWN
    assert told(checks)["kms:Verify"] is CheckOutcome.OK


def test_the_same_key_twice_is_looked_at_once() -> None:
    assert len(signing_keys_of(["alias/a", "alias/b", "alias/a"])) == 2
