"""Files made to exhaust memory: each is named, and the other file of the folder is read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.crypto_core.forensics.copies.test_layers import archive
from tests.crypto_core.forensics.copies.values import v1

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_MEGABYTES, MOST_ADDRESSES = 300, 900
"""MiB of memory that is used, and of addresses, many of which stand for none."""
MIB = 2**20
LARGE = 1_200
"""MiB that a bomb unpacks to."""

_SCAN = """
import json, resource, sys
most = int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
from crypto_core.forensics.copies.scan import scan_copies
(scan,) = scan_copies([sys.argv[1]])
[peak] = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
good = sum(group.envelopes for group in scan.tally.groups.values())
json.dump({"problems": scan.problems, "peak": peak // 1024, "good": good}, sys.stdout)
"""


def _packed(compressor: object, pieces: Iterable[bytes]) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += compressor.compress(piece)  # type: ignore[attr-defined]
    return bytes(found + compressor.flush())  # type: ignore[attr-defined]


def _zeros(size: int = LARGE) -> Iterator[bytes]:
    return (bytes(MIB) for _ in range(size))


def _zip(way: int, pieces: Iterable[bytes], level: int | None = None) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", way, compresslevel=level) as made,
        made.open("a", "w", force_zip64=True) as file,
    ):
        for piece in pieces:
            file.write(piece)
    return out.getvalue()


def _directory(claims: int) -> bytes:
    """A zip archive whose directory claims to be so large."""
    whole = bytearray(_zip(zipfile.ZIP_STORED, [b"x"]))
    at = whole.rfind(b"PK\x05\x06") + 12
    whole[at : at + 4] = claims.to_bytes(4, "little")
    return bytes(whole)


def _many_entries() -> bytes:
    """A zip archive of a million entries, all of which are the same member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("a", b"x")
    whole = out.getvalue()
    at = whole.index(b"PK\x01\x02")
    end = bytearray(whole[whole.index(b"PK\x05\x06") :])
    entry = whole[at : whole.index(b"PK\x05\x06")]
    number = 1_000_001
    end[8:12] = (number & 0xFFFF).to_bytes(2, "little") * 2
    end[12:16] = (len(entry) * number).to_bytes(4, "little")
    return whole[:at] + entry * number + bytes(end)


def _overlapping() -> bytes:
    """A zip archive whose entries all name one stored member of 16 MiB."""
    whole = _zip(zipfile.ZIP_STORED, [bytes(16 * MIB)])
    at, end_at = whole.rindex(b"PK\x01\x02"), whole.rindex(b"PK\x05\x06")
    entry, end, number = whole[at:end_at], bytearray(whole[end_at:]), 4_000
    end[8:12] = number.to_bytes(2, "little") * 2
    end[12:16] = (len(entry) * number).to_bytes(4, "little")
    return whole[:at] + entry * number + bytes(end)


def _xz(dictionary: int, form: int) -> bytes:
    """One byte that needs a dictionary of so many bytes."""
    way = lzma.FILTER_LZMA2 if form == lzma.FORMAT_XZ else lzma.FILTER_LZMA1
    whole = bytearray(lzma.compress(b"x", form, filters=[{"id": way, "dict_size": 1 << 20}]))
    if form == lzma.FORMAT_ALONE:
        whole[1:5] = dictionary.to_bytes(4, "little")
        return bytes(whole)
    # The size of the dictionary is one byte of the block's header, whose checksum follows it.
    at = whole.index(b"\x21\x01", 12) + 2
    whole[at] = 40
    header = whole[12 : 12 + 4 * (whole[12] + 1) - 4]
    whole[12 + len(header) : 12 + len(header) + 4] = zlib.crc32(header).to_bytes(4, "little")
    return bytes(whole)


def _zstd_window(power: int) -> bytes:
    """A frame that needs a window of so many bytes."""
    options = {zstd.CompressionParameter.window_log: power, zstd.CompressionParameter.content_size_flag: 0}
    made = zstd.ZstdCompressor(options=options)
    found = made.compress(b"x" * 1_000, zstd.ZstdCompressor.FLUSH_BLOCK)
    return bytes(found + made.flush())


def _windows(levels: int) -> bytes:
    """Frames, one in the other, each with a window of 128 MiB over more than that."""
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    found: Iterable[bytes] = _zeros(200)
    for _ in range(levels):
        found = [_packed(zstd.ZstdCompressor(options=options), found)]
    return b"".join(found)


def _endless_tar_name() -> bytes:
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 200 * MIB
    return _packed(zlib.compressobj(wbits=31), [long.tobuf(), *_zeros(200)])


def _tar_of_headers(kind: bytes, *, between: bool) -> bytes:
    """Headers of half a mebibyte, in a row or each before a member; `kind` says whom they are about."""
    pieces, size = [], MIB // 2
    for number in range(LARGE):
        record = b"%07d k%04d=" % (size, number)
        record += b"a" * (size - 1 - len(record)) + b"\n"
        header = tarfile.TarInfo("h")
        header.type, header.size = kind, len(record)
        pieces += [header.tobuf(), record, bytes(-len(record) % 512)]
        if between:
            pieces.append(tarfile.TarInfo(f"f{number}").tobuf())
    # One member's content is cut off: what was read before it counts.
    claims = tarfile.TarInfo("a")
    claims.size = MIB
    return _packed(zlib.compressobj(wbits=31), [*pieces, claims.tobuf()])


def _tar_of_claims() -> bytes:
    claims = tarfile.TarInfo("a")
    claims.size = 1 << 60
    return claims.tobuf(tarfile.GNU_FORMAT) + b"x" * 1_000


def _zips_in_zips() -> bytes:
    found = bytes(60 * MIB)
    for _ in range(5):
        found = _zip(zipfile.ZIP_STORED, [found])
    return found


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: _packed(zlib.compressobj(wbits=31), _zeros()),
    "gzip in gzip": lambda: gzip.compress(_packed(zlib.compressobj(9, wbits=31), _zeros())),
    "bzip2": lambda: _packed(bz2.BZ2Compressor(), _zeros()),
    "xz": lambda: _packed(lzma.LZMACompressor(preset=0), _zeros()),
    "xz with a dictionary of 4 GiB": lambda: _xz((1 << 32) - 1, lzma.FORMAT_XZ),
    "LZMA": lambda: _packed(lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=0), _zeros()),
    "LZMA with a dictionary of 2 GiB": lambda: _xz(1 << 31, lzma.FORMAT_ALONE),
    "zstd": lambda: _packed(zstd.ZstdCompressor(), _zeros()),
    "zstd with a window of 1 GiB": lambda: _zstd_window(30),
    "windows in windows": lambda: _windows(5),
    "zip of deflate": lambda: _zip(zipfile.ZIP_DEFLATED, _zeros()),
    "zip of bzip2": lambda: _zip(zipfile.ZIP_BZIP2, _zeros()),
    "zip of LZMA": lambda: _zip(zipfile.ZIP_LZMA, _zeros()),
    "zip in gzip": lambda: gzip.compress(_zip(zipfile.ZIP_BZIP2, _zeros())),
    "zips in zips": _zips_in_zips,
    "zip with a directory of 2 GiB": lambda: _directory(1 << 31),
    "zip of a million entries": _many_entries,
    "zip of one member again and again": _overlapping,
    "tar of an endless name": _endless_tar_name,
    "tar of headers about the next": lambda: _tar_of_headers(tarfile.XHDTYPE, between=False),
    "tar of headers about all": lambda: _tar_of_headers(tarfile.XGLTYPE, between=True),
    "tar that claims an exbibyte": _tar_of_claims,
    "pg_dump": lambda: archive(16, bytes(LARGE * MIB), compressed=True),
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.quick(0, deep=4)
@pytest.mark.parametrize("bomb", BOMBS)
def test_no_file_takes_more_memory_than_its_share_and_the_others_are_read(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[bomb]())
    (tmp_path / "good").write_bytes(v1())
    ran = subprocess.run(
        [sys.executable, "-c", _SCAN, str(tmp_path), str(MOST_ADDRESSES)],
        capture_output=True,
        check=True,
        text=True,
    )
    told = json.loads(ran.stdout)
    assert told["problems"], told
    assert all(f"{tmp_path / 'bomb'}" in problem for problem in told["problems"]), told
    assert told["good"] == 1
    assert told["peak"] < MOST_MEGABYTES, told
