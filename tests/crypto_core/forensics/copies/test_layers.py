"""Archives and compression come off, one in the other; what can't be read is named, and the rest is read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.forensics.copies import layers
from crypto_core.trail.archives.streams import ByteStream
from tests import lanes
from tests.crypto_core.forensics.copies.values import TOKEN, envelopes, scan, v1

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def _tar(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _zip(*members: tuple[str, bytes], way: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", way) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "gzip of two members": lambda c: gzip.compress(c[:100]) + gzip.compress(c[100:]),
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "tar": lambda content: _tar(("a", content)),
    "tar of GNU with a long name": lambda c: _tar(("d/" * 90 + "a", c), form=tarfile.GNU_FORMAT),
    "zip": lambda content: _zip(("a", content)),
    "zip, stored": lambda content: _zip(("a", content), way=zipfile.ZIP_STORED),
    "tar in gzip": lambda content: gzip.compress(_tar(("x", b"nothing"), ("a", content))),
    "gzip in zip in tar in zstd": lambda c: zstd.compress(_tar(("z", _zip(("g", gzip.compress(c)))))),
}


@pytest.mark.parametrize("packed", PACKED)
def test_what_is_packed_is_read(packed: str, tmp_path: Path) -> None:
    content = b"\n".join(v1() for _ in range(20)) + b"\n" + TOKEN + b"\n"
    file = tmp_path / "copy"
    file.write_bytes(PACKED[packed](content))
    found = scan(file)
    assert (envelopes(found), found.tally.plaintext, found.problems) == (20, {"github": 1}, [])


@pytest.mark.parametrize("packed", ["gzip", "zstd", "bzip2", "xz", "tar in gzip", "zip"])
def test_what_ends_too_early_counts_until_there_and_is_named(packed: str, tmp_path: Path) -> None:
    content = b"\n".join(v1() for _ in range(3_000))
    file = tmp_path / "copy"
    whole = PACKED[packed](content)
    file.write_bytes(whole[: len(whole) * 3 // 4])
    found = scan(file)
    assert envelopes(found) < 3_000
    assert packed == "zip" or envelopes(found) > 300
    assert found.problems
    assert str(file) in found.problems[0]


def test_a_damaged_member_of_an_archive_leaves_the_others(tmp_path: Path) -> None:
    good = gzip.compress(v1())
    bad = bytearray(gzip.compress(b"\n".join(v1() for _ in range(1_000))))
    bad[5_000:5_050] = bytes(50)
    (tmp_path / "copy.tar").write_bytes(_tar(("bad.gz", bytes(bad)), ("good.gz", good)))
    found = scan(tmp_path)
    assert envelopes(found) >= 1
    assert any("bad.gz" in problem and "damaged" in problem for problem in found.problems)
    assert not any("good.gz" in problem for problem in found.problems)


def test_a_bomb_is_read_up_to_a_bound_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "FREE_BYTES", 4 << 20)
    monkeypatch.setattr(layers, "MOST_TIMES", 20)
    bomb = gzip.compress(gzip.compress(bytes(40 << 20)))
    (tmp_path / "bomb.gz").write_bytes(bomb)
    (tmp_path / "bomb.zip").write_bytes(_zip(("a", bytes(40 << 20))))
    (tmp_path / "other").write_bytes(v1())
    found = scan(tmp_path)
    assert envelopes(found) == 1
    assert [("bomb" in p, "more than 20 times" in p) for p in found.problems] == [(True, True)] * 2


def test_what_is_packed_too_often_is_named(tmp_path: Path) -> None:
    content = v1()
    for _ in range(layers.MOST_LAYERS + 1):
        content = gzip.compress(content)
    (tmp_path / "copy").write_bytes(content)
    found = scan(tmp_path)
    assert envelopes(found) == 0
    assert "packed more than" in found.problems[0]


def test_an_encrypted_member_and_lz4_are_named(tmp_path: Path) -> None:
    archive = bytearray(_zip(("secret.sql", v1()), ("other", b"text")))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.find(mark) + flags] |= 1
    (tmp_path / "a.zip").write_bytes(bytes(archive))
    (tmp_path / "b.lz4").write_bytes(b"\x04\x22\x4d\x18" + os.urandom(100))
    found = scan(tmp_path)
    assert [problem.rpartition("/")[2] for problem in found.problems] == [
        "a.zip: secret.sql: is encrypted, and not read",
        "b.lz4: is compressed with lz4, which is not read here: unpack it first: lz4 -d",
    ]


def test_a_zip_archive_whose_directory_claims_to_be_huge_is_not_loaded(tmp_path: Path) -> None:
    archive = bytearray(_zip(("a", v1())))
    end = archive.rfind(b"PK\x05\x06")
    archive[end + 12 : end + 16] = (1 << 31).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(bytes(archive))
    assert "directory" in scan(tmp_path).problems[0]


def test_names_in_archives_are_clean(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_tar(("\x1b[31m[/red]\u202eevil.gz", gzip.compress(v1())[:-30])))
    (problem,) = scan(tmp_path).problems
    assert "\x1b" not in problem
    assert "\u202e" not in problem
    assert "[/red]" in problem


def _wal(records: bytes, page: int = 8192) -> bytes:
    """A segment of the write-ahead log: pages with their headers, the records in between."""
    head = (0xD118).to_bytes(2, "little") + (2).to_bytes(2, "little") + bytes(28)
    out, at = bytearray(head + (1 << 24).to_bytes(4, "little") + page.to_bytes(4, "little")), 0
    while at < len(records):
        room = page - len(out) % page
        out += records[at : at + room]
        at += room
        if len(out) % page == 0:
            out += (0xD118).to_bytes(2, "little") + bytes(22)
    return bytes(out)


def test_a_value_across_pages_of_the_log_is_whole_and_its_limit_is_named(tmp_path: Path) -> None:
    (tmp_path / "000000010000000000000001").write_bytes(_wal(b"\x00".join(v1() for _ in range(200))))
    found = scan(tmp_path)
    assert (envelopes(found), found.tally.damaged, found.problems) == (200, 0, [])
    assert found.limits == [layers.OF_LOGS]


def _number(value: int) -> bytes:
    return (b"\x01" if value < 0 else b"\x00") + abs(value).to_bytes(4, "little")


def _text(value: bytes | None) -> bytes:
    return _number(-1) if value is None else _number(len(value)) + value


def archive(minor: int, data: bytes, *, compressed: bool) -> bytes:
    """An archive of pg_dump's custom format as an old version wrote it, with one table."""
    head = b"PGDMP" + bytes([1, minor, 0, 4, 8, 1])
    head += bytes([int(compressed)]) if minor >= 15 else _number(6 if compressed else 0)
    head += b"".join(map(_number, (0, 0, 12, 1, 0, 126, 0)))
    head += b"".join(map(_text, (b"tokens", b"14.1", b"14.1"))) + _number(1)
    entry = _number(7) + _number(1)
    entry += b"".join(map(_text, (b"0", b"0", b"gh_connection", b"TABLE DATA")))
    entry += _number(3) if minor >= 11 else b""
    entry += b"".join(map(_text, (b"", b"", b"COPY gh FROM stdin;", b"public", b"")))
    entry += _text(b"heap") if minor >= 14 else b""
    entry += _number(ord("r")) if minor >= 16 else b""
    entry += _text(b"platform") + _text(b"false") + _text(b"1") + _text(None) + bytes(9)
    packed = zlib.compress(data) if compressed else data
    pieces = [packed[at : at + 4_000] for at in range(0, len(packed), 4_000)]
    blocks = b"".join(_text(piece) for piece in pieces)
    return head + entry + b"\x01" + _number(7) + blocks + _number(0)


