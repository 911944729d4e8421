"""Records of evidence: numbered without a gap, each with its journal entry, signed where that can be."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from console.container import Container
from crypto_core.compliance.records.daily_record import NO_SIGNING_KEY
from crypto_core.compliance.records.record import read_record
from crypto_core.compliance.snapshot import Snapshot, SnapshotPart
from crypto_core.database.state.journal_entry import told_in
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import KeydeckRole
from crypto_core.guard.signature import Signature
from crypto_core.proof.forms import FIRST, canonical
from crypto_core.values.errors import DatabaseError, KmsRequestError, ReadOnlyError
from tests.adversary.ground import role_of
from tests.crypto_core.compliance.records.recorded import move_clock, records_of, signer_of, tampered
from tests.crypto_core.compliance.snapshots import SNAPSHOT

WRITES = (
    (
        "INSERT INTO keydeck.evidence_record SELECT 9, taken_at, document, digest, signed, previous, key_arn,"
        " algorithm, signature, unsigned_because, entry FROM keydeck.evidence_record"
    ),
    "UPDATE keydeck.evidence_record SET document = 'x'",
    "UPDATE keydeck.evidence_record SET document = NULL, removal = 1",
    "DELETE FROM keydeck.evidence_record",
    "TRUNCATE keydeck.evidence_record",
)


def today() -> date:
    return datetime.now(UTC).date()


def test_a_record_names_the_one_before_and_the_journal_names_each(services: Container) -> None:
    signer = signer_of(services)
    records = records_of(services, signer)
    services.journal.record("init", "schema keydeck", Outcome.DONE)
    made = [records.recorder.record_day() for _ in range(3)]
    first, second, third = (one.record for one in made)
    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert (first.previous, second.previous, third.previous) == (FIRST, first.digest, second.digest)
    assert records.book.records(today() - timedelta(days=1), today()) == (first, second, third)
    assert (records.book.before(3), records.book.before(1), records.book.last()) == (second, None, third)
    assert third.snapshot.parts == SNAPSHOT.parts
    assert signer.verify(third.signed, third.signature or Signature("", "", b""))
    entries = [e for e in services.journal.entries() if e.action == "evidence record"]
    assert [(e.subject, e.outcome) for e in entries] == [(f"evidence record {n}", "done") for n in (1, 2, 3)]
    assert told_in(entries[1].detail) == {
        "number": 2,
        "sha256": second.digest.hex(),
        "previous": first.digest.hex(),
        "signature": second.signature.as_json() if second.signature else None,
        "unsigned_because": "",
    }
    assert entries[0].seq - 1 == first.journal_seq
    # A checkpoint came with each, over the entry that names it.
    assert [one.checkpoint.seq if one.checkpoint else 0 for one in made] == [e.seq for e in entries]
    found = records.book.check((first, second, third))
    assert (found.problems, found.unchecked) == ((), "")
    assert services.journal.verify() is None


def test_what_is_stored_as_signed_is_what_the_signature_is_over(
    services: Container, superuser: Engine
) -> None:
    record = records_of(services, None, snapshot=Snapshot(SNAPSHOT.taken_at, {})).recorder.record_day().record
    with superuser.connect() as connection:
        row = connection.execute(text("SELECT digest, signed FROM keydeck.evidence_record")).one()
    assert (bytes(row.digest), bytes(row.signed)) == (record.digest, record.signed)


def test_a_record_is_made_unsigned_where_it_cannot_be_signed_and_says_why(services: Container) -> None:
    class Broken:
        def sign(self, digest: bytes) -> Signature:
            raise KmsRequestError("KMS refuses.", operation="Sign", key="alias/s")

        def verify(self, *_: object) -> bool:
            raise KmsRequestError("KMS refuses.", operation="Verify", key="alias/s")

    without = records_of(services, None)
    refused = records_of(services, Broken())
    made = [without.recorder.record_day(), refused.recorder.record_day()]
    assert [(one.record.signature, one.record.unsigned_because) for one in made] == [
        (None, NO_SIGNING_KEY),
        (None, "KMS refuses."),
    ]
    assert [one.unanchored_because for one in made] == [NO_SIGNING_KEY, "KMS refuses."]
    found = refused.book.check(refused.book.records(today() - timedelta(days=1), today()))
    assert found.problems == ()


def test_records_made_at_the_same_time_each_get_a_number(services: Container) -> None:
    records = records_of(services, None)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: records.recorder.record_day().record, range(4)))
    assert sorted(one.number for one in made) == [1, 2, 3, 4]
    kept = records.book.records(today() - timedelta(days=1), today())
    assert records.book.check(kept).problems == ()
    assert services.journal.verify() is None


def test_nobody_writes_the_table_but_its_function_which_takes_no_forged_record(
    services: Container, superuser: Engine
) -> None:
    records = records_of(services, None)
    record = records.recorder.record_day().record
    with role_of(KeydeckRole.OPERATOR, services, superuser) as operator:
        for engine in (operator, superuser):
            for statement in WRITES:
                refused = pytest.raises(DBAPIError, match=r"write_evidence_record alone|permission denied")
                with refused, engine.begin() as connection:
                    connection.execute(text(statement))
    true = json.loads(record.document) | {"number": 2, "previous": record.digest.hex()}
    true["journal"] = {"seq": 1, "digest": services.journal.entries()[0].digest.hex()}
    now = datetime.now(UTC)
    forged: tuple[tuple[dict[str, object], str], ...] = (
        ({"number": 3}, "written meanwhile"),
        ({"previous": "00" * 32}, "written meanwhile"),
        ({"journal": {"seq": 1, "digest": "00" * 32}}, "which the journal has not|the journal has not"),
        ({"journal": {"seq": 7, "digest": "00" * 32}}, "the journal has not"),
        ({"database_id": "another"}, "names another database"),
        ({"snapshot": {"taken_at": (now - timedelta(days=2)).isoformat()}}, "and it is"),
        ({"snapshot": {"taken_at": (now + timedelta(hours=1)).isoformat()}}, "and it is"),
    )
    for change, why in forged:
        with pytest.raises(DatabaseError, match=why):
            records.table.write(canonical(true | change), None, "")
    assert len(records.book.check(()).problems) == 0
    assert records.table.write(canonical(true), None, "unsigned") == 2
    second = records.book.records(today(), today())[-1]
    spaced = json.dumps(true | {"number": 3, "previous": second.digest.hex()})
    assert records.table.write(spaced, None, "unsigned") == 3
    found = records.book.records(today(), today())
    assert records.book.check(found).problems == ("Record 3 is not written as Keydeck writes it.",)


def test_read_only_records_nothing_and_a_dry_run_says_what_it_would_be(services: Container) -> None:
    records = records_of(services, None)
    records.recorder._guard = replace(records.recorder._guard, read_only=True)
    with pytest.raises(ReadOnlyError):
        records.recorder.record_day()
    assert services.journal.entries() == ()
    records = records_of(services, None)
    drafted = records.recorder.draft()
    assert (drafted.written, drafted.record.number, drafted.record.signature) == (False, 1, None)
    assert records.book.last() is None
    assert [e.outcome for e in services.journal.entries()] == ["dry run"]


def test_old_documents_are_taken_away_and_the_chain_still_verifies(
    services: Container, superuser: Engine
) -> None:
    signer = signer_of(services)
    first = records_of(services, signer).recorder.record_day().record
    keeping = records_of(services, signer, keep_days=400)
    with pytest.raises(DatabaseError, match="400 days at least"):
        records_of(services, signer, keep_days=30).recorder.record_day()
    move_clock(superuser, "399 days")
    with time_machine.travel(datetime.now(UTC) + timedelta(days=399)):
        second = keeping.recorder.record_day().record
        assert keeping.book.records(first.day, first.day) == (first,)
    move_clock(superuser, "401 days")
    with time_machine.travel(datetime.now(UTC) + timedelta(days=401)):
        third = keeping.recorder.record_day().record
    (purge,) = [e for e in services.journal.entries() if e.action == "evidence purge"]
    assert told_in(purge.detail) == {"first": 1, "last": 1, "documents": 1, "kept_days": 400}
    assert keeping.book.records(first.day, third.day) == (second, third)
    assert keeping.book.removed_days(first.day, third.day) == (first.day,)
    found = keeping.book.check((second, third))
    assert (found.problems, found.unchecked) == ((), "")
    # Taken away by hand, it is told.
    tampered(superuser, "UPDATE keydeck.evidence_record SET document = NULL, removal = 1 WHERE number = 2")
    assert keeping.book.check((third,)).problems == (
        "The document of record 2 was taken away, and the journal does not tell.",
    )


@pytest.mark.parametrize(
    "document", ["", "[]", "{}", "null", "[" * 100_000, '{"keydeck_evidence_record": 2}', "\x1b[31m"]
)
def test_what_is_no_record_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="no record of evidence"):
        read_record(document, None)


def test_hostile_texts_in_a_record_are_cleaned_as_it_is_read(services: Container) -> None:
    made = json.loads(records_of(services, None).recorder.record_day().record.document)
    hostile = "\x1b[31m\u202e[/red]" + "x" * 10_000_000
    read = read_record(json.dumps(made | {"recorded_by": hostile, "database_id": hostile}), None, hostile)
    for told in (read.recorded_by, read.database_id, read.unsigned_because):
        assert len(told) <= 500
        assert not {"\x1b", "\u202e"} & set(told)
    assert isinstance(read.snapshot.part(SnapshotPart.TOKENS), type(SNAPSHOT.part(SnapshotPart.TOKENS)))
