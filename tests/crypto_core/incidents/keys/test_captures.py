"""Evidence about keys: whole, bounded, and without any token or control character."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from crypto_core.incidents.keys.captures import _untold
from crypto_core.incidents.keys.evidence_json import MOST_ITEMS, kept
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind
from crypto_core.keys.state import KeyState
from crypto_core.values.clean_text import json_escaped
from tests.crypto_core.incidents.keys.conftest import PLATFORM, SUSPECT, Scene

HOSTILE = "[/red]\x1b]52;c;eA==\x07\u202e" + "x" * 5_000


@pytest.mark.deep
def test_no_piece_holds_a_token_or_acts_on_a_terminal(scene: Scene, platform: Engine) -> None:
    kms = scene.stage.kms
    scene.stage.connect(scene.key, 2)
    scene.stage.connect_in_plaintext(2)
    kms.update_key_description(KeyId=scene.key, Description=HOSTILE)
    kms.tag_resource(KeyId=scene.key, Tags=[{"TagKey": "[/red]", "TagValue": "\u202e[bold]OK[/]"}])
    kms.create_grant(KeyId=scene.key, GranteePrincipal=SUSPECT, Operations=["Decrypt"], Name="[/red]\x1b[2J")
    statements = scene.policy()["Statement"]
    statements[2]["Sid"] = "\u202e\x1b[/red]"
    scene.stage.put_policy(scene.key, *statements)
    moment = datetime.now(UTC) - timedelta(minutes=30)
    scene.sandbox.control.history(
        [PastCall(moment, access_keys.INTRUDER, "Decrypt", scene.key, user_agent=HOSTILE[:300])]
    )
    scene.values["new_key"] = scene.stage.key()
    with platform.connect() as connection:
        values = list(connection.execute(text("SELECT bot_token FROM slack_connection")).scalars())
    scene.pull()
    pieces = [piece for kind in scene.tools.captures for piece in scene.capture(kind)]
    scene.do(ActionKind.REENCRYPT)
    scene.do(ActionKind.ENCRYPT_UNPROTECTED)
    pieces += [piece for kind in scene.tools.captures for piece in scene.capture(kind)]
    assert {piece.kind for piece in pieces} == set(scene.tools.captures)
    with platform.connect() as connection:
        values += connection.execute(text("SELECT bot_token FROM slack_connection")).scalars()
    assert len(values) == 8
    for piece in pieces:
        written = json.dumps(dict(piece.content), ensure_ascii=False)
        assert not [v for v in values if v in written or v[:40] in written]
        assert "xoxb-" not in written
        shown = piece.title + written
        assert not [c for c in shown if not c.isprintable()], piece.kind
        assert len(written) < 1_000_000
        assert piece.content["incident"] == "INC-7"


def test_a_policy_is_kept_with_the_hash_of_what_kms_gave(scene: Scene) -> None:
    given = scene.stage.kms.get_key_policy(KeyId=scene.key, PolicyName="default")["Policy"]
    (piece,) = scene.capture(CaptureKind.POLICY)
    assert piece.content["sha256"] == hashlib.sha256(given.encode()).hexdigest()
    assert piece.content["as_kms_gave_it"] is (len(given) <= 1_500)
    assert json.loads("".join(piece.content["text"])) == json.loads(given)
    assert any("user/build-bot may Decrypt" in line for line in piece.content["says"])
    hostile = '{"a": "\u202e\x1b\U000e0041"}'
    assert json.loads(json_escaped(hostile).replace("\\u001b", "?")) == {"a": "\u202e?\U000e0041"}
    assert json_escaped(hostile).isprintable()
    assert json_escaped('{"a": "\u00a0\ue000"}') == '{"a": "\u00a0\ue000"}'


def test_a_use_that_is_tracked_too_late_or_reported_late_is_not_known() -> None:
    began, hour = datetime(2031, 1, 1, 10, tzinfo=UTC), timedelta(hours=1)
    for tracked, why in ((None, "not report"), (began + hour, "not report"), (began - hour, "with a delay")):
        assert why in str(_untold(KeyState("", "", use_tracked_since=tracked), began))
    assert _untold(KeyState("", "", last_used_at=began + hour, last_used_for="Decrypt"), began) is None


@pytest.mark.deep
def test_who_used_the_key_is_told_with_what_is_covered(scene: Scene) -> None:
    scene.stage.platform_kms().generate_data_key(KeyId=scene.key, KeySpec="AES_256")
    (before,) = scene.capture(CaptureKind.KEY_USE)
    assert before.content["coverage"]["complete"] is False
    scene.pull()
    (piece,) = scene.capture(CaptureKind.KEY_USE)
    rows = piece.content["by_principal_and_operation"]["rows"]
    assert any(r["principal"] == PLATFORM and r["operation"] == "GenerateDataKey" for r in rows)
    assert piece.content["last_use"][0]["last_used_for"] == "GenerateDataKey"
    (findings,) = scene.capture(CaptureKind.FINDINGS)
    assert findings.content["key_arn"] == scene.key
    assert findings.content["suspects"] == []
    scene.principal = SUSPECT
    (findings,) = scene.capture(CaptureKind.FINDINGS)
    assert [one["principal"] for one in findings.content["suspects"]] == [SUSPECT]
    assert set(findings.content["coverage"]) == {"complete", "reasons"}


@pytest.mark.deep
def test_the_census_counts_both_keys_and_a_job_has_its_censuses(scene: Scene) -> None:
    scene.stage.connect(scene.key, 2)
    scene.values["new_key"] = scene.stage.key()
    (census,) = scene.capture(CaptureKind.CENSUS)
    assert (census.content["under_old_key"], census.content["under_new_key"]) == (2, 0)
    proof = census.content["proof"]
    assert (proof["complete"], proof["gaps"]) == (True, [])
    assert proof["asked"] >= proof["groups"] > 0
    assert {a["key_arn"]: a["tokens"] for a in proof["answers"]}[scene.key] == 2
    assert scene.capture(CaptureKind.JOB) == ()
    scene.do(ActionKind.REENCRYPT)
    (job,) = scene.capture(CaptureKind.JOB)
    assert (job.content["state"], job.content["done"], job.content["unwritten"]) == ("done", 2, [])
    assert job.content["census_before"]["tokens"] == job.content["census_after"]["tokens"] == 2


def test_a_key_that_can_not_be_asked_is_evidence_too(scene: Scene, fail: Callable[[str, str], None]) -> None:
    fail("DescribeKey", "KMSInternalException")
    (piece,) = scene.capture(CaptureKind.KEY)
    assert piece.content["key_arn"] == scene.key
    assert piece.content["not_known"]


def test_what_is_left_out_is_said() -> None:
    content = kept({"a": list(range(MOST_ITEMS + 2)), "b\x1b": {"c": HOSTILE, "at": datetime.now(UTC)}})
    assert content["left_out"] == ["a: 2 of 1,002 entries"]
    json.dumps(content)
    assert len(content["b"]["c"]) == 2_000
    deep: dict[str, object] = {}
    for _ in range(50):
        deep = {"d": deep}
    assert "nested too deeply" in kept(deep)["left_out"][0]
