"""Other keys from the settings file: checked before the console opens, and then what all screens go by."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.__main__ import run
from console.application.console_session import open_console
from console.application.keymap import checked_keys
from console.settings import load
from crypto_core.values.errors import SettingsError
from screens.actions.registry import ACTIONS
from tests.screens.deck import LARGE, deck
from tests.screens.stage import Stage

DATABASE = 'database_url = "postgresql://nobody@127.0.0.1:9/tokens"\nlog_file = "none"\n'


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that is the only source of settings."""
    for name in ("DATABASE_URL", "KEYDECK_KEYS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "settings.toml"
    path.write_text(DATABASE)
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return path


def keys_in(path: Path, *lines: str) -> dict[str, str]:
    """The keys that a settings file with these lines below [keys] gives."""
    path.write_text("\n".join([DATABASE, "[keys]", *lines]))
    return load().settings.keys


async def test_keys_of_the_settings_file_reach_footer_help_and_press(settings_file: Path) -> None:
    keys = keys_in(settings_file, '"connections.verify" = "V"', '"everywhere.help" = "f1,?"')
    async with deck(Stage(), start="connections", size=LARGE, keys=checked_keys(keys)) as d:
        footer = d.lines()[-1] + d.lines()[-2]
        assert "V verify" in footer
        assert "f1 help" in footer
        await d.press("v")
        assert "verify" not in d.stage.calls
        await d.press("f1")
        told = [line.split()[:2] for line in d.says().splitlines()]
        assert ["V", ":verify"] in told
        await d.press("escape", "V")
        assert "verify" in d.stage.calls


async def test_an_action_keeps_its_command_whatever_its_key(settings_file: Path) -> None:
    keys = keys_in(settings_file, '"connections.verify" = "f8"')
    async with deck(Stage(), start="connections", keys=checked_keys(keys)) as d:
        await d.command("verify")
        assert "verify" in d.stage.calls


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('"connections.fly" = "f"', "no action 'connections.fly'"),
        ('"connections.verify" = "banana"', "'banana' is not a key"),
        ('"connections.verify" = "q"', "share the key 'q'"),
        ('"pivots.principal" = "t"', "share the key 't'"),
        ('"everywhere.help" = "j"', "share the key 'j'"),
        ('"log.follow" = "slash"', "share the key 'slash'"),
        ('"log.follow" = "/"', "share the key"),
        ('"connections.verify" = "V"\n"connections.rewrap" = "V"', "share the key 'V'"),
        ('"a\\u001b[2Jb" = "f"', r"no action 'a\[2Jb'"),
        ('"connections.verify" = "\\u001b"', "is not a key"),
        ('"connections.verify" = "\\u202e"', "is not a key"),
        ('"connections.verify" = "\\u0000"', "is not a key"),
    ],
)
def test_keys_that_cannot_be_end_the_command_with_2_and_a_reason(
    settings_file: Path, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    keys = keys_in(settings_file, *line.split("\n"))
    with pytest.raises(SettingsError, match=says) as caught:
        checked_keys(keys)
    assert caught.value.remedy
    assert not any(c in str(caught.value) for c in "\x1b\u202e\x00")
    with pytest.raises(SettingsError, match=says):
        open_console(read_only=None, screen="status", remember=False)


def test_a_wrong_usage_and_wrong_settings_have_the_same_exit_code(
    settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_file.write_text(DATABASE + '[keys]\n"connections.verify" = 5\n')
    assert run(["status"]) == 2
    assert "KEYDECK_KEYS" in capsys.readouterr().err


@pytest.mark.parametrize(
    "key",
    ["f5", "ctrl+r", "space", "pagedown", "shift+up", "alt+x", "Z", "ä", "question_mark", "ctrl+shift+left"],
)
def test_names_of_keys_are_textuals_and_characters_are_themselves(key: str) -> None:
    other = {"everywhere.help": "f1"} if key == "question_mark" else {}
    taken = {"list.page-down": "f4"} if key == "pagedown" else {}
    taken |= {"table.mark": "f4"} if key == "space" else {}
    taken |= {"table.mark-up": "f4"} if key == "shift+up" else {}
    assert checked_keys({"connections.verify": key, **other, **taken})["connections.verify"] == key


def test_the_keys_that_come_with_keydeck_pass_the_same_check() -> None:
    assert checked_keys({action.id: action.keys for action in ACTIONS})


@pytest.mark.parametrize(
    "name", ["slash", "minus", "at", "underscore", "greater_than_sign", "comma", "tilde"]
)
def test_signs_go_by_textuals_names_too(name: str) -> None:
    moved = {"table.filter": "f1", "everywhere.pause": "f4"}
    assert checked_keys({**moved, "connections.verify": name})
