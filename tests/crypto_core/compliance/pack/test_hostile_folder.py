"""A folder that somebody made up: read within bounds, nothing in it followed, and it proves nothing."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crypto_core.compliance.proof.pack import (
    PackedFolder,
    PackManifest,
    PackSignature,
    PackVerdict,
    UnreadablePackError,
)
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.pack.making import DATABASE
from tests.crypto_core.compliance.pack.packing import VERSION, verified

NASTY = "[/red]\x1b[31m\u202e"
MANIFESTS = (
    *(b"", b"{}", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"keydeck_evidence_pack": 1' + b"0" * 5_000 + b"}"),
    json.dumps({"keydeck_evidence_pack": 1, "files": NASTY}).encode(),
)


def manifest(**changes: object) -> PackManifest:
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
    return PackManifest(**(told | changes))  # type: ignore[arg-type]


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
