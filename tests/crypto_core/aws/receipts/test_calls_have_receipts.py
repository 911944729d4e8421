"""Every call that brings a data key has one receipt, with CloudTrail's request id and its token."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import EndpointControl
from console.sandbox.endpoint.scenario import Fault
from console.sandbox.world import World
from console.settings import load
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.receipts.recorder import ReceiptRecorder
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import CacheLimits, DataKeyCache
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.platform import environment
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import IncorrectKeyError, KmsUnreachableError
from crypto_core.values.references import TokenRef
from tests.console.command_types import NewKey
from tests.crypto_core.aws.receipts.conftest import Kept

TOKEN = "github_pat_11ABCDEFG0abcdefghij_KLMNOPQRST"
REF = TokenRef("gh_connection", "access_token", "gh-1")

Records = Callable[[str], dict[str, dict[str, Any]]]


def told(kept: Kept) -> list[tuple[str, str | None, str | None]]:
    return [(r.operation, r.token, r.stored_sha256) for r in kept.receipts]


def digest(stored: str) -> str:
    return sha256(stored.encode()).hexdigest()


def test_without_a_row_a_receipt_has_the_digest_of_what_is_stored(
    kms: KmsApi, new_key: NewKey, kept: Kept, recorder: ReceiptRecorder, records: Records
) -> None:
    old, new = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=old, trusted=[new]), receipts=recorder)
    sealed = cipher.encrypt(TOKEN).stored
    assert cipher.decrypt(sealed).reveal() == TOKEN
    moved = cipher.rewrap(sealed, new).stored
    anew = cipher.reencrypt(moved, new, ask_kms=True).stored
    assert recorder.flush(10)
    expected = {
        sealed: ["GenerateDataKey", "Decrypt", "Decrypt", "ReEncrypt"],
        moved: ["Decrypt", "Decrypt"],
        anew: ["GenerateDataKey", "Decrypt"],
    }
    assert sorted(map(str, told(kept))) == sorted(
        str((operation, None, digest(stored))) for stored, calls in expected.items() for operation in calls
    )
    recorded = records(old) | records(new)
    assert {r.request_id: r.operation for r in kept.receipts} == {
        request_id: record["eventName"] for request_id, record in recorded.items()
    }
    assert {r.process.service for r in kept.receipts} == {"tests"}


def test_with_a_row_it_has_the_reference_and_a_refused_call_has_none(
    kms: KmsApi, new_key: NewKey, kept: Kept, recorder: ReceiptRecorder, records: Records
) -> None:
    own, other = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=own), write_format=Format.V2, receipts=recorder)
    sealed = cipher.encrypt(TOKEN, ref=REF).stored
    cipher.decrypt(sealed, ref=REF).wipe()
    v1 = TokenCipher(KmsKeyring(kms, write_key=own)).encrypt(TOKEN).stored
    with pytest.raises(IncorrectKeyError):
        TokenCipher(KmsKeyring(kms, write_key=other), receipts=recorder).decrypt(v1, ref=REF)
    assert recorder.flush(10)
    assert told(kept) == [("GenerateDataKey", str(REF), None), ("Decrypt", str(REF), None)]
    assert records(other) == {}


def test_a_data_key_that_is_kept_needs_no_call_and_has_no_receipt(
    kms: KmsApi, new_key: NewKey, kept: Kept, recorder: ReceiptRecorder
) -> None:
    cache = DataKeyCache(CacheLimits())
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key(), cache=cache), receipts=recorder)
    sealed = cipher.encrypt(TOKEN).stored
    for _ in range(3):
        cipher.decrypt(sealed).wipe()
    assert recorder.flush(10)
    assert [r.operation for r in kept.receipts] == ["GenerateDataKey", "Decrypt"]


def test_an_attempt_whose_answer_was_lost_is_told_without_an_id(
    aws: EndpointControl, new_key: NewKey, kept: Kept, recorder: ReceiptRecorder, records: Records
) -> None:
    key = new_key()
    patient = KmsApi(attempts=2, read_timeout=0.5)
    cipher = TokenCipher(KmsKeyring(patient, write_key=key), receipts=recorder)
    sealed = cipher.encrypt(TOKEN).stored
    aws.add_fault(Fault("Decrypt", "hang", count=1))
    cipher.decrypt(sealed).wipe()
    aws.add_fault(Fault("Decrypt", "hang", count=2))
    with pytest.raises(KmsUnreachableError):
        cipher.decrypt(sealed)
    assert recorder.flush(10)
    assert [(r.operation, bool(r.request_id), r.unanswered) for r in kept.receipts] == [
        ("GenerateDataKey", True, 0),
        ("Decrypt", True, 1),
        ("Decrypt", False, 2),
    ]


def test_jobs_probes_and_verification_have_receipts_in_the_table(
    environment: dict[str, str],
    services: Container,
    world: World,
    superuser: Engine,
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEYDECK_RECEIPTS", "table")
    recording = Container(load().settings)
    refs = world.sealed_under(world.old_key)[:5]
    keys = [key.arn for key in (world.old_key, world.current_key)]
    before = {key: set(records(key)) for key in keys}
    recording.status.take_census()
    assert all(one.opened for one in recording.tokens.work.verify_tokens(Selection(refs[:2])))
    jobs = recording.tokens.jobs
    plan = jobs.plan_job(Verb.REENCRYPT, Selection(refs), world.current_key.arn, JobOptions())
    assert jobs.join_job(jobs.start_job(plan, Consent.typed(plan, "5"))).done == 5
    recording.close()
    made = {
        request_id: record
        for key in keys
        for request_id, record in records(key).items()
        if request_id not in before[key]
    }
    with superuser.connect() as connection:
        rows = connection.execute(text("SELECT * FROM keydeck.receipt ORDER BY at")).all()
    assert {row.request_id: row.operation for row in rows} == {
        request_id: record["eventName"] for request_id, record in made.items()
    }
    assert {row.token for row in rows} >= {str(ref) for ref in refs}
    assert None not in {row.token for row in rows}
    assert {(row.written_by, row.lost, row.unanswered) for row in rows} == {("operator", 0, 0)}


def test_the_platforms_functions_record_by_one_setting(
    aws: EndpointControl, new_key: NewKey, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "receipts.jsonl"
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", new_key())
    monkeypatch.setenv("KEYDECK_RECEIPTS", f"file:{path}")
    environment._recorder.cache_clear()
    stored = environment.encrypt_token(TOKEN)
    assert environment.decrypt_token(stored) == TOKEN
    recorder = environment._recorder(f"file:{path}")
    assert recorder is not None
    assert recorder.flush(10)
    environment._recorder.cache_clear()
    lines = path.read_text().splitlines()
    assert [digest(stored) in line for line in lines] == [True, True]
    assert TOKEN not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
