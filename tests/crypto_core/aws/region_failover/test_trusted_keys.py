"""Routes: a silent Region does not hide a trusted key that is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import IncorrectKeyError, KmsUnreachableError
from tests.crypto_core.aws.region_failover.scene import AWAY, HOME, Outage, replica, wrapped


@pytest.fixture
def away_key(kms: Outage) -> str:
    """A single-Region key of the Region that is not the home."""
    return str(kms.call("CreateKey", region=AWAY)["KeyMetadata"]["Arn"])


def test_a_region_that_does_not_answer_does_not_hide_a_trusted_key_elsewhere(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    blob = kms.call("GenerateDataKey", region=AWAY, KeyId=away_key, KeySpec="AES_256")["CiphertextBlob"]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[new_key(), away_key])
    kms.asked.clear()
    kms.down = {HOME}
    assert keyring.unwrap(blob).wrapped_by.key_arn == away_key
    assert kms.asked_since() == [HOME, AWAY], "the second key of a silent Region is not waited for"
    assert keyring.unwrap(blob).wrapped_by.key_arn == away_key
    assert kms.asked_since() == [AWAY]


def test_where_no_trusted_key_opens_it_the_silent_region_is_the_reason(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    key = new_key()
    blob = wrapped(client, key)
    keyring = KmsKeyring(kms, write_key=key, trusted=[away_key])
    kms.down = {HOME}
    for _ in range(2):
        with pytest.raises(KmsUnreachableError) as caught:
            keyring.unwrap(blob)
        assert caught.value.key == key
        with pytest.raises(KmsUnreachableError):
            keyring.rewrap(blob, key)
    kms.down = set()
    assert keyring.unwrap(blob).wrapped_by.key_arn == key


def test_other_tokens_do_not_wait_for_a_region_that_was_silent_a_moment_ago(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    blobs = [
        kms.call("GenerateDataKey", region=AWAY, KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
        for key in (away_key, away_key)
    ]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[away_key])
    kms.down = {HOME}
    keyring.unwrap(blobs[0])
    keyring._likely.clear()
    kms.asked.clear()
    keyring.unwrap(blobs[1])
    assert kms.asked_since() == [AWAY]


def test_a_rewrap_goes_past_a_silent_region_to_the_key_that_wrapped_it(
    kms: Outage, new_key: Callable[[], str], away_key: str
) -> None:
    target = str(kms.call("CreateKey", region=AWAY)["KeyMetadata"]["Arn"])
    blob = kms.call("GenerateDataKey", region=AWAY, KeyId=away_key, KeySpec="AES_256")["CiphertextBlob"]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[away_key])
    kms.asked.clear()
    kms.down = {HOME}
    # A bare id does not say in which Region it is.
    name = target.rpartition("/")[2]
    rewrapped = keyring.rewrap(blob, name)
    assert (rewrapped.source.key_arn, rewrapped.destination.key_arn) == (away_key, target)
    assert kms.asked_since() == [HOME, AWAY]


def test_the_key_that_an_envelope_names_is_the_only_one_asked_though_it_is_silent(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key, trusted=[away_key])
    blob = wrapped(client, key)
    kms.asked.clear()
    kms.down = {HOME}
    with pytest.raises(KmsUnreachableError):
        keyring.unwrap(blob, named=key)
    assert kms.asked_since() == [HOME]


def test_past_a_silent_region_an_untrusted_key_still_does_not_open_anything(
    kms: Outage, client: Any, new_key: Callable[[], str], away_key: str
) -> None:
    foreign = str(kms.call("CreateKey", region=AWAY)["KeyMetadata"]["Arn"])
    blob = kms.call("GenerateDataKey", region=AWAY, KeyId=foreign, KeySpec="AES_256")["CiphertextBlob"]
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[away_key])
    kms.down = {HOME}
    with pytest.raises(KmsUnreachableError):
        keyring.unwrap(blob)
    kms.down = set()
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(blob)


@pytest.mark.parametrize("bare", [False, True])
def test_a_multi_region_key_is_asked_about_elsewhere_after_another_key_was_silent(
    kms: Outage, client: Any, new_key: Callable[[], str], new_mrk: Callable[..., str], bare: bool
) -> None:
    key = new_mrk(AWAY)
    keyring = KmsKeyring(kms, write_key=new_key(), trusted=[key.rpartition("/")[2] if bare else key])
    blob = wrapped(client, key)
    kms.down = {HOME}
    assert keyring.unwrap(blob).wrapped_by.key_arn == replica(key)
