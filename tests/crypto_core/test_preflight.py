"""Before a run: which permissions KMS would refuse, and nothing is done to find out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from crypto_core.errors import ReadOnlyError, SettingsError
from crypto_core.kms import KmsApi
from crypto_core.preflight import Permission, Preflight, Sample
from crypto_core.secret import DataKey, exposed

REGION = "eu-west-1"
ELSEWHERE = "us-east-1"
NOBODYS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"
CONTEXT = {"keydeck:table": "gh_connection", "keydeck:column": "access_token", "keydeck:id": "gh-42"}

GENERATE, DECRYPT = "kms:GenerateDataKey", "kms:Decrypt"
FROM, TO = "kms:ReEncryptFrom", "kms:ReEncryptTo"


class Overheard(KmsApi):
    """KMS, and what it was asked and answered."""

    def __init__(self, **options: Any) -> None:
        super().__init__([REGION], attempts=1, **options)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[dict[str, Any]] = []

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        self.asked.append((operation, parameters))
        answer = super().call(operation, region=region, **parameters)
        self.answers.append(answer)
        return answer


@pytest.fixture
def kms(aws: EndpointControl) -> Overheard:
    return Overheard()


@pytest.fixture
def preflight(kms: Overheard) -> Preflight:
    return Preflight(kms)


@pytest.fixture(params=["with a sample", "without a sample"])
def blob_of(request: pytest.FixtureRequest, client: Any) -> Callable[..., bytes | None]:
    """Make a sample under a key, or none: what is permitted must come out the same."""

    def make(key: str, context: dict[str, str] | None = None) -> bytes | None:
        return wrapped(client, key, context) if request.param == "with a sample" else None

    return make


def wrapped(client: Any, key: str, context: dict[str, str] | None = None) -> bytes:
    made = client.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context or {})
    return cast(bytes, made["CiphertextBlob"])


def verdicts(permissions: tuple[Permission, ...]) -> list[tuple[str, str, bool | None]]:
    return [(p.action, p.key, p.allowed) for p in permissions]


def used(client: Any, key: str) -> Any:
    """The last cryptographic operation that really used the key."""
    return client.get_key_last_usage(KeyId=key).get("KeyLastUsage")


# What is permitted


def test_everything_that_is_permitted_is_found_permitted_and_nothing_is_done(
    kms: Overheard,
    preflight: Preflight,
    sandbox: Sandbox,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
    client: Any,
) -> None:
    old, new = new_key(), new_key()
    blob = blob_of(old)
    before = [used(client, key) for key in (old, new)]
    found = (
        preflight.may_generate(new),
        preflight.may_decrypt(old, blob),
        *preflight.may_reencrypt(old, new, blob),
    )
    assert found == (
        Permission(GENERATE, new, True),
        Permission(DECRYPT, old, True),
        Permission(FROM, old, True),
        Permission(TO, new, True),
    )
    assert [operation for operation, _ in kms.asked] == ["GenerateDataKey", "Decrypt", "ReEncrypt"]
    assert all(parameters["DryRun"] is True for _, parameters in kms.asked)
    assert kms.answers == []
    assert [used(client, key) for key in (old, new)] == before

    trail = sandbox.client("cloudtrail")
    for key, names in ((old, ["Decrypt", "ReEncrypt"]), (new, ["GenerateDataKey", "ReEncrypt"])):
        attribute = [{"AttributeKey": "ResourceName", "AttributeValue": key}]
        events = trail.lookup_events(LookupAttributes=attribute)["Events"]
        records = [json.loads(event["CloudTrailEvent"]) for event in reversed(events)]
        rehearsed = [r["eventName"] for r in records if r.get("errorCode") == "DryRunOperationException"]
        assert rehearsed == names


@pytest.mark.parametrize("form", ["key id", "alias", "alias ARN"])
def test_a_key_may_be_named_in_any_form_and_is_named_so_in_the_answer(
    preflight: Preflight,
    new_key: Callable[[], str],
    client: Any,
    blob_of: Callable[..., bytes | None],
    form: str,
) -> None:
    key, other = new_key(), new_key()
    alias = f"alias/test-{uuid4().hex[:12]}"
    client.create_alias(AliasName=alias, TargetKeyId=key)
    name = {
        "key id": key.rpartition("/")[2],
        "alias": alias,
        "alias ARN": f"{key.rpartition(':')[0]}:{alias}",
    }
    assert preflight.may_generate(name[form]) == Permission(GENERATE, name[form], True)
    assert preflight.may_decrypt(name[form], blob_of(key)) == Permission(DECRYPT, name[form], True)
    assert verdicts(preflight.may_reencrypt(name[form], other, blob_of(key))) == [
        (FROM, name[form], True),
        (TO, other, True),
    ]
    client.disable_key(KeyId=key)
    assert verdicts(preflight.may_reencrypt(name[form], other, blob_of(other))) == [
        (FROM, name[form], False),
        (TO, other, None),
    ]
    assert verdicts(preflight.may_reencrypt(other, name[form], blob_of(other))) == [
        (FROM, other, True),
        (TO, name[form], False),
    ]
    client.delete_alias(AliasName=alias)


def test_a_key_of_another_region_is_asked_about_there(
    kms: Overheard, preflight: Preflight, sandbox: Sandbox
) -> None:
    key = KmsApi([ELSEWHERE], attempts=1).call("CreateKey")["KeyMetadata"]["Arn"]
    assert preflight.may_generate(key).allowed is True
    assert preflight.may_decrypt(key, None).allowed is True
    assert verdicts(preflight.may_reencrypt(key, key, None)) == [(FROM, key, True), (TO, key, True)]


# What is refused


def test_a_missing_permission_to_generate_is_named_with_its_key(
    aws: EndpointControl, preflight: Preflight, new_key: Callable[[], str]
) -> None:
    denied, other = new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", GENERATE, denied))
    found = preflight.may_generate(denied)
    assert (found.action, found.key, found.allowed) == (GENERATE, denied, False)
    assert GENERATE in found.reason
    assert denied in found.reason
    assert f"Allow {GENERATE}" in found.remedy
    assert preflight.may_generate(other).allowed is True


def test_a_missing_permission_to_decrypt_is_named_with_its_key(
    aws: EndpointControl,
    preflight: Preflight,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
) -> None:
    denied, other = new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", DECRYPT, denied))
    found = preflight.may_decrypt(denied, blob_of(denied))
    assert (found.action, found.key, found.allowed) == (DECRYPT, denied, False)
    assert DECRYPT in found.reason
    assert denied in found.reason
    assert f"Allow {DECRYPT}" in found.remedy
    assert preflight.may_decrypt(other, blob_of(other)).allowed is True
    assert preflight.may_generate(denied).allowed is True


def test_a_denied_source_leaves_the_destination_not_known(
    aws: EndpointControl,
    preflight: Preflight,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
) -> None:
    old, new = new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", FROM, old))
    source, destination = preflight.may_reencrypt(old, new, blob_of(old))
    assert (source.action, source.key, source.allowed) == (FROM, old, False)
    assert f"Allow {FROM}" in source.remedy
    assert (destination.action, destination.key, destination.allowed) == (TO, new, None)
    assert destination.reason == f"Not known while {FROM} is refused on {old}."


def test_a_denied_destination_says_that_the_source_is_permitted(
    aws: EndpointControl,
    preflight: Preflight,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
) -> None:
    old, new = new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", TO, new))
    source, destination = preflight.may_reencrypt(old, new, blob_of(old))
    assert source == Permission(FROM, old, True)
    assert (destination.action, destination.key, destination.allowed) == (TO, new, False)
    assert new in destination.reason
    assert f"Allow {TO}" in destination.remedy


@pytest.mark.parametrize(("denied", "expected"), [(FROM, [False, None]), (TO, [True, False])])
def test_a_rewrap_under_the_same_key_tells_its_two_permissions_apart(
    aws: EndpointControl,
    preflight: Preflight,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
    denied: str,
    expected: list[bool | None],
) -> None:
    key = new_key()
    aws.add_denial(Denial("keydeck-oncall", denied, key))
    assert [p.allowed for p in preflight.may_reencrypt(key, key, blob_of(key))] == expected


def disabled(aws: EndpointControl, client: Any, key: str) -> str:
    client.disable_key(KeyId=key)
    return "is disabled"


def pending_deletion(aws: EndpointControl, client: Any, key: str) -> str:
    client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    return "is pending deletion"


def pending_import(aws: EndpointControl, client: Any, key: str) -> str:
    aws.set_key_state(key, "PendingImport")
    return "is pending import"


@pytest.mark.parametrize("put", [disabled, pending_deletion, pending_import], ids=lambda put: put.__name__)
def test_a_key_whose_state_refuses_is_not_permitted_and_the_state_is_the_reason(
    aws: EndpointControl,
    preflight: Preflight,
    client: Any,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
    put: Callable[[EndpointControl, Any, str], str],
) -> None:
    broken, other = new_key(), new_key()
    blob, others = blob_of(broken), blob_of(other)
    reason = put(aws, client, broken)
    for found in (preflight.may_generate(broken), preflight.may_decrypt(broken, blob)):
        assert found.allowed is False
        assert reason in found.reason
        assert broken in found.reason
        assert found.remedy
    source, destination = preflight.may_reencrypt(broken, other, blob)
    assert (source.allowed, destination.allowed) == (False, None)
    assert reason in source.reason
    source, destination = preflight.may_reencrypt(other, broken, others)
    assert (source.allowed, destination.allowed) == (True, False)
    assert reason in destination.reason


@pytest.mark.parametrize("name", [NOBODYS, NOBODYS.rpartition("/")[2], "alias/nobody-made-this"])
def test_a_key_that_is_not_there_is_not_permitted(
    preflight: Preflight, new_key: Callable[[], str], blob_of: Callable[..., bytes | None], name: str
) -> None:
    key = new_key()
    for found in (preflight.may_generate(name), preflight.may_decrypt(name, blob_of(key))):
        assert found.allowed is False
        assert "does not exist" in found.reason
        assert name in found.reason
    assert [p.allowed for p in preflight.may_reencrypt(name, key, blob_of(key))] == [False, None]
    assert [p.allowed for p in preflight.may_reencrypt(key, name, blob_of(key))] == [True, False]


def test_a_disabled_key_that_is_source_and_destination_is_told_of_the_source(
    preflight: Preflight, client: Any, new_key: Callable[[], str], blob_of: Callable[..., bytes | None]
) -> None:
    key = new_key()
    blob = blob_of(key)
    client.disable_key(KeyId=key)
    assert [p.allowed for p in preflight.may_reencrypt(key, key, blob)] == [False, None]


@pytest.mark.parametrize("broken", ["source", "destination"])
@pytest.mark.parametrize("form", ["key ids", "key id and alias"])
def test_a_bare_key_id_tells_which_side_kms_means(
    preflight: Preflight,
    client: Any,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
    broken: str,
    form: str,
) -> None:
    old, new = new_key(), new_key()
    blob = blob_of(old)
    source, destination = (key.rpartition("/")[2] for key in (old, new))
    alias = f"alias/test-{uuid4().hex[:12]}"
    client.create_alias(AliasName=alias, TargetKeyId=new)
    client.disable_key(KeyId=old if broken == "source" else new)
    found = preflight.may_reencrypt(source, destination if form == "key ids" else alias, blob)
    assert [p.allowed for p in found] == ([False, None] if broken == "source" else [True, False])
    client.delete_alias(AliasName=alias)


def test_two_aliases_of_which_kms_names_the_key_that_is_disabled_leave_both_not_known(
    preflight: Preflight, client: Any, new_key: Callable[[], str], blob_of: Callable[..., bytes | None]
) -> None:
    key, other = new_key(), new_key()
    names = [f"alias/test-{uuid4().hex[:12]}" for _ in range(2)]
    for name, target in zip(names, (key, other), strict=True):
        client.create_alias(AliasName=name, TargetKeyId=target)
    blob = blob_of(key)
    client.disable_key(KeyId=other)
    found = preflight.may_reencrypt(names[0], names[1], blob)
    assert [p.allowed for p in found] == [None, None]
    assert all(other in p.reason and "is disabled" in p.reason for p in found)
    for name in names:
        client.delete_alias(AliasName=name)


def test_a_rewrap_across_regions_is_told_without_asking(
    kms: Overheard, preflight: Preflight, new_key: Callable[[], str]
) -> None:
    key = new_key()
    source, destination = preflight.may_reencrypt(key, NOBODYS.replace(REGION, ELSEWHERE), None)
    assert (source.allowed, destination.allowed) == (None, False)
    assert "different Regions" in destination.reason
    assert destination.remedy == "Re-encrypt instead."
    assert kms.asked == []


# What is not known


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("ThrottlingException", "throttles"),
        ("KMSInternalException", "failed internally"),
        ("KeyUnavailableException", "not available right now"),
        ("DependencyTimeoutException", "timed out"),
        ("ExpiredTokenException", "session has expired"),
        ("ValidationException", "ValidationException"),
        ("reset", "No answer from AWS"),
    ],
)
def test_a_failure_that_says_nothing_about_permission_leaves_it_not_known(
    aws: EndpointControl,
    preflight: Preflight,
    new_key: Callable[[], str],
    blob_of: Callable[..., bytes | None],
    error: str,
    says: str,
) -> None:
    key, other = new_key(), new_key()
    blob = blob_of(key)
    aws.add_fault(Fault("*", error))
    found = (
        preflight.may_generate(key),
        preflight.may_decrypt(key, blob),
        *preflight.may_reencrypt(key, other, blob),
    )
    assert [p.allowed for p in found] == [None] * 4
    for permission in found:
        assert permission.reason.startswith("Not known: ")
        assert says in permission.reason
    if blob is None:
        assert all("there is no sample" in p.reason for p in found[1:])


def test_without_a_sample_a_boto3_that_can_not_ignore_the_ciphertext_leaves_it_not_known(
    kms: Overheard, preflight: Preflight, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    service: Any = kms._client("kms", REGION).meta.service_model
    for operation in ("Decrypt", "ReEncrypt"):
        del service.operation_model(operation).input_shape.members["DryRunModifiers"]
    for found in (preflight.may_decrypt(key, None), *preflight.may_reencrypt(key, key, None)):
        assert found.allowed is None
        assert found.reason.startswith("Not known: there is no sample")
    blob = wrapped(client, key)
    assert preflight.may_decrypt(key, blob) == Permission(DECRYPT, key, True)
    # A sample that is refused says nothing, and there is no other way to ask.
    others = wrapped(client, new_key())
    found = preflight.may_decrypt(key, others)
    assert found.allowed is None
    assert "was not made under" in found.reason


# Samples that KMS refuses


def damaged(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    blob = wrapped(client, key, CONTEXT)
    return blob[:-1] + bytes([blob[-1] ^ 1]), CONTEXT


def of_another_key(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    return wrapped(client, other, CONTEXT), CONTEXT


def of_another_row(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    return wrapped(client, key, CONTEXT), CONTEXT | {"keydeck:id": "gh-43"}


def no_ciphertext_at_all(client: Any, key: str, other: str) -> tuple[bytes, dict[str, str]]:
    return b"x", CONTEXT


UNFIT = [damaged, of_another_key, of_another_row, no_ciphertext_at_all]


@pytest.mark.parametrize("unfit", UNFIT, ids=lambda unfit: unfit.__name__)
def test_a_sample_that_kms_refuses_does_not_hide_the_permission(
    kms: Overheard,
    preflight: Preflight,
    client: Any,
    new_key: Callable[[], str],
    unfit: Callable[[Any, str, str], tuple[bytes, dict[str, str]]],
) -> None:
    key, other = new_key(), new_key()
    blob, context = unfit(client, key, other)
    for found in (
        preflight.may_decrypt(key, blob, context),
        *preflight.may_reencrypt(key, other, blob, context),
    ):
        assert found.allowed is True
        assert found.reason.startswith("KMS permits it, but not with the sample: ")
    assert [("CiphertextBlob" in p, p.get("DryRunModifiers")) for _, p in kms.asked] == [
        (True, None),
        (False, ["IGNORE_CIPHERTEXT"]),
    ] * 2
    assert kms.answers == []


@pytest.mark.parametrize("unfit", UNFIT, ids=lambda unfit: unfit.__name__)
def test_a_sample_that_kms_refuses_does_not_stand_for_a_permission_that_is_missing(
    aws: EndpointControl,
    preflight: Preflight,
    client: Any,
    new_key: Callable[[], str],
    unfit: Callable[[Any, str, str], tuple[bytes, dict[str, str]]],
) -> None:
    key, other = new_key(), new_key()
    blob, context = unfit(client, key, other)
    # As an endpoint answers that looks at the ciphertext before it authorises.
    aws.add_fault(Fault("*", "InvalidCiphertextException", count=1))
    aws.add_denial(Denial("keydeck-oncall", DECRYPT, key))
    found = preflight.may_decrypt(key, blob, context)
    assert (found.allowed, found.action) == (False, DECRYPT)
    aws.add_fault(Fault("*", "IncorrectKeyException", count=1))
    aws.add_denial(Denial("keydeck-oncall", TO, other))
    assert [p.allowed for p in preflight.may_reencrypt(key, other, blob, context)] == [True, False]


def test_a_denial_of_the_samples_own_key_is_not_taken_for_one_of_the_named_key(
    aws: EndpointControl, preflight: Preflight, client: Any, new_key: Callable[[], str]
) -> None:
    key, other = new_key(), new_key()
    others = wrapped(client, other)
    hidden = Fault(
        "*",
        "AccessDeniedException",
        count=1,
        message="The ciphertext refers to a customer master key that does not exist, does not exist in this "
        "region, or you are not allowed to access.",
    )
    aws.add_fault(hidden)
    assert preflight.may_decrypt(key, others).allowed is True
    aws.add_fault(hidden)
    assert [p.allowed for p in preflight.may_reencrypt(key, other, others)] == [True, True]


def test_a_denial_stands_where_kms_can_not_be_asked_again(
    aws: EndpointControl, preflight: Preflight, client: Any, new_key: Callable[[], str]
) -> None:
    key, other = new_key(), new_key()
    blob = wrapped(client, key)
    hidden = "The ciphertext refers to a customer master key that you are not allowed to access."
    aws.add_fault(Fault("*", "AccessDeniedException", count=1, message=hidden))
    aws.add_fault(Fault("*", "ValidationException"))
    source, destination = preflight.may_reencrypt(key, other, blob)
    assert (source.allowed, destination.allowed) == (False, None)
    assert f"{FROM} on {key}" in source.reason


def test_the_context_of_the_run_is_what_kms_is_asked_with(
    kms: Overheard, preflight: Preflight, client: Any, new_key: Callable[[], str]
) -> None:
    """A key policy may demand it (kms:EncryptionContext:…)."""
    key = new_key()
    blob = wrapped(client, key, CONTEXT)
    assert preflight.may_generate(key, CONTEXT).reason == ""
    assert preflight.may_decrypt(key, blob, CONTEXT).reason == ""
    assert {p.reason for p in preflight.may_reencrypt(key, key, blob, CONTEXT)} == {""}
    members = ("EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext")
    asked = [[p[m] for m in members if m in p] for _, p in kms.asked]
    assert asked == [[CONTEXT], [CONTEXT], [CONTEXT, CONTEXT]]


# A whole run


def test_a_reencryption_needs_decrypt_on_every_source_and_generate_on_the_target(
    aws: EndpointControl, preflight: Preflight, client: Any, new_key: Callable[[], str]
) -> None:
    first, second, target = new_key(), new_key(), new_key()
    aws.add_denial(Denial("keydeck-oncall", DECRYPT, second))
    sources = {first: Sample(wrapped(client, first, CONTEXT), CONTEXT), second: None}
    assert verdicts(preflight.for_run(target, sources, context=CONTEXT)) == [
        (GENERATE, target, True),
        (DECRYPT, first, True),
        (DECRYPT, second, False),
    ]


def test_encrypting_plaintext_needs_generate_only(
    kms: Overheard, preflight: Preflight, new_key: Callable[[], str]
) -> None:
    target = new_key()
    assert verdicts(preflight.for_run(target, {})) == [(GENERATE, target, True)]
    assert len(kms.asked) == 1


def test_a_rewrap_needs_both_sides_and_opens_before_and_after(
    preflight: Preflight, client: Any, new_key: Callable[[], str]
) -> None:
    first, target = new_key(), new_key()
    sources = {first: Sample(wrapped(client, first))}
    assert verdicts(preflight.for_run(target, sources, rewrap=True)) == [
        (DECRYPT, first, True),
        (FROM, first, True),
        (TO, target, True),
        (DECRYPT, target, True),
    ]


def test_what_several_sources_tell_of_the_target_is_one_permission_and_a_refusal_comes_first(
    aws: EndpointControl, preflight: Preflight, new_key: Callable[[], str]
) -> None:
    first, second, target = new_key(), new_key(), new_key()
    sources: dict[str, Sample | None] = {first: None, second: None}
    aws.add_denial(Denial("keydeck-oncall", FROM, first))
    told = preflight.for_run(target, sources, rewrap=True)
    assert [(p.key, p.allowed) for p in told if p.action == FROM] == [(first, False), (second, True)]
    assert [(p.key, p.allowed) for p in told if p.action == TO] == [(target, True)]
    aws.add_denial(Denial("keydeck-oncall", TO, target))
    told = preflight.for_run(target, sources, rewrap=True)
    assert [(p.key, p.allowed) for p in told if p.action == TO] == [(target, False)]


def test_a_target_that_is_refused_once_is_refused_whatever_else_was_answered(
    aws: EndpointControl, preflight: Preflight, new_key: Callable[[], str]
) -> None:
    """A policy may tell encryption contexts apart."""
    first, second, target = new_key(), new_key(), new_key()
    says = f"User: x is not authorized to perform: {TO} on resource: {target} because of a condition"
    aws.add_fault(Fault("ReEncrypt", "AccessDeniedException", count=1, message=says))
    told = preflight.for_run(target, {first: None, second: None}, rewrap=True)
    assert [(p.key, p.allowed) for p in told if p.action == TO] == [(target, False)]
    assert [(p.key, p.allowed) for p in told if p.action == FROM] == [(first, True), (second, True)]


def test_a_rewrap_under_the_same_key_asks_about_decrypt_once(
    kms: Overheard, preflight: Preflight, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    told = preflight.for_run(key, {key: Sample(wrapped(client, key))}, rewrap=True)
    assert verdicts(told) == [(DECRYPT, key, True), (FROM, key, True), (TO, key, True)]
    assert len(kms.asked) == 2


def test_a_sample_shows_no_bytes() -> None:
    assert "secret" not in repr(Sample(b"secret"))


def test_what_is_no_key_name_is_refused_before_anything_is_sent(kms: Overheard, preflight: Preflight) -> None:
    for use in (
        lambda: preflight.may_generate("tokens"),
        lambda: preflight.may_decrypt("tokens", b"x"),
        lambda: preflight.may_reencrypt("tokens", NOBODYS, b"x"),
        lambda: preflight.may_reencrypt(NOBODYS, "tokens", b"x"),
    ):
        with pytest.raises(SettingsError, match="Not a KMS key"):
            use()
    assert kms.asked == []


# Read only


def test_a_preflight_is_possible_in_read_only_mode(
    aws: EndpointControl, client: Any, new_key: Callable[[], str], blob_of: Callable[..., bytes | None]
) -> None:
    old, new = new_key(), new_key()
    preflight = Preflight(KmsApi([REGION], attempts=1, read_only=True))
    blob = blob_of(old)
    assert preflight.may_generate(new).allowed is True
    assert preflight.may_decrypt(old, blob).allowed is True
    assert [p.allowed for p in preflight.may_reencrypt(old, new, blob)] == [True, True]
    aws.add_denial(Denial("keydeck-oncall", TO, new))
    assert [p.allowed for p in preflight.may_reencrypt(old, new, blob)] == [True, False]


@pytest.mark.parametrize(
    "dry_run", [{}, {"DryRun": False}, {"DryRun": None}, {"DryRun": 1}, {"DryRun": "true"}]
)
@pytest.mark.parametrize("operation", ["GenerateDataKey", "ReEncrypt"])
def test_read_only_lets_nothing_pass_that_is_not_surely_a_dry_run(
    aws: EndpointControl, new_key: Callable[[], str], operation: str, dry_run: dict[str, Any]
) -> None:
    kms = KmsApi([REGION], read_only=True)
    with pytest.raises(ReadOnlyError, match=f"kms:{operation} is refused"):
        kms.call(operation, KeyId=new_key(), **dry_run)
    assert kms.calls == 0


@pytest.mark.parametrize(
    "operation",
    ["CreateGrant", "Encrypt", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "RetireGrant"],
)
def test_read_only_refuses_the_dry_run_of_what_no_preflight_needs(
    aws: EndpointControl, new_key: Callable[[], str], operation: str
) -> None:
    kms = KmsApi([REGION], read_only=True)
    with pytest.raises(ReadOnlyError):
        kms.call(operation, KeyId=new_key(), DryRun=True)
    assert kms.calls == 0


# Observed


def test_a_dry_run_that_passes_is_no_failure_to_whoever_counts(
    aws: EndpointControl, client: Any, new_key: Callable[[], str]
) -> None:
    told: list[tuple[str, str]] = []

    class Counting:
        def operation(self, name: str, format_: str, failure: str) -> None:
            raise AssertionError("no token is opened")

        def kms_call(self, operation: str, seconds: float, failure: str) -> None:
            assert seconds > 0
            told.append((operation, failure))

        def cache(self, *, hit: bool) -> None:
            raise AssertionError("nothing is cached")

    key = new_key()
    preflight = Preflight(KmsApi([REGION], attempts=1, observer=Counting()))
    preflight.may_generate(key)
    aws.add_denial(Denial("*", DECRYPT, key))
    preflight.may_decrypt(key, None)
    assert told == [("GenerateDataKey", ""), ("Decrypt", "KmsAccessDeniedError")]


# An endpoint that knows no DryRun, as a platform's own tests may run it, answers for real


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Overheard:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return Overheard(endpoint_url=moto_url)


@pytest.fixture
def made_data_keys(monkeypatch: pytest.MonkeyPatch) -> list[DataKey]:
    """Every DataKey that is made from KMS's answers from now on."""
    made: list[DataKey] = []

    class Noted(DataKey):
        __slots__ = ()

        def __init__(self, content: bytes) -> None:
            super().__init__(content)
            made.append(self)

    monkeypatch.setattr("crypto_core.kms_answers.DataKey", Noted)
    return made


