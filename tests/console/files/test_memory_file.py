"""The file in which the console remembers: private, replaced whole, and never a reason not to open."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path

import pytest

from console.files.memory_file import remembered
from screens.memory import Memory, SortOrder
from tests.screens.deck import deck


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keydeck" / "console.json"


def given(file: Path, content: bytes) -> Memory:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return remembered(file)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_remembered_is_there_the_next_day(file: Path) -> None:
    memory = remembered(file)
    memory.remember("command", "sort org")
    memory.save_filter("connections", "leaks", "format:plaintext")
    memory.remember_order("connections", SortOrder("org", descending=True))
    memory.remember_theme("keydeck-light")
    again = remembered(file)
    assert again.history("command") == ["sort org"]
    assert again.saved_filters("connections") == {"leaks": "format:plaintext"}
    assert again.order("connections") == SortOrder("org", descending=True)
    assert again.theme == "keydeck-light"


def test_only_the_user_may_read_it(file: Path) -> None:
    before = os.umask(0)
    try:
        remembered(file).remember_theme("nord")
    finally:
        os.umask(before)
    assert mode(file) == 0o600
    assert mode(file.parent) == 0o700


def test_it_is_replaced_whole_and_leaves_nothing_beside_it(file: Path) -> None:
    memory = remembered(file)
    memory.remember_theme("nord")
    before = file.stat().st_ino
    with file.open() as reader:
        memory.remember_theme("gruvbox")
        assert "nord" in reader.read(), "who reads meanwhile has the old file, whole"
    assert file.stat().st_ino != before
    assert [path.name for path in file.parent.iterdir()] == ["console.json"]


def test_a_write_that_fails_midway_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = remembered(file)
    memory.remember_theme("nord")

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    memory.remember_theme("gruvbox")
    assert memory.theme == "gruvbox"
    assert remembered(file).theme == "nord"
    assert [path.name for path in file.parent.iterdir()] == ["console.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[1, 2]",
        b"\xff\xfe\x00",
        b"\x00" * 4096,
        b"[" * 500_000,
        b'{"looks":' * 100_000,
        b'{"looks": {"theme": "nord"}, "pad": "' + b"x" * 1_000_000 + b'"}',
        b'{"history": 5, "filters": [], "orders": {"connections": 1}, "columns": {"connections": [1, {}]}}',
        b'{"history": {"command": {"a": 1}}, "looks": {"theme": ["nord"]}, "counts": {"x": NaN}}',
        b'{"history": {"command": "abc"}, "counts": {"x": 1e999}}',
        b'{"filters": {"connections": {"a": null}}, "columns": {"connections": [["x"], {"y": -1}]}}',
    ],
    ids=lambda content: content[:24].decode("latin-1"),
)
def test_a_file_that_makes_no_sense_is_as_good_as_none_and_is_replaced(file: Path, content: bytes) -> None:
    memory = given(file, content)
    assert memory.history("command") == []
    assert memory.saved_filters("connections") == {}
    assert memory.order("connections") == SortOrder()
    assert memory.columns("connections") in ((), ("x",))
    assert memory.theme == ""
    memory.remember_theme("nord")
    assert remembered(file).theme == "nord"


async def test_the_console_opens_on_a_memory_of_things_that_are_gone(file: Path) -> None:
    content = {
        "looks": {"theme": "gone"},
        "orders": {"connections": ["gone", True]},
        "columns": {"connections": [["gone", "org"], {"gone": 5}]},
        "counts": {"connections": -5},
    }
    async with deck(start="connections", memory=given(file, json.dumps(content).encode())) as d:
        assert "1 of 1,200 tokens" in d.lines()[1]
        assert "sort: state" in d.lines()[1]


def test_a_link_of_the_users_stays_and_its_file_is_written(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir(parents=True)
    file.symlink_to(tmp_path / "dotfiles.json")
    remembered(file).remember_theme("nord")
    assert file.is_symlink()
    assert remembered(tmp_path / "dotfiles.json").theme == "nord"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to itself"])
def test_what_is_no_file_neither_stops_nor_holds_up_the_console(file: Path, kind: str) -> None:
    file.parent.mkdir(parents=True)
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(file)
    assert remembered(file).theme == ""


def test_a_folder_that_cannot_be_made_is_told_in_the_log_and_goes_no_further(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    memory = remembered(tmp_path / "file" / "keydeck" / "console.json")
    with caplog.at_level(logging.INFO, "console.files.memory_file"):
        memory.remember("command", "sort org")
    assert memory.history("command") == ["sort org"]
    assert "can't be written" in caplog.text
    assert "sort org" not in caplog.text
