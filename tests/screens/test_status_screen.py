"""Status: are we all right?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crypto_core.database.tokens.lost_tokens import AcceptedLoss, AcceptedUnderKey, StoredValue
from crypto_core.database.tokens.sweep.results import FoundColumn, FoundTable, Sweep
from crypto_core.envelope import Format
from crypto_core.errors import DatabaseUnreachableError
from crypto_core.keys.status import ColumnShare, KeyShare, Status
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.references import TokenRef
from screens.connections.screen import ConnectionsScreen
from screens.key_words import KeyWords
from screens.keys.key_screen import KeyScreen
from screens.status.column_lines import column_lines
from screens.status.key_lines import key_lines
from screens.status.screen import StatusScreen
from screens.status.sweep_line import sweep_lines
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.samples import CURRENT, KEYS, MATERIALS, NOW, OLD, UNLISTED
from tests.screens.stage import Stage


async def test_the_first_lines_say_how_many_problems_there_are_and_name_the_worst_first() -> None:
    async with deck() as d:
        lines = d.lines()
    assert "✖ 4 problems" in lines[2]
    assert "1,200 tokens" in lines[2]
    assert "82.8 % protected" in lines[2]
    assert "critical" in lines[3]
    assert "190 in plaintext" in lines[3]
    assert "high" in lines[5]


async def test_enter_on_a_problem_shows_the_tokens_behind_it_and_escape_comes_back() -> None:
    async with deck() as d:
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "Status › Connections › format:plaintext" in d.lines()[1]
        assert "1 of 190 tokens" in d.lines()[1]
        await d.press("escape")
        assert isinstance(d.app.screen, StatusScreen)


async def test_enter_on_a_problem_of_a_key_shows_that_key() -> None:
    async with deck() as d:
        await d.press("down", "down", "down", "enter")
        assert isinstance(d.app.screen, KeyScreen)
        assert d.app.screen.key_arn == OLD
        assert "Disabled" in d.text()


async def test_what_was_accepted_as_lost_stands_beside_the_count_at_every_width() -> None:
    losses = tuple(
        AcceptedLoss(
            StoredValue(TokenRef("slack_connection", "bot_token", f"[/red]\x1b{n}"), ""), OLD, "INC-7"
        )
        for n in range(3)
    )
    (of_key,) = AcceptedUnderKey.by_key(losses, {OLD: 3})
    (more,) = AcceptedUnderKey.by_key(losses, {OLD: 5})
    for size in (SMALL, LARGE):
        async with deck(Stage(accepted=(of_key,)), size=size) as d:
            await d.press("end")
            told = " ".join(d.text().split())
            assert "3 under alias/tokens-old" in told
            assert "all 3 accepted as unrecoverable in INC-7" in told
    assert more.words("k") == "5 under k, 3 of them accepted as unrecoverable in INC-7"


async def test_keys_materials_unknown_keys_and_tokens_without_a_key_add_up_to_all_tokens() -> None:
    async with deck(size=LARGE) as d:
        lines = d.lines()
    start = next(i for i, line in enumerate(lines) if "by key and material" in line)
    rows = lines[start + 1 : next(i for i, line in enumerate(lines) if "by column" in line) - 1]
    counts = {row[:28].strip(" ├└"): int(_number(row)) for row in rows}
    whole = [n for name, n in counts.items() if not name.startswith("material")]
    assert sum(whole) == 1200
    assert counts["alias/tokens …9f2c"] == 873
    assert any(row.startswith(" unknown key") for row in rows)
    assert any(row.startswith(" no KMS key") for row in rows)


def _number(row: str) -> str:
    return next(word for word in row[30:].replace(",", "").split() if word.isdigit())


async def test_columns_add_up_to_all_tokens() -> None:
    async with deck(size=LARGE) as d:
        total = d.line_with("all columns").split()
    assert total == ["all", "columns", "1,200", "981", "12", "7", "190", "10", "·"]


@pytest.mark.parametrize(("width", "heading"), [(80, "bound"), (120, "v2-bound")])
def test_bound_envelopes_have_a_column_where_there_are_any(width: int, heading: str) -> None:
    def words(**more: int) -> list[list[str]]:
        formats = {Format.V1: 3, Format.V2: 2} | {Format(name): number for name, number in more.items()}
        tokens = sum(formats.values())
        share = ColumnShare("gh_connection.access_token", tokens, formats)
        status = Status(NOW, tokens, formats, (share,), (), (), Coverage())
        return [line.content.plain.split() for line in column_lines(status, width)]

    assert heading not in words()[0]
    first, *_, last = words(**{"v2-bound": 41})
    assert last[first.index(heading)] == "41"
    assert [len(row) for row in words(**{"v2-bound": 41})] == [len(row) + 1 for row in words()]


async def test_a_column_leads_to_its_tokens() -> None:
    async with deck(size=LARGE) as d:
        await d.press("end", "enter")
        assert "table:confluence_connection column:access_token" in d.lines()[1]
        assert "1 of 20 tokens" in d.lines()[1]


async def test_tokens_of_unknown_key_are_one_enter_away() -> None:
    async with deck(size=LARGE) as d:
        while "unknown key" not in d.cursor_line():
            await d.press("down")
        await d.press("enter")
        assert "key:unknown" in d.lines()[1]
        assert "1 of 60 tokens" in d.lines()[1]


async def test_what_was_not_looked_at_is_said_with_its_reason() -> None:
    reason = "eu-central-1 did not answer: its keys are unknown."
    async with deck(Stage(coverage=Coverage((reason,)))) as d:
        assert reason in d.line_with("not seen")


async def test_the_look_for_tokens_elsewhere_is_shown_with_its_age_and_what_it_found() -> None:
    column = FoundColumn("to[/red]k\x1b[31men", "text", {"v1": 3}, begins=3, documents=0, rows=3)
    table = FoundTable("public", "notes", "table", True, "id", "integer", (), (column,))
    sweep = Sweep(NOW - timedelta(hours=3), "operator", False, 0.1, 7, 40, "", frozenset())
    assert sweep_lines(None, NOW, 80) == []
    (line,) = sweep_lines(sweep, NOW, 80)
    assert line.content.plain == "elsewhere: no tokens (samples of 40 columns, 3 h ago)"
    found = replace(sweep, full=True, found=(table,))
    (line,) = sweep_lines(found, NOW, 80)
    assert line.content.plain == "elsewhere: tokens in 1 column (every row of 40 columns, 3 h ago)"
    async with deck(Stage(coverage=Coverage(found.reasons)), size=LARGE) as d:
        assert "notes.to[/red]k[31men holds tokens and is in no inventory" in d.line_with("not seen")


async def test_when_all_is_well_the_first_line_says_so() -> None:
    stage = Stage(problems=())
    stage.rows = [row for row in stage.rows if row.format.protected]
    async with deck(stage) as d:
        assert "● All is well" in d.lines()[2]
        assert "100 % protected" in d.lines()[2]


async def test_without_problems_but_with_gaps_it_does_not_say_that_all_is_well() -> None:
    async with deck(Stage(problems=(), coverage=Coverage(("Keys could not be listed.",)))) as d:
        assert "All is well" not in d.text()
        assert "▲ No problem in what could be checked" in d.lines()[2]


async def test_the_last_status_stays_when_a_refresh_fails_and_the_remedy_is_shown() -> None:
    async with deck() as d:
        d.stage.faults["status"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await d.press("r")
        assert "No connection to pg-1:5432." in d.text()
        assert "Check DATABASE_URL" in d.text()
        assert "✖ 4 problems" in d.text()
        d.stage.faults.clear()
        await d.press("r")
        assert "No connection" not in d.text()


async def test_the_last_status_stays_while_a_new_one_is_counted() -> None:
    async with deck() as d:
        d.stage.hold("status")
        await d.press("r")
        assert "⟳" in d.lines()[0]
        assert "✖ 4 problems" in d.text()


async def test_a_status_that_never_came_says_how_to_ask_again() -> None:
    async with deck(Stage(faults={"status": DatabaseUnreachableError("No connection.")})) as d:
        assert "No answer yet: r asks again." in d.text()


async def test_an_unexpected_error_is_told_by_its_type_only() -> None:
    async with deck(Stage(faults={"status": ValueError("xoxb-canary")})) as d:
        assert "Unexpected: ValueError." in d.text()
        assert "canary" not in d.text()


async def test_a_refresh_keeps_the_cursor_on_its_line() -> None:
    async with deck() as d:
        await d.press("down", "down")
        before = d.cursor_line()
        await d.press("r")
        assert d.cursor_line() == before


async def test_the_remedy_for_the_line_under_the_cursor_is_shown() -> None:
    async with deck() as d:
        assert "→ Enter: these tokens. Encrypt them in place" in d.text()
        await d.press("down")
        assert "Their key is public knowledge." in d.says()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"key_state": "PendingDeletion"}, "✖ deletion"),
        ({"key_state": "PendingImport"}, "▲ PendingImp…"),
        ({"trusted": False}, "▲ not trusted"),
        ({"key_state": None, "key_arn": UNLISTED}, "▲ unknown"),
    ],
)
def test_a_key_in_any_other_state_than_enabled_says_so_with_a_sign(
    changes: dict[str, Any], word: str
) -> None:
    share = KeyShare(CURRENT, "alias/tokens", "Enabled", MATERIALS[2], 5, Evidence.VERIFIED, 5)
    status = Status(NOW, 5, {Format.V1: 5}, (), (replace(share, **changes),), (), Coverage())
    lines = key_lines(status, KeyWords(KEYS), NOW, 77)
    assert f"  {word} " in lines[1].content.plain
