"""Files that are written: whole or not at all, and never where somebody else's link leads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto_core.lists.new_files import ExportError, new_file, replace_file, write_new

SOMEBODY_ELSE = 54_321


def written_new(path: Path) -> None:
    with new_file(path) as file:
        file.write("new")


WRITERS: list[Callable[[Path], None]] = [
    lambda path: replace_file(path, "new"),
    written_new,
    lambda path: write_new({path: "new"}),
]


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Path], Path]:
    """Make a link that belongs to somebody else: where the test may not give one away, it becomes another."""

    def make(link: Path, target: Path) -> Path:
        link.symlink_to(target)
        if os.geteuid() == 0:
            os.lchown(link, SOMEBODY_ELSE, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY_ELSE)
        return link

    return make


def test_the_file_behind_somebody_elses_link_is_not_replaced(
    tmp_path: Path, foreign: Callable[[Path, Path], Path]
) -> None:
    file = tmp_path / "mine"
    file.write_text("mine")
    link = foreign(tmp_path / "keydeck.prom", file)
    own = tmp_path / "own.prom"
    own.symlink_to(link)
    for path in (link, own):
        with pytest.raises(ExportError, match=r"keydeck\.prom is a link that belongs to somebody else"):
            replace_file(path, "new")
    assert file.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keydeck.prom", "mine", "own.prom"]


@pytest.mark.parametrize("write", WRITERS)
def test_nothing_is_written_into_a_folder_behind_somebody_elses_link(
    tmp_path: Path, foreign: Callable[[Path, Path], Path], write: Callable[[Path], None]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = foreign(tmp_path / "link", folder)
    for path in (link / "file", link / "none" / ".." / "file", tmp_path / "x" / ".." / "link" / "file"):
        with pytest.raises(ExportError, match="belongs to somebody else"):
            write(path)
    assert not list(folder.iterdir())


def test_links_of_ones_own_are_followed_and_stay(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "folder").symlink_to("a/b")
    (tmp_path / "a" / "b" / "link").symlink_to("../file")
    for text in ("one", "two"):
        replace_file(tmp_path / "folder" / "link", text, mode=0o644)
        assert (tmp_path / "a" / "file").read_text() == text
    assert (tmp_path / "a" / "b" / "link").is_symlink()
    assert (tmp_path / "a" / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["circle", "file/below"])
def test_where_no_file_can_be_it_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError):
        replace_file(tmp_path / name, "new")
