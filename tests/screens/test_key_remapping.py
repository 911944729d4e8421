"""Other keys for actions, from the settings: they act, and footer and help show them; others are refused."""

from __future__ import annotations

import pytest

from console.application.keymap import checked_keys
from crypto_core.values.errors import SettingsError
from tests.screens.deck import LARGE, deck


async def test_another_key_from_the_settings_acts_and_is_what_footer_and_help_show() -> None:
    keys = checked_keys({"connections.verify": "V", "everywhere.refresh": "f5"})
    async with deck(start="connections", size=LARGE, keys=keys) as d:
        assert "V verify" in d.text()
        assert "v verify" not in d.text()
        await d.press("v")
        assert "verify" not in d.stage.calls
        before = d.stage.calls.count("page")
        await d.press("r")
        assert d.stage.calls.count("page") == before
        await d.press("f5")
        assert d.stage.calls.count("page") == before + 1
        await d.press("question_mark")
        told = [line.split() for line in d.says().splitlines()]
        assert ["V", ":verify"] in [words[:2] for words in told]
        assert ["f5", ":refresh"] in [words[:2] for words in told]
        await d.press("escape", "V")
        assert "verify" in d.stage.calls


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"connections.fly": "f"}, "there is no action 'connections.fly'"),
        ({"connections.verify": "banana"}, "connections.verify: 'banana' is not a key"),
        ({"connections.verify": ""}, "connections.verify: '' is not a key"),
        ({"connections.verify": "ctrl+"}, "connections.verify: 'ctrl\\+' is not a key"),
        ({"connections.verify": "w"}, "connections.rewrap and connections.verify share the key 'w'"),
        ({"connections.verify": "?"}, "connections.verify and everywhere.help share the key '\\?'"),
        ({"everywhere.refresh": "space"}, "table.mark and everywhere.refresh share the key 'space'"),
    ],
)
def test_settings_that_are_no_keys_name_the_action_and_the_key(keys: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        checked_keys(keys)


def test_actions_of_different_screens_may_share_a_key() -> None:
    assert checked_keys({"log.follow": "v"}) == {"log.follow": "v"}
    assert checked_keys({"table.mark": "space,Q", "everywhere.help": "f1"})
