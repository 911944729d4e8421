"""Folders are read whole, whatever is in them; what is no file is named and not waited for."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from crypto_core.forensics.copies.scan import MOST_PROBLEMS, scan_copies
from crypto_core.values.errors import InterruptedRunError
from tests.crypto_core.forensics.copies.values import TOKEN, envelopes, scan, v1


def test_links_pipes_and_sockets_in_a_folder_are_named_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "dump.sql").write_bytes(v1())
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "deep" / "deeper" / "dump.sql")
    os.mkfifo(tmp_path / "pipe")
    found = scan(tmp_path)
    assert envelopes(found) == 1
    assert [(Path(p.partition(":")[0]).name, p.split(": ")[1].split(",")[0]) for p in found.problems] == [
        ("again", "is a link"),
        ("pipe", "is a pipe"),
        ("loop", "is a link"),
    ]


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(v1())
    (tmp_path / "link").symlink_to(tmp_path / "dump")
    assert envelopes(scan(tmp_path / "link")) == 1


def test_what_can_t_be_opened_is_named_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(v1())
    real = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *rest)

    monkeypatch.setattr("crypto_core.forensics.copies.scan.os.open", refuse)
    found = scan(tmp_path)
    assert (envelopes(found), found.problems) == (1, [f"{tmp_path}/a: can't be read: Permission denied"])


def test_a_pipe_that_is_named_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, v1() + b"\n" + TOKEN + b"\n")
    os.close(writing)
    found = scan(f"/dev/fd/{reading}")
    os.close(reading)
    assert (envelopes(found), found.tally.plaintext, found.tally.size) == (1, {"github": 1}, len(v1()) + 42)


def test_names_of_files_are_clean_in_problems(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J[red]\u202eb").symlink_to(tmp_path)
    (problem,) = scan(tmp_path).problems
    assert "\x1b" not in problem
    assert "\u202e" not in problem


def test_problems_are_bounded_and_counted(tmp_path: Path) -> None:
    for number in range(MOST_PROBLEMS + 7):
        (tmp_path / f"link-{number}").symlink_to(tmp_path)
    found = scan(tmp_path)
    assert (len(found.problems), found.further_problems) == (MOST_PROBLEMS, 7)


def test_the_same_envelope_twice_is_one_distinct_in_its_copy(tmp_path: Path) -> None:
    value = v1()
    (tmp_path / "a").write_bytes(value + b"\n" + value)
    (tmp_path / "b").write_bytes(value + b"\n" + v1())
    (group,) = scan(tmp_path).tally.groups.values()
    assert (group.envelopes, group.distinct) == (4, 2)


def test_a_scan_ends_once_it_is_cancelled(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(v1())
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        scan_copies([str(tmp_path)], cancelled=cancelled)


def test_progress_comes_to_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1_000)
    (tmp_path / "b").write_bytes(b"y" * 500)
    told: list[tuple[int, int]] = []
    scan_copies([str(tmp_path)], lambda done, of: told.append((done, of)))
    assert told[-1] == (1_500, 1_500)
