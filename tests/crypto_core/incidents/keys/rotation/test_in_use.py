"""Whether the platform is seen to use the new key: what counts, what does not, and what is not known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from crypto_core.incidents.keys.rotation import look
from crypto_core.incidents.keys.rotation.guide import GuideStepState
from crypto_core.reencryption.plan import Selection, Verb
from tests.crypto_core.incidents.keys.rotation.conftest import Stage, at, told

IN_USE = "in-use"


@pytest.fixture
def new(stage: Stage) -> str:
    key = stage.key()
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=key, KEYDECK_TRUSTED_KEYS=stage.old)
    return key


def test_a_use_by_somebody_is_told_but_is_no_proof(stage: Stage, new: str) -> None:
    stage.platform_kms().generate_data_key(KeyId=new, KeySpec="AES_256")
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.NOW
    assert any("New key: last used" in e and "for GenerateDataKey" in e for e in step.verdict.evidence)
    assert "KMS does not say by whom" in told(step)


@pytest.mark.quick(1)
@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
def test_what_keydeck_wrote_is_no_use_of_the_platforms(stage: Stage, new: str, verb: Verb) -> None:
    stage.connect(stage.old, 2)  # after the new key was made, under the old one
    assert stage.write(verb, Selection(under_key=stage.old), new) == 2
    step = stage.step(IN_USE, new)
    assert "Census: 2 tokens under the new key" in step.verdict.evidence
    assert step.state is GuideStepState.NOW
    assert "but for what Keydeck wrote itself" in told(step)
    stage.connect(new)
    assert stage.step(IN_USE, new).state is GuideStepState.DONE


@pytest.mark.deep
def test_what_keydeck_encrypted_in_place_is_no_use_of_the_platforms(stage: Stage, new: str) -> None:
    stage.connect_in_plaintext(2)  # the platform stores it so
    assert stage.write(Verb.ENCRYPT, Selection(unprotected=True), new) == 2
    step = stage.step(IN_USE, new)
    assert "Census: 2 tokens under the new key" in step.verdict.evidence
    assert step.state is GuideStepState.NOW
    stage.connect(new)
    assert stage.step(IN_USE, new).state is GuideStepState.DONE


@pytest.mark.parametrize("table", ["envelope_backup", "journal"])
def test_who_wrote_a_token_is_not_known_without_the_grant(
    stage: Stage, new: str, superuser: Engine, table: str
) -> None:
    stage.connect(new)
    with superuser.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE keydeck.{table} OWNER TO postgres")
        connection.exec_driver_sql(f"REVOKE ALL ON keydeck.{table} FROM operator")
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.UNKNOWN
    assert "Not known who wrote what is under the new key" in told(step)
    assert table in told(step)


def test_connections_older_than_the_key_say_nothing(stage: Stage, new: str) -> None:
    stage.connect(new, at=datetime.now(UTC) - timedelta(days=30))
    step = stage.step(IN_USE, new)
    assert "Census: 1 token under the new key" in step.verdict.evidence
    assert step.state is GuideStepState.NOW


def test_a_connection_under_the_old_key_afterwards_shows_an_instance_left_behind(
    stage: Stage, new: str
) -> None:
    stage.connect(new, at=at(10))
    stage.connect(stage.old, at=at(11))
    stage.connect(new, at=at(12))
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.NOW
    assert "1 token of connections made since are under the old key" in told(step)
    assert "restart it" in told(step)


def test_connections_under_the_old_key_before_the_switch_do_not_count(stage: Stage, new: str) -> None:
    stage.connect(stage.old, 3)
    stage.connect(new)
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.DONE
    assert "is not known from KMS: KMS reports use with a delay" in told(step)


def test_a_data_key_made_under_the_old_key_afterwards_is_seen(stage: Stage, new: str) -> None:
    stage.connect(new)
    stage.platform_kms().generate_data_key(KeyId=stage.old, KeySpec="AES_256")
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.NOW
    assert "GenerateDataKey under the old key at" in told(step)
    assert "it is still used to seal" in told(step)


def test_a_later_use_of_the_old_key_hides_what_came_before_and_that_is_said(stage: Stage, new: str) -> None:
    stage.connect(new)
    kms = stage.platform_kms()
    blob = kms.generate_data_key(KeyId=stage.old, KeySpec="AES_256")["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob)
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.DONE
    assert "CloudTrail has them all" in told(step)


@pytest.mark.deep
def test_a_rollout_that_ended_later_counts_from_then(stage: Stage, new: str) -> None:
    stage.connect(new, at=at(10))
    stage.connect(stage.old, at=at(11))
    assert stage.step(IN_USE, new).state is GuideStepState.NOW
    step = stage.step(IN_USE, new, since=at(12))
    assert step.state is GuideStepState.NOW  # nothing yet since then
    assert "(since 2031-01-01 12:00:00 UTC)" in told(step)
    stage.connect(new, at=at(13))
    assert stage.step(IN_USE, new, since=at(12)).state is GuideStepState.DONE
    stage.connect(stage.old, at=at(14))
    assert stage.step(IN_USE, new, since=at(12)).state is GuideStepState.NOW


@pytest.mark.deep
def test_what_many_new_connections_have_left_behind_counts_no_more(
    stage: Stage, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "NEWEST", 2)
    stage.connect(new, at=at(10))
    stage.connect(stage.old, at=at(11))
    stage.connect(new, at=at(12))
    assert stage.step(IN_USE, new).state is GuideStepState.NOW
    stage.connect(new, at=at(13))
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.DONE
    assert any(
        e.startswith("2 connections made under the new key since 2031-01-01 12:00")
        for e in step.verdict.evidence
    )


@pytest.mark.parametrize("how", ["denied", "not answered"])
def test_a_last_use_that_is_not_told_is_never_taken_as_none(
    stage: Stage, new: str, how: str, deny: Callable[..., None], fail: Callable[[str, str], None]
) -> None:
    stage.connect(new)
    assert stage.step(IN_USE, new).state is GuideStepState.DONE
    if how == "denied":
        deny("kms:GetKeyLastUsage")
    else:
        fail("GetKeyLastUsage", "KMSInternalException")
    guide = stage.look(new)
    step = guide.step(IN_USE)
    assert step.state is GuideStepState.UNKNOWN
    assert f"Not known: last use of {stage.old}" in told(step)
    assert how != "denied" or "kms:GetKeyLastUsage is not allowed" in told(step)
    assert not guide.in_use
    assert not guide.complete


def test_the_new_keys_last_use_need_not_be_told_where_tokens_prove_it(
    stage: Stage, new: str, deny: Callable[..., None]
) -> None:
    stage.connect(new)
    deny("kms:GetKeyLastUsage", resource=new)
    step = stage.step(IN_USE, new)
    assert step.state is GuideStepState.DONE
    assert "New key: last use is not known: kms:GetKeyLastUsage is not allowed" in step.verdict.evidence


def test_a_use_that_is_tracked_too_late_is_not_known(stage: Stage, new: str) -> None:
    stage.connect(new)
    stage._sandbox.control.set_usage_tracking(at(1))
    try:
        step = stage.step(IN_USE, new)
    finally:
        stage._sandbox.control.set_usage_tracking(datetime.now(UTC) - timedelta(days=90))
    assert step.state is GuideStepState.UNKNOWN
    assert "KMS does not report the last use" in told(step)


def test_an_old_keys_replica_is_looked_at_too(stage: Stage) -> None:
    old = stage.key(MultiRegion=True)
    stage.kms.replicate_key(KeyId=old.rpartition("/")[2], ReplicaRegion="eu-central-1")
    new = stage.key()
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new, KEYDECK_TRUSTED_KEYS=old)
    stage.connect(new)
    assert stage.step(IN_USE, new, old=old).state is GuideStepState.DONE
    replica = old.replace("eu-west-1", "eu-central-1")
    stage.platform_kms("eu-central-1").generate_data_key(KeyId=replica, KeySpec="AES_256")
    step = stage.step(IN_USE, new, old=old)
    assert step.state is GuideStepState.NOW
    assert any(e.startswith("Old key in eu-central-1: last used") for e in step.verdict.evidence)


def test_a_replica_that_may_not_be_looked_at_is_not_known(stage: Stage, deny: Callable[..., None]) -> None:
    old = stage.key(MultiRegion=True)
    stage.kms.replicate_key(KeyId=old.rpartition("/")[2], ReplicaRegion="eu-central-1")
    new = stage.key()
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new, KEYDECK_TRUSTED_KEYS=old)
    stage.connect(new)
    deny("kms:DescribeKey", resource=old.replace("eu-west-1", "eu-central-1"))
    assert stage.step(IN_USE, new, old=old).state is GuideStepState.UNKNOWN


def test_a_dead_database_leaves_keys_to_be_looked_at(stage: Stage, new: str) -> None:
    stage.connect(new)
    stage.configure(DATABASE_URL="postgresql://nobody:x@127.0.0.1:9/none")
    guide = stage.look(new)
    assert guide.outside
    assert guide.tokens is None
    assert guide.step("new-key").state is GuideStepState.DONE
    assert guide.step(IN_USE).state is GuideStepState.UNKNOWN
    assert "Not known what was written" in told(guide.step(IN_USE))
    assert guide.step("old-key").state is not GuideStepState.DONE
    assert not guide.complete


def test_it_sees_the_same_without_keydecks_schema(stage: Stage, new: str, superuser: Engine) -> None:
    stage.connect(new)
    with superuser.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA keydeck CASCADE")
    guide = stage.look(new)
    assert guide.step(IN_USE).state is GuideStepState.DONE
    assert "Keydeck keeps no replaced envelope under it" in guide.step("old-key").verdict.evidence
