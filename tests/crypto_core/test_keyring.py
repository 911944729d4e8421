"""Data keys from KMS: key ids are pinned, and KMS's answers are checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl
from console.sandbox.sandbox import Sandbox
from crypto_core.errors import (
    IncorrectKeyError,
    InvalidCiphertextError,
    KeyDisabledError,
    KeyNotFoundError,
    KmsAccessDeniedError,
    KmsError,
    KmsRequestError,
    KmsThrottledError,
    KmsUnreachableError,
    SettingsError,
    UntrustedKeyError,
)
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import KmsApi
from crypto_core.secret import DataKey, exposed
from tests.crypto_core.damaging import damaged

REGION = "eu-west-1"
ELSEWHERE = "us-east-1"
NOBODYS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION], attempts=1)


@pytest.fixture
def alias(client: Any) -> Iterator[Callable[[str], str]]:
    """Make an alias for a key; returns its name."""
    made: list[str] = []

    def create(key: str) -> str:
        name = f"alias/test-{uuid4().hex[:12]}"
        client.create_alias(AliasName=name, TargetKeyId=key)
        made.append(name)
        return name

    yield create
    for name in made:
        client.delete_alias(AliasName=name)


@pytest.fixture(scope="session")
def recorded(sandbox: Sandbox) -> Callable[[str, str], list[dict[str, Any]]]:
    """Requests of an operation that CloudTrail has recorded for a key, oldest first."""
    trail = sandbox.client("cloudtrail")

    def look_up(key: str, operation: str) -> list[dict[str, Any]]:
        by_key = [{"AttributeKey": "ResourceName", "AttributeValue": key}]
        events = trail.lookup_events(LookupAttributes=by_key)["Events"]
        records = [json.loads(event["CloudTrailEvent"]) for event in reversed(events)]
        return [r["requestParameters"] for r in records if r["eventName"] == operation]

    return look_up


def blob_under(client: Any, key: str, spec: str = "AES_256") -> bytes:
    blob: bytes = client.generate_data_key(KeyId=key, KeySpec=spec)["CiphertextBlob"]
    return blob


class ChangedAnswers(KmsApi):
    """KMS whose answers are changed on the way, as only a hostile or broken endpoint would."""

    def __init__(self, **changes: Any) -> None:
        super().__init__([REGION], attempts=1)
        self.changes = changes
        self.data_keys: list[bytes] = []

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        answer = super().call(operation, region=region, **parameters)
        if "Plaintext" in answer:
            self.data_keys.append(answer["Plaintext"])
        for name, value in self.changes.items():
            if value is None:
                answer.pop(name, None)
            else:
                answer[name] = value
        return answer


@pytest.fixture
def made_data_keys(monkeypatch: pytest.MonkeyPatch) -> list[DataKey]:
    """Every DataKey that the keyring makes from now on."""
    made: list[DataKey] = []

    class Noted(DataKey):
        __slots__ = ()

        def __init__(self, content: bytes) -> None:
            super().__init__(content)
            made.append(self)

    monkeypatch.setattr("crypto_core.kms_answers.DataKey", Noted)
    return made


# Generate and unwrap


def test_a_generated_data_key_is_what_kms_unwraps(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    generated = keyring.generate()
    assert len(generated.data_key) == 32
    assert client.decrypt(CiphertextBlob=generated.encrypted_data_key)["Plaintext"] == exposed(
        generated.data_key
    )
    unwrapped = keyring.unwrap(generated.encrypted_data_key)
    assert unwrapped.data_key == generated.data_key
    assert unwrapped.wrapped_by == generated.wrapped_by
    assert unwrapped.wrapped_by.key_arn == key


def test_every_generated_data_key_is_another(kms: KmsApi, new_key: Callable[[], str]) -> None:
    keyring = KmsKeyring(kms, write_key=new_key())
    made = [keyring.generate() for _ in range(5)]
    assert len({bytes(exposed(m.data_key)) for m in made}) == 5
    assert len({m.encrypted_data_key for m in made}) == 5


def test_a_data_key_is_generated_under_the_key_that_is_named(kms: KmsApi, new_key: Callable[[], str]) -> None:
    written_under, named = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=written_under)
    assert keyring.generate(named).wrapped_by.key_arn == named
    assert keyring.generate().wrapped_by.key_arn == written_under


def test_the_answer_tells_the_key_material(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    first = keyring.generate()
    aws.rotate(key, datetime.now(UTC), "ON_DEMAND")
    second = keyring.generate()
    current = client.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert second.wrapped_by.key_material_id == current
    assert first.wrapped_by.key_material_id not in (None, current)
    assert keyring.unwrap(first.encrypted_data_key).wrapped_by == first.wrapped_by


@pytest.mark.parametrize("form", ["key ARN", "key id", "alias", "alias ARN"])
def test_a_key_may_be_named_in_each_of_the_four_forms(
    kms: KmsApi, new_key: Callable[[], str], alias: Callable[[str], str], form: str
) -> None:
    key = new_key()
    name = alias(key)
    named = {
        "key ARN": key,
        "key id": key.rpartition("/")[2],
        "alias": name,
        "alias ARN": f"arn:aws:kms:{REGION}:{ACCOUNT}:{name}",
    }[form]
    keyring = KmsKeyring(kms, write_key=named)
    generated = keyring.generate()
    assert generated.wrapped_by.key_arn == key
    assert keyring.unwrap(generated.encrypted_data_key).wrapped_by.key_arn == key
    rewrapped = keyring.rewrap(generated.encrypted_data_key, named)
    assert rewrapped.source.key_arn == rewrapped.destination.key_arn == key


# Pinning


def test_decrypt_says_which_key_it_expects(
    kms: KmsApi, client: Any, new_key: Callable[[], str], recorded: Callable[[str, str], list[dict[str, Any]]]
) -> None:
    key = new_key()
    KmsKeyring(kms, write_key=key).unwrap(blob_under(client, key))
    assert [request["keyId"] for request in recorded(key, "Decrypt")] == [key]


def test_reencrypt_says_which_source_it_expects(
    kms: KmsApi, client: Any, new_key: Callable[[], str], recorded: Callable[[str, str], list[dict[str, Any]]]
) -> None:
    source, destination = new_key(), new_key()
    KmsKeyring(kms, write_key=source).rewrap(blob_under(client, source), destination)
    (request,) = recorded(source, "ReEncrypt")
    assert (request["sourceKeyId"], request["destinationKeyId"]) == (source, destination)


def test_a_blob_under_another_key_is_incorrect(kms: KmsApi, client: Any, new_key: Callable[[], str]) -> None:
    trusted, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=trusted)
    for use in (keyring.unwrap, lambda blob: keyring.rewrap(blob, trusted)):
        with pytest.raises(IncorrectKeyError) as caught:
            use(blob_under(client, other))
        assert caught.value.key == trusted
        assert trusted in caught.value.message
        assert "--trust" in caught.value.remedy


def test_none_of_several_keys_names_them_all(kms: KmsApi, client: Any, new_key: Callable[[], str]) -> None:
    first, second, other = new_key(), new_key(), new_key()
    with pytest.raises(IncorrectKeyError, match="None of the 2 trusted keys") as caught:
        KmsKeyring(kms, write_key=first, trusted=[second]).unwrap(blob_under(client, other))
    assert first[-4:] in caught.value.message
    assert second[-4:] in caught.value.message


@pytest.mark.parametrize(
    "operation", ["generate", "unwrap", "unwrap only", "rewrap source", "rewrap destination"]
)
def test_an_answer_that_names_another_key_is_not_trusted(
    aws: EndpointControl,
    client: Any,
    new_key: Callable[[], str],
    operation: str,
    made_data_keys: list[DataKey],
) -> None:
    key, destination = new_key(), new_key()
    member = "SourceKeyId" if operation == "rewrap source" else "KeyId"
    keyring = KmsKeyring(ChangedAnswers(**{member: NOBODYS}), write_key=key)
    use: dict[str, Callable[[], Any]] = {
        "generate": keyring.generate,
        "unwrap": lambda: keyring.unwrap(blob_under(client, key)),
        "unwrap only": lambda: keyring.unwrap(blob_under(client, key), only=key),
        "rewrap source": lambda: keyring.rewrap(blob_under(client, key), destination),
        "rewrap destination": lambda: keyring.rewrap(blob_under(client, key), destination),
    }
    with pytest.raises(UntrustedKeyError) as caught:
        use[operation]()
    assert NOBODYS in caught.value.message
    assert (destination if operation == "rewrap destination" else key) in caught.value.message
    for data_key in made_data_keys:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(data_key)
    assert len(made_data_keys) == (0 if operation.startswith("rewrap") else 1)


@pytest.mark.parametrize("answered", [None, "", "None", "tokens", 7, "alias/x", NOBODYS.rpartition("/")[2]])
@pytest.mark.parametrize("form", ["key ARN", "alias"])
def test_an_answer_that_names_no_key_is_refused_and_pins_nothing(
    aws: EndpointControl,
    client: Any,
    new_key: Callable[[], str],
    alias: Callable[[str], str],
    form: str,
    answered: Any,
    made_data_keys: list[DataKey],
) -> None:
    key = new_key()
    name = alias(key) if form == "alias" else key
    kms = ChangedAnswers(KeyId=answered)
    keyring = KmsKeyring(kms, write_key=name)
    with pytest.raises(KmsRequestError, match="did not say which key"):
        keyring.unwrap(blob_under(client, key))
    with pytest.raises(ValueError, match="is wiped"):
        exposed(made_data_keys[0])
    kms.changes.clear()
    assert keyring.unwrap(blob_under(client, key)).wrapped_by.key_arn == key


def test_an_alias_means_the_key_that_it_named_first(
    kms: KmsApi, client: Any, new_key: Callable[[], str], alias: Callable[[str], str]
) -> None:
    key, later = new_key(), new_key()
    name = alias(key)
    keyring = KmsKeyring(kms, write_key=name)
    before = keyring.generate()
    client.update_alias(AliasName=name, TargetKeyId=later)
    with pytest.raises(UntrustedKeyError) as caught:
        keyring.generate()
    assert later in caught.value.message
    with pytest.raises(UntrustedKeyError):
        keyring.unwrap(blob_under(client, later))
    with pytest.raises(UntrustedKeyError):
        keyring.trusting(later).generate()
    client.update_alias(AliasName=name, TargetKeyId=key)
    assert keyring.unwrap(before.encrypted_data_key).data_key == before.data_key
    # A keyring made later trusts what the alias means then.
    client.update_alias(AliasName=name, TargetKeyId=later)
    assert KmsKeyring(kms, write_key=name).generate().wrapped_by.key_arn == later


def test_an_alias_arn_does_not_mean_a_key_of_another_region(
    aws: EndpointControl, new_key: Callable[[], str]
) -> None:
    new_key()
    name = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/tokens"
    keyring = KmsKeyring(KmsApi([REGION]), write_key=name)
    elsewhere = NOBODYS.replace(REGION, ELSEWHERE)
    with pytest.raises(UntrustedKeyError):
        keyring._pin(name, elsewhere, "Decrypt")
    assert keyring._pin(name, NOBODYS, "Decrypt") == NOBODYS


def test_a_key_id_means_the_key_of_that_id_only(
    aws: EndpointControl, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    keyring = KmsKeyring(ChangedAnswers(KeyId=NOBODYS), write_key=key.rpartition("/")[2])
    with pytest.raises(UntrustedKeyError):
        keyring.unwrap(blob_under(client, key))


def test_the_replicas_of_a_multi_region_key_are_one_key(
    aws: EndpointControl, sandbox: Sandbox, client: Any
) -> None:
    primary = client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    client.replicate_key(KeyId=primary, ReplicaRegion=ELSEWHERE)
    replica = primary.replace(REGION, ELSEWHERE)
    kms = KmsApi([REGION, ELSEWHERE], attempts=1)
    made = KmsKeyring(kms, write_key=primary).generate()
    opened = KmsKeyring(kms, write_key=replica).unwrap(made.encrypted_data_key)
    assert opened.data_key == made.data_key
    assert opened.wrapped_by.key_arn == replica
    # An answer that names the other replica is an answer of the same key.
    changed = KmsKeyring(ChangedAnswers(KeyId=replica), write_key=primary)
    assert changed.unwrap(made.encrypted_data_key).wrapped_by.key_arn == replica


# Several trusted keys


def test_trusted_keys_are_asked_until_one_opens_and_the_likely_one_first_from_then_on(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    first, second, third = new_key(), new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=first, trusted=[second, third])
    assert keyring.trusted == (first, second, third)
    assert keyring.unwrap(blob_under(client, third)).wrapped_by.key_arn == third
    assert kms.calls == 3
    # The next blob under the same key material costs one call.
    assert keyring.unwrap(blob_under(client, third)).wrapped_by.key_arn == third
    assert kms.calls == 4
    assert keyring.rewrap(blob_under(client, third), first).source.key_arn == third
    assert kms.calls == 5
    # What was learnt is known to the keyring that trusts one key more.
    assert keyring.trusting(new_key()).unwrap(blob_under(client, third)).wrapped_by.key_arn == third
    assert kms.calls == 6


@pytest.mark.parametrize("by", ["ARN", "alias"])
def test_the_likely_key_is_asked_first(
    kms: KmsApi, client: Any, new_key: Callable[[], str], alias: Callable[[str], str], by: str
) -> None:
    first, second = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=first, trusted=[alias(second) if by == "alias" else second])
    keyring.unwrap(blob_under(client, second))  # an alias is known by its ARN once it has answered
    keyring._likely.clear()
    before = kms.calls
    assert keyring.unwrap(blob_under(client, second), likely=second).wrapped_by.key_arn == second
    assert keyring.rewrap(blob_under(client, second), first, likely=second).source.key_arn == second
    assert kms.calls == before + 2


def test_a_likely_key_that_is_not_trusted_is_not_asked(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    trusted, other = new_key(), new_key()
    with pytest.raises(IncorrectKeyError):
        KmsKeyring(kms, write_key=trusted).unwrap(blob_under(client, other), likely=other)
    assert kms.calls == 1


def test_a_key_is_trusted_for_one_command_only(kms: KmsApi, client: Any, new_key: Callable[[], str]) -> None:
    configured, named = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=configured)
    blob = blob_under(client, named)
    assert keyring.trusting(named).unwrap(blob).wrapped_by.key_arn == named
    assert keyring.trusted == (configured,)
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob)


def test_only_one_key_is_asked_where_the_caller_names_it(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    trusted, named = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=trusted)
    assert keyring.unwrap(blob_under(client, named), only=named).wrapped_by.key_arn == named
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob_under(client, trusted), only=named)
    assert kms.calls == 2
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob_under(client, named))


def test_a_trusted_key_that_refuses_does_not_hide_the_one_that_opens(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    disabled, right = new_key(), new_key()
    client.disable_key(KeyId=disabled)
    keyring = KmsKeyring(kms, write_key=NOBODYS, trusted=[disabled, right])
    assert keyring.unwrap(blob_under(client, right)).wrapped_by.key_arn == right


def test_a_key_that_refuses_says_more_than_keys_that_did_not_wrap_it(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    other, right = new_key(), new_key()
    blob = blob_under(client, right)
    keyring = KmsKeyring(kms, write_key=other, trusted=[right])
    client.disable_key(KeyId=right)
    with pytest.raises(KeyDisabledError, match=right):
        keyring.unwrap(blob)
    aws.add_denial(Denial("*", "kms:Decrypt", right))
    with pytest.raises(KmsAccessDeniedError, match=right):
        keyring.unwrap(blob)


def test_a_damaged_data_key_is_called_damaged_though_other_keys_did_not_wrap_it(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    other, right = new_key(), new_key()
    with pytest.raises(InvalidCiphertextError) as caught:
        KmsKeyring(kms, write_key=other, trusted=[right]).unwrap(damaged(blob_under(client, right)))
    assert caught.value.key == right


def test_a_throttled_call_is_not_taken_for_another_key(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    first, second = new_key(), new_key()
    blob = blob_under(client, second)
    aws.set_throttle(0)
    with pytest.raises(KmsThrottledError):
        KmsKeyring(kms, write_key=first, trusted=[second]).unwrap(blob)
    assert kms.calls == 1


# What KMS gives back is checked


@pytest.mark.parametrize(("spec", "length"), [("AES_128", 16)])
def test_a_data_key_of_another_length_is_refused_and_wiped(
    kms: KmsApi,
    client: Any,
    new_key: Callable[[], str],
    spec: str,
    length: int,
    made_data_keys: list[DataKey],
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    for use in (keyring.unwrap, keyring.attribute):
        with pytest.raises(KmsRequestError, match=f"data key of {length} bytes, expected 32"):
            use(blob_under(client, key, spec))
        with pytest.raises(ValueError, match="is wiped"):
            exposed(made_data_keys[-1])


@pytest.mark.parametrize("plaintext", [None, b"", bytes(31), bytes(33), bytes(4096)])
def test_a_generated_data_key_of_another_length_is_refused(
    aws: EndpointControl, new_key: Callable[[], str], plaintext: bytes | None
) -> None:
    keyring = KmsKeyring(ChangedAnswers(Plaintext=plaintext), write_key=new_key())
    with pytest.raises(KmsRequestError, match=f"{len(plaintext or b''):d} bytes"):
        keyring.generate()


@pytest.mark.parametrize("length", [None, 0, 6145])
def test_an_encrypted_data_key_of_an_impossible_length_is_refused(
    aws: EndpointControl,
    client: Any,
    new_key: Callable[[], str],
    length: int | None,
    made_data_keys: list[DataKey],
) -> None:
    key = new_key()
    keyring = KmsKeyring(
        ChangedAnswers(CiphertextBlob=None if length is None else bytes(length)), write_key=key
    )
    with pytest.raises(KmsRequestError, match="encrypted data key of"):
        keyring.generate()
    with pytest.raises(KmsRequestError, match="encrypted data key of"):
        keyring.rewrap(blob_under(client, key), key)
    assert not made_data_keys


def test_the_plaintext_is_taken_out_of_kmss_answer(aws: EndpointControl, new_key: Callable[[], str]) -> None:
    answers: list[dict[str, Any]] = []

    class Kept(KmsApi):
        def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
            answers.append(super().call(operation, region=region, **parameters))
            return answers[-1]

    keyring = KmsKeyring(Kept([REGION]), write_key=new_key())
    blob = keyring.generate().encrypted_data_key
    keyring.unwrap(blob)
    keyring.attribute(blob)
    assert len(answers) == 3
    assert not [answer for answer in answers if "Plaintext" in answer]


# Rewrap


def test_a_rewrapped_data_key_is_the_same_under_another_key(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    source, destination = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=source)
    made = keyring.generate()
    rewrapped = keyring.rewrap(made.encrypted_data_key, destination)
    assert rewrapped.encrypted_data_key != made.encrypted_data_key
    assert (rewrapped.source, rewrapped.destination.key_arn) == (made.wrapped_by, destination)
    opened = client.decrypt(CiphertextBlob=rewrapped.encrypted_data_key, KeyId=destination)
    assert opened["Plaintext"] == exposed(made.data_key)
    assert rewrapped.destination.key_material_id == opened["KeyMaterialId"]


def test_a_rewrap_across_regions_is_refused_before_it_is_sent(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    source = new_key()
    destination = NOBODYS.replace(REGION, ELSEWHERE)
    with pytest.raises(KmsRequestError, match="different Regions") as caught:
        KmsKeyring(kms, write_key=source).rewrap(blob_under(client, source), destination)
    assert "Re-encrypt" in caught.value.remedy
    assert kms.calls == 0


def test_a_rewrap_to_a_disabled_key_names_the_destination(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    source, other, destination = new_key(), new_key(), new_key()
    client.disable_key(KeyId=destination)
    with pytest.raises(KeyDisabledError) as caught:
        KmsKeyring(kms, write_key=source, trusted=[other]).rewrap(blob_under(client, source), destination)
    assert caught.value.key == destination


# Attribution


def test_attribution_asks_without_a_key_id_and_tells_key_and_material(
    aws: EndpointControl,
    kms: KmsApi,
    client: Any,
    new_key: Callable[[], str],
    recorded: Callable[[str, str], list[dict[str, Any]]],
    made_data_keys: list[DataKey],
) -> None:
    trusted, unknown = new_key(), new_key()
    old = client.generate_data_key(KeyId=unknown, KeySpec="AES_256")
    aws.rotate(unknown, datetime.now(UTC), "ON_DEMAND")
    new = client.generate_data_key(KeyId=unknown, KeySpec="AES_256")
    keyring = KmsKeyring(kms, write_key=trusted)
    for made in (old, new):
        answer = keyring.attribute(made["CiphertextBlob"])
        assert (answer.key_arn, answer.key_material_id) == (unknown, made["KeyMaterialId"])
    assert old["KeyMaterialId"] != new["KeyMaterialId"]
    assert not [request for request in recorded(unknown, "Decrypt") if "keyId" in request]
    assert len(made_data_keys) == 2
    for data_key in made_data_keys:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(data_key)
    # It is a statement about the envelope, not trust in the key.
    assert keyring.trusted == (trusted,)
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(new["CiphertextBlob"])


def test_attribution_needs_no_trusted_key(kms: KmsApi, client: Any, new_key: Callable[[], str]) -> None:
    key = new_key()
    assert KmsKeyring(kms, write_key=None).attribute(blob_under(client, key)).key_arn == key


def test_attribution_asks_the_regions_in_turn(aws: EndpointControl, sandbox: Sandbox, client: Any) -> None:
    elsewhere = KmsApi([ELSEWHERE], attempts=1)
    key = elsewhere.call("CreateKey")["KeyMetadata"]["Arn"]
    blob = elsewhere.call("GenerateDataKey", KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
    assert f":{ELSEWHERE}:" in key

    both = KmsApi([REGION, ELSEWHERE], attempts=1)
    assert KmsKeyring(both, write_key=None).attribute(blob).key_arn == key
    assert both.calls == 2
    with pytest.raises(InvalidCiphertextError, match="KEYDECK_REGIONS"):
        KmsKeyring(KmsApi([REGION], attempts=1), write_key=None).attribute(blob)


def test_attribution_of_a_disabled_key_names_it_and_of_a_damaged_blob_says_so(
    kms: KmsApi, client: Any, new_key: Callable[[], str]
) -> None:
    key = new_key()
    blob = blob_under(client, key)
    keyring = KmsKeyring(kms, write_key=None)
    with pytest.raises(InvalidCiphertextError):
        keyring.attribute(damaged(blob))
    client.disable_key(KeyId=key)
    with pytest.raises(KeyDisabledError) as caught:
        keyring.attribute(blob)
    assert caught.value.key == key


def test_an_attribution_that_names_no_key_is_refused(
    aws: EndpointControl, client: Any, new_key: Callable[[], str]
) -> None:
    keyring = KmsKeyring(ChangedAnswers(KeyId=None), write_key=None)
    with pytest.raises(KmsRequestError, match="did not say which key"):
        keyring.attribute(blob_under(client, new_key()))


# Settings


def test_without_keys_nothing_is_asked(kms: KmsApi) -> None:
    keyring = KmsKeyring(kms, write_key=None)
    with pytest.raises(SettingsError, match="TOKEN_ENCRYPTION_KEY_ID"):
        keyring.generate()
    with pytest.raises(SettingsError, match="KEYDECK_TRUSTED_KEYS"):
        keyring.unwrap(b"x")
    with pytest.raises(SettingsError, match="KEYDECK_TRUSTED_KEYS"):
        keyring.rewrap(b"x", NOBODYS)
    assert kms.calls == 0


def test_what_is_no_key_name_is_refused_before_anything_is_sent(
    kms: KmsApi, new_key: Callable[[], str]
) -> None:
    for arguments in ({"write_key": "tokens"}, {"write_key": NOBODYS, "trusted": ["not a key"]}):
        with pytest.raises(SettingsError, match="Not a KMS key"):
            KmsKeyring(kms, **arguments)  # type: ignore[arg-type]
    keyring = KmsKeyring(kms, write_key=new_key())
    for use in (keyring.generate, keyring.trusting, lambda key: keyring.rewrap(b"x", key)):
        with pytest.raises(SettingsError, match="Not a KMS key"):
            use("tokens")
    assert kms.calls == 0


def test_a_trusted_key_is_listed_once_the_write_key_first(kms: KmsApi) -> None:
    other = NOBODYS[:-1] + "1"
    assert KmsKeyring(kms, write_key=NOBODYS, trusted=[other, NOBODYS, other]).trusted == (NOBODYS, other)


def test_a_key_that_is_not_there_and_an_endpoint_that_is_not_there_are_told_apart(
    aws: EndpointControl, kms: KmsApi
) -> None:
    with pytest.raises(KeyNotFoundError):
        KmsKeyring(kms, write_key=NOBODYS).generate()
    unreachable = KmsApi([REGION], endpoint_url="http://127.0.0.1:9", attempts=1)
    with pytest.raises(KmsUnreachableError) as caught:
        KmsKeyring(unreachable, write_key=NOBODYS).generate()
    assert isinstance(caught.value, KmsError)
