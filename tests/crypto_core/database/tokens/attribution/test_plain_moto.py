"""Attribution: plain moto's envelopes, which tell no key material."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import pytest
from sqlalchemy import Engine

from console.container import Container
from crypto_core import encrypt_token
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import edk_prefix, parse
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.paging import Query
from tests.crypto_core.database.tokens.attribution.scene import only
from tests.plain_moto import plain_moto
from tests.platform_rows import connect_github


@pytest.fixture
def moto(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """AWS as plain moto, whose ciphertexts have no header; gives a key's ARN, under which is written."""
    with plain_moto() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        kms = boto3.client("kms", endpoint_url=url, region_name="eu-west-1")
        key = str(kms.create_key()["KeyMetadata"]["Arn"])
        monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
        monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
        yield key


@pytest.mark.deep
def test_plain_motos_envelopes_are_attributed_one_by_one_without_a_material(
    services: Container, moto: str, platform: Engine, fresh: Callable[..., Container]
) -> None:
    only(platform)
    for number in range(5):
        stored = encrypt_token(f"gho_{number}")
        assert edk_prefix(parse(stored).encrypted_data_key) is None
        connect_github(platform, f"gh-{number}", stored)
    container = fresh()
    status = container.services.status.take_census()
    (share,) = status.keys
    assert (share.key_arn, share.key_material_id, share.tokens, share.evidence) == (
        moto,
        None,
        5,
        Evidence.VERIFIED,
    )
    assert status.coverage.complete
    asked = container.kms.calls
    assert container.services.status.take_census().keys == status.keys
    assert container.store.count(TokenScope(key_arns=frozenset({moto}), edk_prefixes=())) == {
        "gh_connection.access_token": 5
    }
    assert container.kms.calls - asked < 5
    rows = container.services.inventory.page(Query(f"key:{moto}")).rows
    assert len(rows) == 5