@pytest.mark.parametrize("spec", ["AES_256", "AES_128"])
def test_an_endpoint_that_answers_for_real_permits_it_and_its_data_key_is_wiped(
    moto: Overheard, made_data_keys: list[DataKey], spec: str
) -> None:
    old, new = (moto.call("CreateKey")["KeyMetadata"]["Arn"] for _ in range(2))
    blob = moto.call("GenerateDataKey", KeyId=old, KeySpec=spec)["CiphertextBlob"]
    moto.answers.clear()
    preflight = Preflight(moto)
    assert preflight.may_generate(new) == Permission(GENERATE, new, True)
    assert preflight.may_decrypt(old, blob) == Permission(DECRYPT, old, True)
    assert verdicts(preflight.may_reencrypt(old, new, blob)) == [(FROM, old, True), (TO, new, True)]
    assert len(moto.answers) == 3
    assert not [answer for answer in moto.answers if "Plaintext" in answer]
    assert [len(key) for key in made_data_keys] == [32, 32 if spec == "AES_256" else 16]
    for data_key in made_data_keys:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(data_key)


def test_an_endpoint_that_can_not_do_without_a_sample_leaves_it_not_known(moto: Overheard) -> None:
    key = moto.call("CreateKey")["KeyMetadata"]["Arn"]
    preflight = Preflight(moto)
    for found in (preflight.may_decrypt(key, None), *preflight.may_reencrypt(key, key, None)):
        assert found.allowed is None
        assert found.reason.startswith("Not known: there is no sample")
