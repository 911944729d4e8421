"""A folder that somebody made up: read within bounds, nothing in it followed, and it proves nothing."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from crypto_core.compliance.pack.manifest import Manifest, PackSignature
from crypto_core.compliance.pack.packed_folder import PackedFolder, UnreadablePackError
from crypto_core.compliance.pack.records_file import NamedRecords, record_lines, wrong_records
from crypto_core.compliance.pack.verification import _left_out
from crypto_core.guard.signature import SigningTime
from crypto_core.text.cleaning import clean
from tests.crypto_core.compliance.pack.making import DATABASE, made_records
from tests.crypto_core.compliance.pack.packing import VERSION, verified
from tests.crypto_core.incidents.report.making import HmacSigner

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


def test_records_that_were_left_out_cut_or_put_elsewhere_are_told() -> None:
    records, signer = made_records(6), HmacSigner()
    named = NamedRecords()
    for one in records:
        detail = {"number": one.number, "sha256": one.digest.hex()}
        named.take(detail, SigningTime(one.taken_at, f"the journal's entry {one.number}"))
    assert list(wrong_records(records, named, {})) == []
    assert "Records 3 to 3 are missing." in list(wrong_records((*records[:2], *records[3:]), named, {}))
    assert any("does not come after" in one for one in wrong_records(tuple(reversed(records)), named, {}))
    other = made_records(6, exposed=(0,))
    assert any("not the one that the journal names" in one for one in wrong_records(other, named, {}))
    assert any("named by no entry" in one for one in wrong_records(records, NamedRecords(), {}))
    # Cut at the end: the journal names what is not there.
    assert [one[:20] for one in _left_out(records[:4], named, manifest())] == [
        "Record 5 is left out",
        "Record 6 is left out",
    ]
    named.remove({"first": 5, "last": 6})
    assert list(_left_out(records[:4], named, manifest())) == []
    assert list(_left_out((), named, manifest(since=date(2027, 1, 1), until=date(2027, 2, 1)))) == []
    assert signer.sign(b"x" * 32).value
    assert sum(len(line) for line in record_lines(records)) > len(records) * 1_000
    assert records[-1].taken_at - records[0].taken_at == timedelta(days=5)