@pytest.mark.parametrize("minor", [10, 11, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("compressed", [True, False])
def test_archives_of_old_versions_are_read(minor: int, compressed: bool, tmp_path: Path) -> None:
    content = b"\n".join(v1() for _ in range(50))
    (tmp_path / "a.dump").write_bytes(archive(minor, content, compressed=compressed))
    found = scan(tmp_path)
    assert (envelopes(found), found.problems) == (50, [])


@settings(max_examples=lanes.examples(100))
@given(
    packed=st.sampled_from([*sorted(set(PACKED) - {"plain"}), "archive"]),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    kept=st.floats(0, 1),
)
def test_whatever_is_damaged_the_scan_ends_and_counts_no_more_than_there_were(
    packed: str, damage: list[tuple[float, int]], kept: float
) -> None:
    content = b"\n".join(_VALUES)
    whole = archive(16, content, compressed=True) if packed == "archive" else PACKED[packed](content)
    raw = bytearray(whole)
    for place, byte in damage:
        raw[int(place * (len(raw) - 1))] = byte
    source = io.BytesIO(bytes(raw[: int(kept * len(raw)) + 1]))
    found = 0
    taken = layers.Layers(ByteStream(source.read), lambda *_: None)
    for plain in taken.plain_streams("copy"):
        try:
            while piece := plain.stream.read(1 << 20):
                found += piece.count(b"djF8")
        except layers.BrokenStreamError:
            continue
    assert found <= 2 * len(_VALUES)


_VALUES = [v1() for _ in range(10)]
