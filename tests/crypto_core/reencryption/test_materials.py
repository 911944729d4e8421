"""Rotation by KMS: how many tokens are on which key material, and that those on earlier ones still open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.state.installation import install
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.envelope import EnvelopeV1, serialise
from crypto_core.lists.coverage import Evidence
from crypto_core.reencryption.materials import KeyMaterials
from crypto_core.values.errors import InterruptedRunError, KeyNotFoundError
from crypto_core.values.secret import DataKey, Secret
from tests.console.command_types import NewKey

MISSING = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def key(new_key: NewKey) -> str:
    return new_key()


@pytest.fixture
def seal(sandbox: Sandbox, platform: Engine, environment: dict[str, str]) -> Iterator[Callable[..., None]]:
    """Write tokens of two columns under a key's current material; there are no others."""
    del environment
    kms = sandbox.client("kms")
    with platform.begin() as connection:
        for table in PLATFORM_TABLES:
            connection.execute(text(f"TRUNCATE {table.name}"))

    def write(key: str, number: int, *, damaged: bool = False) -> None:
        with platform.begin() as connection:
            for n in range(number):
                answer = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
                data_key = bytes(32) if damaged else answer["Plaintext"]
                sealed = EnvelopeV1.seal(
                    Secret.of("xoxb-of-a-test"), DataKey(data_key), answer["CiphertextBlob"]
                )
                table, column, named = [
                    ("slack_connection", "bot_token", "team_id"),
                    ("confluence_connection", "access_token", "base_url"),
                ][n % 2]
                extra, values = (", email", ", 'e'") if table == "confluence_connection" else ("", "")
                connection.execute(
                    text(
                        f"INSERT INTO {table} (org_id, {named}, {column}, created_at, updated_at{extra})"
                        f" VALUES ('o', 't', :token, now(), now(){values})"
                    ),
                    {"token": serialise(sealed)},
                )

    yield write
    sandbox.control.clear()


def examine(key: str, *, verify: int = 0, trust: bool = True, cancelled: Event | None = None) -> KeyMaterials:
    services: Container = Container(load().settings, trust=(key,) if trust else ())
    install(services.engine)
    try:
        return services.services.materials.examine_materials(key, verify=verify, cancelled=cancelled)
    finally:
        services.close()


@pytest.mark.deep
def test_tokens_stay_on_their_material_through_rotations_and_still_open(
    sandbox: Sandbox, key: str, seal: Callable[..., None]
) -> None:
    kms = sandbox.client("kms")
    seal(key, 3)
    kms.rotate_key_on_demand(KeyId=key)
    seal(key, 2)
    found = examine(key)
    assert [(m.number, m.tokens, m.evidence) for m in found.materials] == [
        (1, 3, Evidence.INFERRED),
        (2, 2, Evidence.INFERRED),
    ]
    first, second = (m.material for m in found.materials)
    assert first is not None
    assert second is not None
    assert (first.state, first.rotation) == ("NON_CURRENT", None)
    assert (second.state, second.rotation) == ("CURRENT", "ON_DEMAND")
    assert all(m.tried == () for m in found.materials)
    opened = examine(key, verify=10)
    assert [(m.opened, len(m.tried), m.evidence) for m in opened.materials] == [
        (3, 3, Evidence.VERIFIED),
        (2, 2, Evidence.VERIFIED),
    ]
    assert opened.failed == ()
    assert opened.coverage.complete


@pytest.mark.deep
def test_a_material_without_tokens_is_listed(sandbox: Sandbox, key: str, seal: Callable[..., None]) -> None:
    seal(key, 1)
    sandbox.client("kms").rotate_key_on_demand(KeyId=key)
    found = examine(key, verify=5)
    assert [(m.number, m.tokens, m.evidence, len(m.tried)) for m in found.materials] == [
        (1, 1, Evidence.VERIFIED, 1),
        (2, 0, None, 0),
    ]


@pytest.mark.deep
def test_at_most_so_many_are_opened_and_of_every_column_some(key: str, seal: Callable[..., None]) -> None:
    seal(key, 8)
    (material,) = examine(key, verify=3).materials
    assert (material.tokens, len(material.tried), material.opened) == (8, 3, 3)
    assert {v.ref.table for v in material.tried} == {"slack_connection", "confluence_connection"}
    assert (material.evidence, material.asked) == (Evidence.INFERRED, 3)


def test_a_token_that_does_not_open_is_named(key: str, seal: Callable[..., None]) -> None:
    seal(key, 2)
    seal(key, 1, damaged=True)
    found = examine(key, verify=10)
    (failed,) = found.failed
    assert str(failed.ref).startswith("slack_connection.bot_token:")
    assert "authentication tag" in failed.reason
    assert found.materials[0].opened == 2
    document = found.as_json()
    assert [f["reference"] for f in document["materials"][0]["failed"]] == [str(failed.ref)]
    assert (document["materials"][0]["tried"], document["materials"][0]["opened"]) == (3, 2)
    assert "xoxb" not in str(document)


@pytest.mark.deep
def test_a_disabled_key_opens_nothing_and_says_so(
    sandbox: Sandbox, key: str, seal: Callable[..., None]
) -> None:
    seal(key, 2)
    examine(key)  # the answer is remembered
    sandbox.client("kms").disable_key(KeyId=key)
    found = examine(key, verify=2)
    assert len(found.failed) == 2
    assert "disabled" in found.failed[0].reason


def test_a_missing_permission_is_told_beside_what_is_known(
    sandbox: Sandbox, key: str, seal: Callable[..., None]
) -> None:
    seal(key, 2)
    sandbox.control.add_denial(Denial("*", "kms:ListKeyRotations"))
    found = examine(key)
    (material,) = found.materials
    assert (material.number, material.tokens, material.material) == (None, 2, None)
    assert any("kms:ListKeyRotations is not allowed" in gap for gap in found.coverage.reasons)


@pytest.mark.deep
def test_tokens_under_other_keys_do_not_count(key: str, new_key: NewKey, seal: Callable[..., None]) -> None:
    seal(key, 2)
    other = new_key()
    seal(other, 3)
    (material,) = examine(other, verify=10).materials
    assert (material.tokens, len(material.tried)) == (3, 3)


def test_it_ends_when_it_is_told_to(key: str, seal: Callable[..., None]) -> None:
    seal(key, 1)
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        examine(key, verify=1, cancelled=cancelled)


def test_a_key_that_is_not_there_is_an_error(environment: dict[str, str]) -> None:
    with pytest.raises(KeyNotFoundError):
        examine(MISSING)
