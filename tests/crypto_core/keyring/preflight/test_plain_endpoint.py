"""Preflight: an endpoint that knows no DryRun, as a platform's own tests may run it, answers for real."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from crypto_core.keyring.preflight import Permission, Preflight
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.keyring.preflight.scene import DECRYPT, FROM, GENERATE, TO, Overheard, verdicts
from tests.plain_moto import plain_moto


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with plain_moto() as url:
        yield url


@pytest.fixture
def moto(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Overheard:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return Overheard(endpoint_url=moto_url)


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
