"""The log: private, rotating, shared by processes, one clean line a record, the latest lines in memory."""

from __future__ import annotations

import logging
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from console.files import logfile
from console.settings import Settings
from crypto_core.values.errors import KmsUnreachableError
from tests.crypto_core.canary import CANARY, assert_tells_nothing

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) +\d+ [\w.]+: .*")

own = logging.getLogger("crypto_core.something")
foreign = logging.getLogger("somebody.else")


def settings(path: Path | str) -> Settings:
    return Settings(KEYDECK_LOG_FILE=str(path))


@pytest.fixture
def book(tmp_path: Path) -> Iterator[logfile.FileLogBook]:
    with logfile.logging_to(settings(tmp_path / "deep" / "er" / "keydeck.log")) as log:
        yield log


def written(book: logfile.FileLogBook) -> list[str]:
    assert book.path is not None
    return book.path.read_text().splitlines()


def test_a_record_is_one_line_in_the_file_and_in_memory(book: logfile.FileLogBook) -> None:
    own.info("run of %s ended", "12 tokens")
    foreign.warning("beware")
    assert [LINE.fullmatch(line) is not None for line in written(book)] == [True, True]
    first, second = book.lines()
    assert (first.number, first.word, first.logger) == (1, "info", "crypto_core.something")
    assert first.message == "run of 12 tokens ended"
    assert first.at.utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert written(book)[0].startswith(first.at.strftime("%Y-%m-%dT%H:%M:%S."))
    assert (second.number, book.changes) == (2, 2)
    assert book.lines(after=1) == (second,)
    assert book.lines(after=2) == book.lines(after=99) == ()


def test_threads_side_by_side_lose_no_line(book: logfile.FileLogBook) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(own.info, map(str, range(800))))
    assert len(written(book)) == 800
    assert [line.number for line in book.lines()] == list(range(1, 801))


def test_ours_counts_from_info_and_others_from_warning(book: logfile.FileLogBook) -> None:
    own.debug("too fine")
    foreign.info("not ours")
    logging.getLogger("console_of_somebody").info("not ours either")
    own.info("kept")
    assert [line.message for line in book.lines()] == ["kept"]


@pytest.mark.parametrize(
    "hostile",
    [
        "two\nlines",
        "carriage\rreturn",
        "esc \x1b]52;c;aGk=\x07",
        "rtl \u202etxt",
        "nul \x00",
        "u2028 \u2028x",
        "\udcff",
    ],
)
def test_hostile_text_stays_on_its_line_and_brings_no_control_characters(
    book: logfile.FileLogBook, hostile: str
) -> None:
    # By hand: pytest's own handler keeps records too, and can't pass a lone surrogate on.
    for message, arguments in (("said %s", (hostile,)), (hostile, ())):
        record = {"name": own.name, "levelno": logging.WARNING, "msg": message, "args": arguments}
        book.handle(logging.makeLogRecord(record))
    lines = written(book)
    assert len(lines) == 2
    assert all(LINE.fullmatch(line) and line.isprintable() for line in lines)
    assert all(line.message.isprintable() for line in book.lines())


def test_a_secret_in_a_message_its_arguments_or_an_exception_is_hidden(book: logfile.FileLogBook) -> None:
    own.info("opened %s", CANARY)
    own.info(" ".join(("opened", CANARY)))
    own.info("opened %(token)s", {"token": CANARY})
    # By hand: pytest's own handler would raise.
    book.handle(logging.makeLogRecord({"name": own.name, "levelno": 40, "msg": "odd %d", "args": (CANARY,)}))
    try:
        int(f"can't use {CANARY}")
    except ValueError:
        own.exception("failed")
    whole = "\n".join([*written(book), *(line.message for line in book.lines())])
    assert len(book.lines()) == 5
    assert_tells_nothing(whole)
    assert "ValueError" in whole
    assert "in test_a_secret_in_a_message" in whole


def test_a_message_of_megabytes_becomes_a_bounded_line(book: logfile.FileLogBook) -> None:
    own.info("x y " * 3_000_000)
    own.info(CANARY * 1_000_000)
    assert [len(line.message) <= 4_000 for line in book.lines()] == [True, True]
    assert_tells_nothing(book.lines()[1].message)


