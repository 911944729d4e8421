"""The team's runbooks stand beside the built-in ones, and a broken file hides no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.values.errors import RunbookError

ONE = """
id = "{}"
version = 1
title = "Ours"
subject = "key"
summary = "Ours."
[[phase]]
kind = "close"
title = "Close"
[[phase.step]]
id = "end"
title = "End"
purpose = "It ends."
"""


def test_the_built_in_runbooks_can_all_be_read_and_come_first(tmp_path: Path) -> None:
    built_in = RunbookLibrary().read()
    assert built_in.troubles == ()
    assert {"key-compromise", "token-compromise", "restore-drill"} <= {r.id for r in built_in.runbooks}
    assert all(runbook.source == "built in" for runbook in built_in.runbooks)
    decisions = [step for runbook in built_in.runbooks for step in runbook.steps if step.choices]
    safe = {step.id: step.undecided for step in decisions}
    assert (safe["leaked"], safe["retention"]) == ("yes", "keep disabled")
    assert (safe["key"], safe["second"]) == ("the key is compromised", "no replica")
    assert all(step.undecided for step in decisions)
    (tmp_path / "b.toml").write_text(ONE.format("ours-b"))
    (tmp_path / "a.toml").write_text(ONE.format("ours-a"))
    shelf = RunbookLibrary(tmp_path).read()
    assert [r.id for r in shelf.runbooks] == [*(r.id for r in built_in.runbooks), "ours-a", "ours-b"]
    assert shelf.runbooks[-1].source == str(tmp_path / "b.toml")


def test_built_in_runbooks_that_are_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an installation lost them: a library without a word would look like one that never had any."""
    monkeypatch.setattr("crypto_core.lists.toml_fields.BUILT_IN", "nowhere")
    (tmp_path / "a.toml").write_text(ONE.format("ours"))
    shelf = RunbookLibrary(tmp_path).read()
    assert [r.id for r in shelf.runbooks] == ["ours"]
    assert shelf.troubles == (
        "The built-in runbooks are missing: the installation is incomplete. Install it again.",
    )


def test_a_broken_file_is_told_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(ONE.format("first"))
    (tmp_path / "2.toml").write_text(ONE.format("first"))
    (tmp_path / "3.toml").write_text("id = [/red]\x1b")
    (tmp_path / "4.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "5.toml").write_bytes(b"#" * (256 * 1024 + 1))
    (tmp_path / "6.toml").mkdir()
    os.mkfifo(tmp_path / "7.toml")
    (tmp_path / "8.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "9.toml").write_text(ONE.format("last"))
    (tmp_path / "notes.txt").write_text("not a runbook")
    books = RunbookLibrary(tmp_path)
    shelf = books.read()
    own = [r for r in shelf.runbooks if r.source != "built in"]
    assert [r.id for r in own] == ["first", "last"]
    for trouble, (name, said) in zip(
        shelf.troubles,
        [
            ("2", f"id first is that of another runbook ({tmp_path / '1.toml'})"),
            ("3", "is not TOML"),
            ("4", "is not text in UTF-8"),
            ("5", "is longer than 256 KiB"),
            ("6", "is not a file"),
            ("7", "is not a file"),
            ("8", "is not a file"),
        ],
        strict=True,
    ):
        assert trouble.startswith(str(tmp_path / f"{name}.toml"))
        assert said in trouble
        assert trouble.isprintable()
    with pytest.raises(RunbookError, match=r"no runbook 'second'; there is: .*first, last\..*2\.toml"):
        books.get("second")
    with pytest.raises(RunbookError, match="Did you mean first"):
        books.get("frist")
    (tmp_path / "3.toml").write_text(ONE.format("second"))
    assert books.get("second").id == "second", "a corrected file counts at once"


def test_an_id_of_a_built_in_runbook_can_not_be_taken(tmp_path: Path) -> None:
    for built_in in RunbookLibrary().read().runbooks:
        (tmp_path / "own.toml").write_text(ONE.format(built_in.id))
        shelf = RunbookLibrary(tmp_path).read()
        assert f"id {built_in.id} is that of another runbook (built in)" in shelf.troubles[0]
        assert RunbookLibrary(tmp_path).get(built_in.id).source == "built in"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    shelf = RunbookLibrary(tmp_path / "none").read()
    assert shelf.runbooks == RunbookLibrary().read().runbooks
    assert "KEYDECK_RUNBOOKS" in shelf.troubles[0]
