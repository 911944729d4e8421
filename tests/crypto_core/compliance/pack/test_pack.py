"""A pack is whole, for its owner alone, signed, and shows every change."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.compliance.pack.documents import DOCUMENTS, PackDocument
from crypto_core.compliance.pack.writer import ACTION
from crypto_core.guard.signature import Signature, SigningTime
from crypto_core.lists.new_files import ExportError
from crypto_core.proof.journal import NOT_ANCHORED
from crypto_core.values.errors import ReadOnlyError
from tests.crypto_core.compliance.pack.packing import PackingTable, packing_table, verified
from tests.crypto_core.incidents.report.making import HmacSigner

FILES = {
    *("access.csv", "changes.csv", "controls.csv", "drills.csv", "exceptions.csv", "incidents.csv"),
    *("keys.csv", "lapses.csv", "reviews.csv", "sample.csv", "uses.csv", "report.html", "report.json"),
    *("report.md", "report.pdf", "records.jsonl", "journal.jsonl", "README.txt", "manifest.json"),
    *("signature.json", "verifier.py"),
}


@pytest.fixture
def table(services: Container, sandbox: Sandbox) -> PackingTable:
    return packing_table(services, sandbox)


def flipped(path: Path, offset: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        one = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([one ^ (1 << bit)]))


def test_a_pack_is_whole_verifies_by_the_public_key_alone_and_is_journaled(
    table: PackingTable, tmp_path: Path
) -> None:
    folder = tmp_path / "pack"
    made = table.write(folder)
    assert {path.name for path in folder.iterdir()} >= FILES
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]
    check = verified(folder, table.public_key())
    assert (check.problems, check.unproved, check.proved) == ((), "", True)
    assert (check.records, check.sha256, check.key_arn) == (8, made.sha256, table.key)
    assert (made.left_out, NOT_ANCHORED in check.remarks) == ((NOT_ANCHORED,), True)
    assert NOT_ANCHORED in (folder / "report.md").read_text()
    assert set(check.recomputed) >= FILES - {
        *("report.pdf", "records.jsonl", "journal.jsonl", "manifest.json", "signature.json")
    }
    entry = table.journal.entries(limit=1)[0]
    assert (entry.action, json.loads(entry.detail)["sha256"]) == (ACTION, made.sha256)

    # The pack's own key and no key at all prove nothing, and say so.
    assert not verified(folder).proved
    other = tmp_path / "again"
    assert table.write(other).sha256 != made.sha256  # the journal has one entry more
    with pytest.raises(ExportError, match="already exists"):
        table.write(other)


@pytest.mark.deep
def test_each_changed_byte_file_and_name_is_found(table: PackingTable, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    table.write(folder)
    key = table.public_key()
    rng = random.Random(7)
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size
        for offset in {0, size - 1, rng.randrange(size)}:
            bit = rng.randrange(8)
            flipped(path, offset, bit)
            assert verified(folder, key).problems, (path.name, offset, bit)
            flipped(path, offset, bit)
    assert verified(folder, key).proved
    (folder / "more.txt").write_text("x")
    assert any("more.txt" in one for one in verified(folder, key).problems)
    (folder / "more.txt").unlink()
    (folder / "uses.csv").rename(tmp_path / "uses.csv")
    assert any("uses.csv is missing" in one for one in verified(folder, key).problems)
    (folder / "uses.csv").symlink_to(tmp_path / "uses.csv")
    assert any("uses.csv" in one for one in verified(folder, key).problems)


def resigned(table: PackingTable, folder: Path, change: Callable[[Path], None], target: Path) -> Path:
    shutil.copytree(folder, target)
    change(target)
    table.seal(target)
    return target


@pytest.mark.deep
def test_who_changes_a_document_and_signs_anew_is_found_by_the_records(
    table: PackingTable, tmp_path: Path
) -> None:
    folder, key = tmp_path / "pack", table.public_key()
    table.write(folder)

    def prettier(name: str, old: str, new: str) -> Callable[[Path], None]:
        def change(place: Path) -> None:
            text = (place / name).read_bytes().decode()
            assert old in text
            (place / name).write_bytes(text.replace(old, new).encode())

        return change

    def shorter(place: Path) -> None:
        lines = (place / "records.jsonl").read_bytes().splitlines(keepends=True)
        (place / "records.jsonl").write_bytes(b"".join((*lines[:3], *lines[4:])))

    def another_sample(place: Path) -> None:
        lines = (place / "sample.csv").read_bytes().splitlines(keepends=True)
        (place / "sample.csv").write_bytes(b"".join(lines[:-1]))

    changes = {
        "controls.csv": prettier("controls.csv", "not met", "met"),
        "report.html": prettier("report.html", "not met", "met"),
        "report.json": prettier("report.json", '"worst": "not met"', '"worst": "met"'),
        "Records 4 to 4 are missing": shorter,
        "sample.csv": another_sample,
    }
    for number, (told, change) in enumerate(changes.items()):
        check = verified(resigned(table, folder, change, tmp_path / f"forged{number}"), key)
        assert any(told in one for one in check.problems), (told, check.problems)


def test_without_a_signer_or_with_one_that_refuses_a_pack_says_why_and_proves_nothing(
    table: PackingTable, tmp_path: Path
) -> None:
    class Refusing(HmacSigner):
        def sign(self, digest: bytes) -> Signature:
            raise ReadOnlyError("Keydeck is in read-only mode.")

        def verify(self, digest: bytes, signature: Signature, when: SigningTime | None = None) -> bool:
            return False

    made = table.writer(Refusing(), read_only=True).write(table.period, tmp_path / "unsigned")
    assert (made.signature, made.unsigned_because) == (None, "Keydeck is in read-only mode.")
    assert made.unjournaled
    check = verified(tmp_path / "unsigned", table.public_key())
    assert any("not signed" in one and "read-only" in one for one in check.problems)


def test_what_fails_while_a_pack_is_made_leaves_nothing(table: PackingTable, tmp_path: Path) -> None:
    def broken(*_: object) -> bytes:
        raise KeyboardInterrupt

    documents = (*DOCUMENTS, PackDocument("zzz.txt", broken))
    with pytest.raises(KeyboardInterrupt):
        table.writer(documents=documents).write(table.period, tmp_path / "pack")
    assert list(tmp_path.iterdir()) == []

    # A process that is killed before the end leaves a folder without manifest and signature.
    pid = os.fork()
    if pid == 0:
        table.services.engine.dispose(close=False)  # its connections are the parent's
        documents = (*DOCUMENTS, PackDocument("zzz.txt", lambda *_: os._exit(9)))
        table.writer(documents=documents).write(table.period, tmp_path / "pack")
    os.waitpid(pid, 0)
    left = list(tmp_path.iterdir())
    assert [one.name for one in left] == [f".pack.{pid}.part"]
    assert not verified(left[0], table.public_key()).proved


def test_tables_hold_every_row_and_no_formula(table: PackingTable, tmp_path: Path) -> None:
    table.write(tmp_path / "pack")
    with (tmp_path / "pack" / "changes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table.period.changes) == 30
    assert all(row["detail"].startswith("'=") for row in rows)
    with (tmp_path / "pack" / "sample.csv").open(newline="", encoding="utf-8") as file:
        assert {row["id"] for row in csv.DictReader(file)} < {row["id"] for row in rows}