def test_file_and_folder_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with logfile.logging_to(settings(tmp_path / "state" / "keydeck.log")) as book:
            own.info("x")
    finally:
        os.umask(before)
    assert book.path is not None
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(book.path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "keydeck.log"
    path.write_text("before\n")
    path.chmod(0o644)
    with logfile.logging_to(settings(path)):
        own.info("after")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("before\n")


def symlink(path: Path) -> None:
    (path.parent / "target").write_text("precious\n")
    path.symlink_to(path.parent / "target")


def hard_link(path: Path) -> None:
    (path.parent / "target").write_text("precious\n")
    path.hardlink_to(path.parent / "target")


@pytest.mark.parametrize("trap", [symlink, hard_link, os.mkfifo, Path.mkdir], ids=lambda trap: trap.__name__)
def test_what_is_no_plain_file_is_not_written_and_nothing_breaks(
    tmp_path: Path, trap: Callable[[Path], Any]
) -> None:
    path = tmp_path / "keydeck.log"
    trap(path)
    with logfile.logging_to(settings(path)) as book:
        own.info("kept in memory")
    assert book.path is None
    assert str(path) in book.trouble
    assert [line.word for line in book.lines()] == ["warning", "info"]
    if (tmp_path / "target").exists():
        assert (tmp_path / "target").read_text() == "precious\n"


def test_a_disk_that_fills_up_is_told_once_and_the_log_goes_on_when_there_is_room(
    book: logfile.FileLogBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        own.info("one")
        own.info("two")
        assert "No space left" in book.trouble
    own.info("three")
    assert book.trouble == ""
    assert [line.message.split()[0] for line in book.lines()] == ["one", "The", "two", "three"]
    assert len(written(book)) == 1


def test_none_means_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with logfile.logging_to(settings("none")) as book:
        own.info("x")
    assert (book.path, book.trouble, len(book.lines())) == (None, "", 1)
    assert list(tmp_path.iterdir()) == []


def test_the_default_is_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert logfile.log_path(settings("")) == tmp_path / ".local/state/keydeck/keydeck.log"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert logfile.log_path(settings("")) == Path("/var/state/keydeck/keydeck.log")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert logfile.log_path(settings("")) == tmp_path / ".local/state/keydeck/keydeck.log"
    assert logfile.log_path(settings("~/k.log")) == tmp_path / "k.log"


def test_stopping_leaves_logging_as_it_was(tmp_path: Path) -> None:
    before = logging.getLogger("crypto_core").level, list(logging.getLogger().handlers)
    with logfile.logging_to(settings(tmp_path / "a.log")) as book:
        pass
    own.info("not for us")
    assert (logging.getLogger("crypto_core").level, list(logging.getLogger().handlers)) == before
    assert book.lines() == ()


def test_files_rotate_and_the_oldest_goes(tmp_path: Path) -> None:
    file = logfile.RotatingFile(tmp_path / "k.log", size=100, files=3)
    for number in range(40):
        file.write(f"line {number:3} of some length\n")
    file.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k.log", "k.log.1", "k.log.2"]
    assert all(p.stat().st_size <= 100 for p in tmp_path.iterdir())
    kept = "".join((tmp_path / name).read_text() for name in ("k.log.2", "k.log.1", "k.log")).splitlines()
    assert kept == [f"line {number:3} of some length" for number in range(40 - len(kept), 40)]


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    file = logfile.RotatingFile(tmp_path / "k.log")
    (tmp_path / "k.log").unlink()
    file.write("again\n")
    assert (tmp_path / "k.log").read_text() == "again\n"
    (tmp_path / "k.log").unlink()
    (tmp_path / "k.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(logfile.LogFileError, match="can't be written"):
        file.write("not there\n")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.deep
def test_processes_side_by_side_lose_and_mix_no_line(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from console.files.logfile import RotatingFile\n"
        "file = RotatingFile(Path(sys.argv[1]), size=20_000, files=50)\n"
        "for n in range(1500): file.write(f'{sys.argv[2]} {n} ' + 'x' * 60 + '\\n')"
    )
    path = str(tmp_path / "k.log")
    running = [subprocess.Popen([sys.executable, "-c", code, path, name]) for name in "abc"]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    lines = [line for p in tmp_path.iterdir() for line in p.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{name} {n} " + "x" * 60 for name in "abc" for n in range(1500))
    assert len(list(tmp_path.iterdir())) > 10


def test_a_command_keeps_a_log_only_where_asked(
    environment: dict[str, str], keydeck: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert keydeck("status").exit_code == 0
    assert not (tmp_path / "state").exists()
    asked_for = tmp_path / "command.log"
    monkeypatch.setenv("KEYDECK_LOG_FILE", str(asked_for))
    assert keydeck("status").exit_code == 0
    assert stat.S_IMODE(asked_for.stat().st_mode) == 0o600


def test_an_error_of_ours_is_logged_with_its_text(book: logfile.FileLogBook) -> None:
    own.error("asked", exc_info=KmsUnreachableError("No answer from AWS at Decrypt."))
    assert "KmsUnreachableError: No answer from AWS at Decrypt." in book.lines()[0].message
