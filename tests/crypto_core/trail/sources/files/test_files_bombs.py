"""Files that are made to exhaust memory or time: named and skipped, and the others are read."""

from __future__ import annotations

import base64
import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crypto_core.trail.records import record

MOST_MEGABYTES, MOST_ADDRESSES = 500, 900
"""MiB of memory that is used, and of addresses, many of which stand for none: stacks, arenas, libraries."""
MIB = 2**20

_IMPORT = """
import json, resource, sys
from pathlib import Path
most = int(sys.argv[3]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.store import EventStore
folder, processes = Path(sys.argv[1]), int(sys.argv[2])
store = EventStore(folder / "events.sqlite", aliases=dict, clock=None)
report = FileImport(store, processes=processes, least=1).import_files([folder / "in"])
failed = [(f.file, f.reason) for f in report.failed]
[peak] = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
good = store.event("good").event.name
json.dump({"failed": failed, "good": good, "peak": peak // 1024}, sys.stdout)
"""


def packed(*parts: tuple[bytes, int]) -> bytes:
    """gzip of parts, each repeated, without holding them."""
    deflater = zlib.compressobj(wbits=31)
    found = bytearray()
    for part, times in parts:
        whole, rest = divmod(len(part) * times, len(block := part * max(1, MIB // len(part))))
        for _ in range(whole):
            found += deflater.compress(block)
        found += deflater.compress(block[:rest])
    return bytes(found + deflater.flush())


def events(number: int) -> Iterator[str]:
    """Records as small as an event can be, no two of them alike."""
    return (f'{{"eventName":"an event by the number of {index:x}"}}' for index in range(number))


def _names() -> bytes:
    """An archive whose first file has an endless name."""
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 200 * MIB
    return long.tobuf() + b"a" * (200 * MIB)


def _packed_within(levels: int) -> bytes:
    """Packed data that hold packed data, each ten times as much."""
    found = b" " * (64 * MIB)
    for _ in range(levels):
        inner = base64.b64encode(gzip.compress(found)).decode()
        found = json.dumps({"records": [{"recordId": "1", "data": inner}] * 10}).encode()
    return found


def _zip(way: int, size: int) -> bytes:
    """A zip archive of one file of so many MiB of spaces."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", way) as made, made.open("a.json", "w") as file:
        for _ in range(size):
            file.write(b" " * MIB)
    return out.getvalue()


BOMBS = {
    "several-in-a-line": lambda: b'{"eventName":"a"}\n' + b'{"a":"b"}' * (3 * MIB) + b"\n",
    "zip-of-bzip2": lambda: _zip(zipfile.ZIP_BZIP2, 600),
    "zip-of-lzma": lambda: _zip(zipfile.ZIP_LZMA, 600),
    "zeros": lambda: packed((b"\0", 300 * MIB)),
    "spaces": lambda: packed((b" ", 300 * MIB)),
    "nested-lists": lambda: packed((b"[", 130 * MIB)),
    "nested-objects": lambda: packed((b'{"a":', 20 * MIB)),
    "one-record": lambda: packed((b'{"Records":[{"eventName":"', 1), (b"a", 300 * MIB), (b'"}]}', 1)),
    "tiny-records": lambda: packed((b'{"Records":[{}', 1), (b",{}", MIB), (b"]}", 1)),
    "tiny-records-plain": lambda: b'{"Records":[{}' + b",{}" * MIB + b"]}",
    "tiny-events": lambda: gzip.compress(f'{{"Records":[{",".join(events(MIB))}]}}'.encode()),
    "many-events": lambda: gzip.compress(f'{{"Records":[{",".join(events(60_000))}]}}'.encode()),
    "empty-lists": lambda: b"[[]" + b",[]" * (10 * MIB) + b"]",
    "objects": lambda: b'[{"":{}}' + b',{"":{}}' * (3 * MIB) + b"]",
    "lines-of-numbers": lambda: packed((b'{"eventName":"a"}\n', 1), (b"0\n", 60 * MIB)),
    "lines-of-lists": lambda: b'{"eventName":"a"}\n' + b"[]\n" * (10 * MIB),
    "lists-in-lines": lambda: b'{"eventName":"a"}\n' + (b"[0" + b",0" * 40_000 + b"]\n") * 400,
    "empty-lines": lambda: b'{"eventName":"a"}\n' + b"\n" * (64 * MIB),
    "numbers": lambda: b"0 " * (15 * MIB),
    "several-lists": lambda: b"[\n] " * (7 * MIB),
    "wide-text": lambda: b'["\\ud800' + "😀".encode() + b"a" * (31 * MIB) + b'"]',
    "cells": lambda: packed((b"eventid,a\n", 1), (b"," * MIB, 30)),
    "lines-in-a-cell": lambda: packed((b'_raw,a\n"', 1), (b",\n" * MIB, 30)),
    "cells-in-lines": lambda: packed((b"_raw,a\n", 1), (b'",,\n",' * MIB, 8)),
    "tar-of-names": lambda: gzip.compress(_names(), 1),
    "base64-in-base64": lambda: _packed_within(4),
    "written-within": lambda: json.dumps(
        {"CloudTrailEvent": "[" + "\\u005b\\u005d\\u002c" * (17 * MIB // 10) + "0]"}
    ).encode(),
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.quick(0, deep=8)
@pytest.mark.parametrize("bomb", BOMBS)
def test_no_file_takes_more_than_its_share_and_the_others_are_read(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bomb.json").write_bytes(BOMBS[bomb]())
    (tmp_path / "in" / "good.json").write_text(json.dumps({"Records": [record(eventID="good")]}))
    for processes in (0, 1):
        ran = subprocess.run(
            [sys.executable, "-c", _IMPORT, str(tmp_path), str(processes), str(MOST_ADDRESSES)],
            capture_output=True,
            check=True,
        )
        told = json.loads(ran.stdout)
        ((path, reason),) = told["failed"]
        assert path == str(tmp_path / "in" / "bomb.json")
        assert reason
        assert told["peak"] < MOST_MEGABYTES, told
        assert told["good"] == "Decrypt"
