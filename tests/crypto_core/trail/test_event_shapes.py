"""Every shape of KMS's records becomes an event: AWS KMS Developer Guide, "Log entries"."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.trail.event import UNDATED, TrailEvent
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.files.record_shapes import records_of
from crypto_core.values.references import TokenRef
from tests.crypto_core.trail.records import (
    ACCOUNT,
    KEY,
    MATERIAL,
    OTHER_KEY,
    REGION,
    S3_CONTEXT,
    context,
    denied,
    event,
    read,
    record,
    role,
    user,
)

OTHER_MATERIAL = "b" * 64


def test_a_decrypt_tells_key_material_principal_and_session() -> None:
    found = event()
    assert (found.name, found.source, found.region, found.account) == (
        "Decrypt",
        "kms.amazonaws.com",
        REGION,
        ACCOUNT,
    )
    assert found.key_arns == (KEY,)
    assert found.material_ids == (MATERIAL,)
    assert found.principal.arn == f"arn:aws:iam::{ACCOUNT}:role/platform"
    assert found.principal.session == "api-1"
    assert found.principal.name == "role/platform"
    assert found.principal.access_key_id == "ASIAEXAMPLE"
    assert found.principal.mfa is False
    assert not found.failed
    assert found.token_ref is None


def test_the_encryption_context_of_v2_names_the_token() -> None:
    found = event(context=context("gh-42") | {"other": "x"})
    assert found.token_ref == TokenRef("gh_connection", "access_token", "gh-42")
    assert found.encryption_context["other"] == "x"


@pytest.mark.parametrize("missing", ["keydeck:table", "keydeck:column", "keydeck:id"])
def test_half_a_context_names_no_token(missing: str) -> None:
    pairs = context("gh-42")
    del pairs[missing]
    assert event(context=pairs).token_ref is None


def test_a_denied_call_names_its_key_in_the_message_alone() -> None:
    found = read(denied(key=OTHER_KEY))
    assert found.key_arns == (OTHER_KEY,)
    assert found.denied
    assert found.failed
    assert found.material_ids == ()


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
def test_both_spellings_of_a_denial_count(code: str) -> None:
    assert event(errorCode=code).denied


@pytest.mark.parametrize("code", ["DisabledException", "KMSInvalidStateException", "ThrottlingException"])
def test_other_failures_are_no_denials(code: str) -> None:
    found = event(errorCode=code)
    assert found.failed
    assert not found.denied


def test_generate_data_key_by_key_id_names_the_callers_own_key() -> None:
    request = {"keyId": KEY.rsplit("/", 1)[-1], "keySpec": "AES_256"}
    found = event("GenerateDataKey", key=None, requestParameters=request, resources=None)
    assert found.key_arns == (KEY,)


def test_a_bare_key_id_beside_its_arn_is_one_key() -> None:
    request = {"keyId": KEY.rsplit("/", 1)[-1], "numberOfBytes": 32}
    assert event("GenerateDataKey", requestParameters=request).key_arns == (KEY,)


def test_an_alias_is_kept_where_no_key_is_told() -> None:
    request = {"keyId": "alias/tokens", "keySpec": "AES_256"}
    found = event("GenerateDataKey", key=None, requestParameters=request, errorCode="NotFoundException")
    assert (found.key_arns, found.alias) == ((), "alias/tokens")


def test_a_reencrypt_has_both_keys_and_materials_source_first() -> None:
    found = event(
        "ReEncrypt",
        requestParameters={
            "sourceEncryptionContext": context("gh-1"),
            "destinationEncryptionContext": context("gh-1"),
            "destinationKeyId": OTHER_KEY,
        },
        additionalEventData={
            "destinationKeyMaterialId": OTHER_MATERIAL,
            "sourceKeyMaterialId": MATERIAL,
        },
        resources=[{"ARN": KEY}, {"ARN": OTHER_KEY}],
    )
    assert found.key_arns == (KEY, OTHER_KEY)
    assert found.material_ids == (MATERIAL, OTHER_MATERIAL)
    assert str(found.token_ref) == "gh_connection.access_token:gh-1"


def test_disable_key_and_scheduled_deletion_name_the_key_of_the_answer() -> None:
    for name in ("DisableKey", "ScheduleKeyDeletion"):
        found = event(name, key=None, resources=None, requestParameters=None, responseElements={"keyId": KEY})
        assert found.key_arns == (KEY,)


def test_a_finished_rotation_is_an_event_of_the_service() -> None:
    found = read(
        record("RotateKey", who={"accountId": ACCOUNT, "invokedBy": "AWS Internal"})
        | {
            "eventType": "AwsServiceEvent",
            "sourceIPAddress": "AWS Internal",
            "requestParameters": None,
            "additionalEventData": None,
            "serviceEventDetails": {
                "rotationType": "AUTOMATIC",
                "keyId": KEY.rsplit("/", 1)[-1],
                "previousKeyMaterialId": MATERIAL,
                "currentKeyMaterialId": OTHER_MATERIAL,
            },
        }
    )
    assert found.by_service
    assert found.key_arns == (KEY,)
    assert found.material_ids == (MATERIAL, OTHER_MATERIAL)
    assert found.principal.arn == "AWS Internal"


def test_an_alias_that_is_repointed_names_alias_and_key() -> None:
    request = {"aliasName": "alias/tokens", "targetKeyId": OTHER_KEY}
    found = event("UpdateAlias", key=None, resources=None, requestParameters=request)
    assert (found.key_arns, found.alias) == ((OTHER_KEY,), "alias/tokens")


def test_what_a_service_does_in_somebodys_name_is_noise() -> None:
    secret = {"SecretARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s", "SecretVersionId": "v"}
    assert event(who=user("ana", invokedBy="AWS Internal"), context=secret).by_service
    assert event(who=role(invokedBy="secretsmanager.amazonaws.com"), context=secret).by_service
    assert event(sourceIPAddress="s3.amazonaws.com", context=S3_CONTEXT).by_service
    assert event("GenerateDataKey", sourceIPAddress="s3.amazonaws.com").by_service
    assert not event(userAgent="s3.amazonaws.com").by_service


@pytest.mark.parametrize("name", ["Decrypt", "ReEncrypt"])
@pytest.mark.parametrize("service", ["states.amazonaws.com", "ssm.amazonaws.com", "apigateway.amazonaws.com"])
def test_what_can_have_opened_a_token_is_nobodys_noise(name: str, service: str) -> None:
    who = user("ana", invokedBy=service)
    for sealed_with in (None, context("gh-1"), {**context("gh-1"), **S3_CONTEXT}):
        found = event(name, who=who, sourceIPAddress=service, context=sealed_with)
        assert found.through_service
        assert found.may_open_token
        assert not found.by_service
        assert found.as_json()["invoked_by"] == service
    # KMS refuses another context than the one that the data key was wrapped with: v1 has none.
    assert event(name, who=who, context=S3_CONTEXT).by_service
    assert read(denied(name, who=who)).by_service


def test_the_role_is_told_without_its_session_and_with_its_path() -> None:
    identity = role("platform")
    issuer = identity["sessionContext"]["sessionIssuer"]
    issuer["arn"] = f"arn:aws:iam::{ACCOUNT}:role/service/platform"
    assert event(who=identity).principal.arn == issuer["arn"]
    issuer["arn"] = f"arn:aws:iam::{ACCOUNT}:role/other"
    assert event(who=identity).principal.arn == f"arn:aws:iam::{ACCOUNT}:role/platform"


def test_people_are_told_from_machines() -> None:
    assert event(who=user("ana")).principal.is_human
    assert event(sessionCredentialFromConsole="true").principal.from_console
    assert event(sessionCredentialFromConsole="true").principal.is_human
    sso = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/ana@example.com"
    identity = role() | {"arn": sso, "sessionContext": {}}
    assert event(who=identity).principal.is_human
    assert not event(who=role()).principal.is_human
    root = event(who={"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT})
    assert root.principal.is_root
    assert root.principal.name == "root"


@pytest.mark.parametrize(
    "broken",
    [
        {"userIdentity": None},
        {"resources": None, "requestParameters": None, "additionalEventData": None, "userAgent": None},
        {"resources": "x", "requestParameters": [], "additionalEventData": 7, "userIdentity": "me"},
        {"resources": [None, 1, {"ARN": None}, {"ARN": ["x"]}]},
        {"requestParameters": {"keyId": 5, "encryptionContext": [1]}, "eventID": 9, "awsRegion": {}},
    ],
)
def test_what_is_missing_or_of_another_type_is_left_empty(broken: dict[str, Any]) -> None:
    found = read(record() | broken)
    assert found.name == "Decrypt"
    assert isinstance(found.event_id, str)
    assert found.event_id


@pytest.mark.parametrize("none", [None, 1, "x", [], {}, {"eventTime": "2026-11-25T12:00:00Z"}])
def test_what_is_no_record_is_no_event(none: object) -> None:
    assert read_record(none) is None


def test_a_record_without_an_id_is_known_by_its_content() -> None:
    first, again, other = record(), record(), record("Encrypt")
    for one in (first, again, other):
        one["eventID"], one["requestID"] = None, None
    assert read(first).event_id == read(again).event_id
    assert read(first).event_id != read(other).event_id


@pytest.mark.parametrize(
    ("text", "year"),
    [("0001-01-01T00:00:00Z", 1), ("9999-12-31T23:59:59Z", 9999), ("2026-11-25T12:00:00Z", 2026)],
)
def test_every_year_can_be_told(text: str, year: int) -> None:
    assert event(eventTime=text).time.year == year


@pytest.mark.parametrize("text", [None, "", "yesterday", [], {}, "0001-01-01T00:00:00+14:00", 1e300])
def test_a_time_that_cannot_be_read_is_no_time(text: object) -> None:
    found = event(eventTime=text)
    assert found.time == UNDATED
    assert found.as_json()["time"] is None


def test_hostile_text_is_cleaned_and_bounded() -> None:
    hostile = "[/red]\x1b]52;c;AAAA\x07\u202e" + "x" * 5_000_000
    found = read(
        record(
            userAgent=hostile,
            sourceIPAddress=hostile,
            errorCode=hostile,
            errorMessage=hostile,
            eventName=hostile,
            awsRegion=hostile,
            context={hostile: hostile} | context(hostile),
            who=user(hostile),
        )
    )
    for text in _texts(found):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert len(text) <= 2_048


def _texts(found: TrailEvent) -> list[str]:
    return [
        str(value)
        for value in (
            *found.as_json().values(),
            *found.encryption_context,
            *found.encryption_context.values(),
            found.principal.name,
        )
        if not isinstance(value, dict)
    ]


def test_records_are_found_in_every_wrapping() -> None:
    import json

    one = record()
    looked_up = {"Events": [{"EventId": "x", "CloudTrailEvent": json.dumps(one)}]}
    for document in ({"Records": [one]}, [one], one, [{"Records": [one]}], looked_up):
        assert list(records_of(document)) == [one]
