"""A folder that somebody made up: read within bounds, nothing in it followed, and it proves nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from crypto_core.proof.forms import JournalEntry
from crypto_core.proof.journal import NamedRecords, unchecked_entry
from crypto_core.proof.pack import Manifest, PackedFolder, PackSignature, PackVerdict, UnreadablePackError
from crypto_core.proof.records import PackedRecord, left_out, packed_record, record_line, wrong_records
from crypto_core.text.cleaning import clean
from tests.crypto_core.compliance.pack.making import DATABASE, made_records
from tests.crypto_core.compliance.pack.packing import VERSION, verified

NASTY = "[/red]\x1b[31m\u202e"
MANIFESTS = (
    *(b"", b"{}", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"keydeck_evidence_pack": 1' + b"0" * 5_000 + b"}"),
    json.dumps({"keydeck_evidence_pack": 1, "files": NASTY}).encode(),
)


def manifest(**changes: object) -> Manifest:
    told: dict[str, object] = {
        "database_id": clean(DATABASE),
        "since": date(2026, 1, 1),
        "until": date(2026, 1, 9),
        "framework": clean(""),
        "made_at": datetime(2026, 2, 1, tzinfo=UTC),
        "made_by": clean("ana"),
        "version": clean(VERSION),
        "seed": clean("s"),
        "records": {"first": 0, "last": 0, "sha256_of_last": ""},
        "journal": {"first": 0, "last": 0, "digest": ""},
        "keys": {},
        "files": (),
    }
    return Manifest(**(told | changes))  # type: ignore[arg-type]


def test_the_day_on_which_a_pack_was_made_lacks_no_record_yet() -> None:
    made = manifest(made_at=datetime(2026, 1, 3, 9, tzinfo=UTC))
    assert PackVerdict(manifest=made).gaps == (date(2026, 1, 1), date(2026, 1, 2))
    endless = PackVerdict(
        manifest=manifest(since=date.min, until=date.max, made_at=datetime.max.replace(tzinfo=UTC))
    )
    assert len(endless.gaps) == 4_000
    first = manifest(since=date.min, until=date.max, made_at=datetime.min.replace(tzinfo=UTC))
    assert PackVerdict(manifest=first).gaps == ()


@pytest.mark.parametrize("content", MANIFESTS, ids=range(len(MANIFESTS)))
def test_what_is_no_manifest_is_told_in_clean_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    check = verified(tmp_path)
    assert check.problems
    assert not check.proved
    assert "\x1b" not in "".join(check.problems)


def test_an_empty_folder_is_no_pack_and_one_that_is_not_there_can_not_be_read(tmp_path: Path) -> None:
    assert "no evidence pack" in verified(tmp_path).problems[0]
    with pytest.raises(UnreadablePackError, match="can't be read"):
        verified(tmp_path / "none")


def test_pipes_links_and_names_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    text = manifest().text()
    (folder / "manifest.json").write_text(f"{text}\n")
    digest = PackSignature.digest_of(text)
    (folder / "signature.json").write_text(PackSignature(digest, None, clean(NASTY)).text())
    os.mkfifo(folder / "journal.jsonl")
    (folder / "records.jsonl").symlink_to("/dev/zero")
    (folder / "x\x1b[31m\u202e").write_text("")
    told = "\n".join(verified(folder).problems)
    assert "not signed" in told
    assert "records.jsonl" in told
    assert "\x1b" not in told
    with pytest.raises(UnreadablePackError):
        PackedFolder(folder).content("records.jsonl")
    escaping = text.replace('"files":[]', '"files":[{"bytes":1,"path":"../x","sha256":""}]')
    (folder / "manifest.json").write_text(f"{escaping}\n")
    assert "leads elsewhere" in verified(folder).problems[0]


def entry(seq: int, at: datetime, action: str, detail: object, checked: bool | None = True) -> JournalEntry:
    told = ("ana", "host", action, "", "done", json.dumps(detail))
    return JournalEntry(seq, at, *told, b"", b"", "operator", DATABASE, checked)


def test_records_that_were_left_out_cut_or_put_elsewhere_are_told() -> None:
    made = made_records(6)
    records = [packed_record(record_line(one.document, one.signature, "").encode()) for one in made]

    def named(*more: JournalEntry) -> NamedRecords:
        found = NamedRecords()
        for one in made:
            detail = {"number": one.number, "sha256": one.digest.hex(), "previous": one.previous.hex()}
            signature = one.signature.as_json() if one.signature else None
            assert not found.take(
                entry(one.number, one.taken_at, "evidence record", {**detail, "signature": signature})
            )
        for each in more:
            assert not found.take(each)
        return found

    def wrong(records: Sequence[PackedRecord], by: NamedRecords | None = None) -> str:
        return " ".join(wrong_records(records, by or named(), {}, DATABASE))

    assert wrong(records).strip() == ""
    assert "Records 3 to 3 are missing." in wrong([*records[:2], *records[3:]])
    assert "does not come after" in wrong(records[::-1])
    other = [
        packed_record(record_line(one.document, one.signature, "").encode())
        for one in made_records(6, exposed=(0,))
    ]
    assert "is not the one that the journal's entry 1 names" in wrong(other)
    assert "The journal does not name record 1." in wrong(records, NamedRecords())
    # Cut at the end: the journal names what is not there.
    period = (date(2026, 1, 1), date(2026, 1, 9))
    assert [one[:20] for one in left_out(records[:4], named(), *period)] == [
        "Record 5 is left out",
        "Record 6 is left out",
    ]
    # At the beginning: the first one follows another.
    assert next(one[:20] for one in left_out(records[2:], named(), *period)) == "Record 2 is left out"
    later = made[-1].taken_at + timedelta(days=500)
    seventh = entry(7, later, "evidence record", {"number": 7})
    removal = entry(8, later, "evidence purge", {"first": 5, "last": 6})
    assert list(left_out(records[:4], named(seventh, removal), *period)) == []
    assert list(left_out((), named(), date(2027, 1, 1), date(2027, 2, 1))) == []


@pytest.mark.parametrize("days", [1, 399])
def test_a_purge_that_keydeck_did_not_write_excuses_nothing(days: int) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    record, next_one = {"number": 1, "sha256": "00"}, {"number": 2, "sha256": "11"}
    purge = {"first": 1, "last": 1}

    def of(*told: tuple[int, str, object], checked: bool | None = True) -> tuple[NamedRecords, list[str]]:
        found = NamedRecords()
        lines = [
            found.take(entry(seq, at + timedelta(days=n), action, detail, seq == 1 or checked))
            for seq, (n, action, detail) in enumerate(told, 1)
        ]
        return found, [line for line in lines if line]

    first = (0, "evidence record", record)
    honest, wrong = of(first, (401, "evidence record", next_one), (401, "evidence purge", purge))
    assert (wrong, honest.removed(1)) == ([], True)
    # Too young, though it stands where the function writes it.
    young, wrong = of(first, (days, "evidence record", next_one), (days, "evidence purge", purge))
    assert (wrong, young.removed(1)) == ([], False)
    # As whoever might append to the journal wrote it, before entries were checked and since.
    former, wrong = of(first, (401, "evidence purge", purge), checked=None)
    assert (wrong, former.removed(1)) == ([], False)
    alone, wrong = of(first, (401, "evidence purge", purge), checked=False)
    assert (wrong, alone.removed(1)) == ([unchecked_entry(entry(2, at, "evidence purge", purge))], False)
    _, wrong = of(first, (401, "evidence purge", "garbage"))
    assert wrong == ["Entry 2 (evidence purge) can't be read: Keydeck did not write it."]
