"""Keys: which KMS keys guard the tokens?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from crypto_core.values.errors import CredentialsExpiredError, KmsAccessDeniedError
from screens.connections.screen import ConnectionsScreen
from screens.keys.key_screen import KeyScreen
from screens.keys.screen import KeysScreen
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.samples import CURRENT, KEYS, MATERIALS, NOW
from tests.screens.stage import Stage


async def test_keys_with_tokens_come_first_each_with_state_rotation_and_last_use() -> None:
    async with deck(start="keys", size=LARGE) as d:
        lines = d.lines()
    words = "›● alias/tokens …9f2c Enabled SYMMETRIC_DEFAULT 365 d 3 873 12 s ago"
    assert " ".join(lines[3].split()) == words
    assert "▲ alias/tokens-old …77ab" in lines[4]
    assert "Disabled" in lines[4]
    assert "✖ alias/reports …0dd1" in lines[5]
    assert "deletion 10 Jul" in lines[5]


async def test_a_terminal_that_is_resized_shows_the_key_as_if_it_had_always_been_as_large() -> None:
    async with deck(start="keys", size=LARGE) as d:
        wide = d.text()
    async with deck(start="keys", size=SMALL) as d:
        narrow = d.text()
        await d.pilot.resize_terminal(*LARGE)
        await d.settle()
        assert d.text() == wide
        await d.pilot.resize_terminal(*SMALL)
        await d.settle()
        assert d.text() == narrow


async def test_the_cursor_stays_at_the_top_when_the_counts_come_after_the_keys() -> None:
    stage = Stage()
    counts = stage.hold("status")
    async with deck(stage, start="keys") as d:
        assert d.line_with("alias/reports").startswith("›")
        counts.set()
        await d.until(lambda: d.facts.status.value)
        assert "alias/tokens …9f2c" in d.cursor_line()
        assert "1 of 4 keys" in d.lines()[1]


async def test_the_cursor_stays_on_its_key_when_the_counts_come_after_it_was_moved() -> None:
    stage = Stage()
    counts = stage.hold("status")
    async with deck(stage, start="keys") as d:
        await d.press("down", "up")
        assert "alias/reports" in d.cursor_line()
        counts.set()
        await d.until(lambda: d.facts.status.value)
        assert "alias/reports" in d.cursor_line()
        assert "3 of 4 keys" in d.lines()[1]


@pytest.mark.deep
async def test_the_cursor_stays_on_its_key_when_the_counts_come_while_a_filter_is_typed() -> None:
    stage = Stage()
    counts = stage.hold("status")
    async with deck(stage, start="keys") as d:
        await d.press("slash")
        counts.set()
        await d.until(lambda: d.facts.status.value)
        await d.press("escape")
        assert "alias/reports" in d.cursor_line()


async def test_the_cursor_stays_on_its_key_when_counts_come_anew() -> None:
    async with deck(start="keys") as d:
        old = [row for row in d.stage.rows if row.key_arn != CURRENT]
        d.stage.rows[:] = old
        await d.press("r")
        assert "alias/tokens …9f2c" in d.cursor_line()
        assert "1 of 4 keys" not in d.lines()[1]


async def test_what_may_not_be_seen_is_a_question_mark_and_the_missing_action_is_named() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("down", "down")
        assert d.cursor_line().count("?") == 3
        assert "kms:GetKeyRotationStatus" in d.says()
        assert "kms:ListKeyRotations" in d.says()
        assert "kms:GetKeyLastUsage" in d.says()
        await d.press("down")
        assert "state unknown" in d.text()


async def test_enter_opens_a_key_with_its_materials_and_escape_comes_back() -> None:
    async with deck(start="keys") as d:
        await d.press("enter")
        assert isinstance(d.app.screen, KeyScreen)
        assert "Keys › Key › alias/tokens …9f2c" in d.lines()[1]
        assert CURRENT in d.text()
        assert "on, every 365 d, next 12 Mar 2027" in d.text()
        assert d.line_with("inferred (253 asked)").split()[:4] == ["3", "12", "Mar", "774"]
        assert "2026-07-01 11:59 +0000   12 s ago   Decrypt" in d.text()
        await d.press("escape")
        assert isinstance(d.app.screen, KeysScreen)


async def test_a_key_leads_to_its_tokens_and_a_material_to_those_on_it() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("enter", "enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "1 of 873 tokens" in d.lines()[1]
        await d.press("escape")
        assert isinstance(d.app.screen, KeyScreen)
        await d.press("down", "down", "enter")
        assert f"material:{MATERIALS[1][:12]}*" in d.app.screen.crumb[1]
        assert "1 of 99 tokens" in d.lines()[1]


async def test_the_key_is_asked_anew_and_shows_what_the_list_did_not_know() -> None:
    sparse = replace(KEYS[0], rotation_enabled=None, last_used_at=None, materials=())
    async with deck(Stage(keys=(sparse,)), start="keys", size=LARGE) as d:
        d.stage.keys = KEYS
        assert "every 365 d" not in d.text()
        await d.press("enter")
        assert "every 365 d" in d.text()
        assert "show" in d.stage.calls


async def test_a_key_that_kms_refuses_to_show_keeps_what_the_list_knew() -> None:
    async with deck(start="keys", size=LARGE) as d:
        d.stage.faults["show"] = KmsAccessDeniedError("Denied.", remedy="Allow kms:DescribeKey.")
        await d.press("enter")
        assert "Denied. Allow kms:DescribeKey." in d.text()
        assert "Enabled" in d.text()


async def test_a_key_that_hangs_can_be_left() -> None:
    async with deck(start="keys") as d:
        d.stage.hold("show")
        await d.press("enter")
        assert "⟳" in d.lines()[0]
        await d.press("escape")
        assert isinstance(d.app.screen, KeysScreen)


async def test_expired_credentials_name_the_remedy_and_r_asks_again() -> None:
    async with deck(
        Stage(faults={"keys": CredentialsExpiredError("The session expired.")}), start="keys"
    ) as d:
        assert "aws sso login" in d.text()
        assert "No answer yet: r asks again." in d.text()
        d.stage.faults.clear()
        await d.press("r")
        assert "alias/tokens …9f2c" in d.text()
        assert "aws sso login" not in d.text()


async def test_a_late_refusal_is_told_where_the_keys_were_waited_for() -> None:
    stage = Stage(faults={"keys": CredentialsExpiredError("The session expired.")})
    refusal = stage.hold("keys")
    async with deck(stage, start="keys") as d:
        assert "Asking KMS for keys…" in d.text()
        refusal.set()
        await d.until(lambda: d.facts.keys.trouble)
        assert "Asking KMS for keys…" not in d.text()
        assert "No answer yet: r asks again." in d.text()


async def test_no_keys_at_all_says_which_permissions_list_them() -> None:
    async with deck(Stage(keys=()), start="keys") as d:
        assert "KMS shows no key to this identity" in d.text()
        assert "kms:ListKeys" in d.text()


async def test_a_material_that_only_the_tokens_tell_of_has_a_row_of_its_own() -> None:
    fewer = replace(KEYS[0], materials=KEYS[0].materials[1:])
    stage = Stage(keys=(fewer,))
    stage.rows[0] = replace(stage.rows[0], key_material_id="f" * 64)
    async with deck(stage, start="keys", size=LARGE) as d:
        await d.press("enter")
        assert "ffffffff…" in d.text()


async def test_moments_are_shown_in_the_operators_zone_with_the_offset() -> None:
    key = replace(KEYS[0], created_at=NOW - timedelta(hours=1))
    async with deck(Stage(keys=(key,)), start="keys") as d:
        await d.press("enter")
        assert "2026-07-01 11:00 +0000" in d.text()
