"""Status: are we all right?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crypto_core.database.tokens.census import CensusProgress
from crypto_core.database.tokens.lost_tokens import AcceptedLoss, AcceptedUnderKey, StoredValue
from crypto_core.database.tokens.sweep.results import FoundColumn, FoundTable, Sweep
from crypto_core.envelope import Format
from crypto_core.findings.finding import Finding, Severity
from crypto_core.keys.status import ColumnShare, KeyShare, Status
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.values.errors import DatabaseUnreachableError
from crypto_core.values.references import TokenRef
from screens.connections.screen import ConnectionsScreen
from screens.key_words import KeyWords
from screens.keys.key_screen import KeyScreen
from screens.memory import DayCount
from screens.status.key_lines import key_lines
from screens.status.lines import protected_lines, sweep_lines
from screens.status.screen import StatusScreen, column_lines
from screens.widgets.key_hints import KeyHints
from screens.widgets.line_list import LineList
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.samples import CURRENT, KEYS, MATERIALS, NOW, OLD, UNLISTED
from tests.screens.stage import Stage
from tests.screens.stage_incidents import incident_view


async def test_the_first_lines_say_how_many_problems_there_are_and_name_the_worst_first() -> None:
    async with deck() as d:
        lines = d.lines()
    assert "✖ 5 problems" in lines[2]
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
    counts = {row[:20].strip(" ├└"): int(_number(row)) for row in rows}
    whole = [n for name, n in counts.items() if not name.startswith("material")]
    assert sum(whole) == 1200
    assert counts["alias/tokens …9f2c"] == 873
    assert [row[:36] for row in rows if "✎" in row] == [" alias/tokens …9f2c  ✎ write key    "]
    assert any(row.startswith(" unknown key") for row in rows)
    assert any(row.startswith(" no KMS key") for row in rows)


def _number(row: str) -> str:
    return next(word for word in row[30:].replace(",", "").split() if word.isdigit())


async def test_columns_add_up_to_all_tokens() -> None:
    async with deck(size=LARGE) as d:
        total = d.line_with("all columns").split()
        assert total == ["all", "columns", "1,200", "82.8", "%", "981", "12", "7", "190", "10", "·"]
        await d.pilot.resize_terminal(160, 40)
        await d.settle()
        assert "█▉     99.0 %" in d.line_with("gh_connection.access_token  ")


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
    assert last[first.index(heading) - len(first)] == "41"
    assert [len(row) for row in words(**{"v2-bound": 41})] == [len(row) + 1 for row in words()]


async def test_a_column_leads_to_its_tokens() -> None:
    async with deck(size=LARGE) as d:
        await d.press("end", "up", "enter")
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
        assert "✖ 5 problems" in d.text()
        d.stage.faults.clear()
        await d.press("r")
        assert "No connection" not in d.text()


async def test_open_incidents_stay_when_asking_for_them_fails() -> None:
    stage = Stage()
    stage.incidents.add(incident_view())
    async with deck(stage, size=LARGE) as d:
        assert "incident  INC-7" in d.text()
        stage.faults["incidents"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        d.clock.pass_(60)
        await d.press("r")
        assert "incident  INC-7" in d.text()


async def test_the_last_status_stays_while_a_new_one_is_counted() -> None:
    async with deck() as d:
        d.stage.hold("status")
        await d.press("r")
        assert "⟳" in d.lines()[0]
        assert "✖ 5 problems" in d.text()


async def test_how_far_a_count_is_stands_where_its_answer_will_and_then_beside_the_last_one() -> None:
    stage = Stage(counting=CensusProgress(620, 1_000, 7_350_000))
    counted = stage.hold("status")
    async with deck(stage) as d:
        await d.until(lambda: "62 %  7,350,000 tokens so far" in d.text())
        counted.set()
        await d.until(lambda: "✖ 5 problems" in d.text())
        assert "so far" not in d.text()
        counted = stage.hold("status")
        await d.press("r")
        await d.until(lambda: "counting 62 %" in d.lines()[1])
        assert "✖ 5 problems" in d.text()
        counted.set()
        await d.until(lambda: "counting" not in d.text())


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


async def test_advice_names_keys_that_act_on_the_line_under_the_cursor() -> None:
    async with deck() as d:
        assert "→ Enter: these tokens. x encrypts them in place" in d.text()
        assert d.app.screen.query_one(KeyHints)._shown.plain.count("x encrypt in place") == 1
        await d.press("x")
        assert "Encrypt in place replaces" in d.says()
        await d.press("escape", *["down"] * 4, "x")
        assert isinstance(d.app.screen, StatusScreen)
        await d.press("v")
        assert "Verify 10 tokens" in d.text()
        await d.press("enter", "up", "enter", "escape")
        assert "→ Enter, then e enables the key." in d.text()
        await d.press("I")
        assert "status: under alias/tokens-old" in d.says()


async def test_findings_stand_in_one_list_with_the_problems_and_are_not_repeated() -> None:
    hostile = Finding("event-x", Severity.CRITICAL, "user/[red]\x1b[31m", "[/red]\x1bnew", "", "keydeck x")
    repeated = Finding("kms-key-disabled", Severity.HIGH, OLD, "is disabled", "", "")
    stage = Stage(trail_findings=(hostile,))
    stage.findings = (*stage.findings, repeated)
    async with deck(stage, size=LARGE) as d:
        assert "5 problems   keys not examined: 7" in d.lines()[2]
        await d.press("7", "1")
        assert "5 problems · 4 findings" in d.lines()[2]
        words = [line[1:12].split() for line in d.lines()[3:22] if line[1] in "✖▲△"]
        assert [w[:2] for w in words] == [["✖", "critical"]] * 4 + [["▲", "high"]] * 4 + [["△", "medium"]]
        assert "is disabled" not in d.text()
        assert "[/red]new" in d.text()
        while "[/red]new" not in d.cursor_line():
            await d.press("down")
        assert isinstance(d.app.screen, StatusScreen)
        assert d.app.screen.problem_in_hand is not None
        await d.pilot.resize_terminal(200, 50)
        await d.settle()
        side = [line[120:] for line in d.lines()]
        assert any("│ ✖ critical  [/red]new" in line for line in side)
        assert any("about     user/[red][31m" in line for line in side)
        assert not any("keydeck x" in line for line in side)
        while not d.cursor_line().startswith("›alias/tokens-old"):
            await d.press("down")
        assert any(line[122:].startswith("alias/tokens-old …77ab ") for line in d.lines())
        assert d.app.screen.query_one(LineList).size.width == 120
        while not d.cursor_line().startswith("›gh_connection"):
            await d.press("down")
        assert d.app.screen.query_one(LineList).size.width == 200, "the list has the room that nothing takes"
        while "[/red]new" not in d.cursor_line():
            await d.press("up")
        await d.press("enter")
        assert 'rule:"event-x"' in d.lines()[1]
        assert "1 of 1 finding" in d.lines()[1]


def test_the_thirty_days_show_what_was_counted_and_dots_where_nothing_was() -> None:
    today = NOW.date()
    counts = [
        DayCount(today - timedelta(days=back), 100, protected)
        for back, protected in ((40, 1), (29, 0), (20, 50), (1, 99), (0, 100))
    ]
    (line,) = protected_lines(counts, NOW, 100)
    bars = line.content.plain[6:36]
    assert bars == "▁" + "·" * 8 + "▄" + "·" * 18 + "▇█"
    assert "protected 100 %, 0.0 % on 2 Jun   4 of 30 days counted" in line.content.plain
    assert protected_lines(counts[:1], NOW, 100) == []
    assert all(len(line.content.plain) <= 60 for line in protected_lines(counts, NOW, 60))


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
