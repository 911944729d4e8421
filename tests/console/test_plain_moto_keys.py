"""Changes of keys over a plain moto server: what moto can't do or tell ends in a clear word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from console.container import Container
from crypto_core.keys.changes import service
from tests.plain_moto import plain_moto

pytestmark = pytest.mark.deep

PLATFORM = "arn:aws:iam::123456789012:role/keydeck-platform"
Keydeck = Callable[..., Any]


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with plain_moto() as url:
        yield url


@pytest.fixture
def plain(services: Container, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a plain moto server, which the command's AWS settings point at."""
    monkeypatch.setattr(service.KeyChangeService.__init__, "__kwdefaults__", {"patience": ()})
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    kms = boto3.client("kms")
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", kms.create_key()["KeyMetadata"]["Arn"])
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    return kms


def test_every_change_works_on_plain_moto_or_says_why_not(
    plain: Any, keydeck: Keydeck, tmp_path: Path
) -> None:
    kms = plain

    def ran(*arguments: str, code: int = 0) -> tuple[dict[str, str], Any]:
        told = keydeck("keys", *arguments, "--yes", "--json")
        assert told.exit_code == code, told
        return {f["name"]: f["after"] for f in told.json["facts"]}, told.json

    facts, made = ran("create", "--alias", "plain", "--platform", PLATFORM, "--multi-region")
    assert (facts["state"], facts["alias/plain"]) == ("Enabled", "the new key")
    key = made["key_arn"]
    assert ran("alias", "plain", key)[1]["done"] == []
    other = kms.create_key()["KeyMetadata"]["Arn"]
    assert ran("alias", "plain", other)[0]["alias/plain"] == other
    assert ran("alias", "again", key)[0]["alias/again"] == key

    # moto keeps no period.
    facts, told = ran("enable-rotation", key, "--period", "180", code=1)
    assert (told["verified"], told["done"]) == (False, ["kms:EnableKeyRotation"])
    assert "on, but KMS does not report its period instead of every 180 days" in told["unverified"]
    assert ran("disable-rotation", key)[0]["automatic rotation"] == "off"

    # moto has one material for ever, but counts.
    facts, told = ran("rotate", key)
    assert (facts["rotations on demand"], facts["current key material"]) == ("1 of 25", "not told")

    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"][0]["Sid"] = "Renamed"
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    assert ran("put-policy", key, str(file))[1]["verified"]
    for verb in ("revoke-grant", "retire-grant"):
        grant = kms.create_grant(KeyId=key, GranteePrincipal=PLATFORM, Operations=["Decrypt"])["GrantId"]
        assert ran(verb, key, grant)[0]["grant"] == "gone"
    assert ran("replicate", key, "eu-central-1")[0]["replica in eu-central-1"] == "Enabled"

    # The tokens of this database are under keys of another endpoint: they may be under this one.
    refused = keydeck("keys", "disable", other, "--yes")
    assert refused.exit_code == 2
    assert "there are tokens under the key" in refused.stderr
    tokens = keydeck("keys", "disable", other, "--dry-run", "--json").json["confirmation"]
    assert ran("disable", other, "--lose-tokens", tokens)[0]["state"] == "Disabled"
    assert ran("enable", other)[0]["state"] == "Enabled"
    facts, _ = ran("schedule-deletion", other, "--days", "8", "--lose-tokens", tokens)
    assert facts["state"] == "PendingDeletion"
    assert ran("cancel-deletion", other)[0] == {"state": "Disabled", "deleted on": "no"}

    # moto takes a denial for one of everybody, whatever its condition.
    _, told = ran("block", other, f"{PLATFORM}-2", code=1)
    assert "Access denied" in told["unverified"]


def test_what_plain_moto_answers_with_an_error_is_a_clear_word(plain: Any, keydeck: Keydeck) -> None:
    missing = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"
    told = keydeck("keys", "rotate", missing, "--yes")
    assert told.exit_code == 3
    assert "does not exist in this account and Region" in told.stderr
    assert keydeck("journal", "verify").exit_code == 0
