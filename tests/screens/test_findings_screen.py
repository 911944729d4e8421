"""Findings: what is wrong with keys, access and trails?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.values.errors import KmsUnreachableError
from screens.findings.screen import STORE_SECONDS, FindingsScreen
from screens.keys.key_screen import KeyScreen
from tests.screens.deck import LARGE, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, harmless_after
from tests.screens.sample_events import event
from tests.screens.samples import CURRENT, FINDINGS
from tests.screens.stage import Stage
from tests.screens.test_context import places

GAP = Gap("alias/reports: policy: kms:GetKeyPolicy is not allowed", Severity.HIGH)


async def test_findings_are_listed_the_worst_first_with_the_one_under_the_cursor_whole() -> None:
    async with deck(start="findings", size=LARGE) as d:
        lines = d.lines()
        assert [line.split()[1] for line in lines[3:6]] == ["critical", "high", "medium"]
        assert "alias/tokens can be used by everyone" in d.cursor_line()
        assert "1 of 3 findings" in lines[1]
        for words in (
            f"about     {CURRENT}",
            "evidence  policy: everyone may Encrypt (Oops); 873 tokens",
            "remedy    Take the wildcard principal out",
            "controls  AWS FSBP KMS.5",
            "rule      kms-public",
        ):
            assert words in d.says()
        await d.press("down")
        assert "evidence  trail management leaves out kms.amazonaws.com" in d.says()


async def test_events_that_came_are_examined_at_once_whoever_fetched_them() -> None:
    async with deck(start="findings") as d:
        await d.tick(STORE_SECONDS)
        examined = d.stage.calls.count("rules")
        await d.tick(STORE_SECONDS)
        assert d.stage.calls.count("rules") == examined
        d.stage.events.store.add([event(1)])  # as another process does
        await d.tick(STORE_SECONDS)
        assert d.stage.calls.count("rules") == examined + 1


@pytest.mark.deep
async def test_findings_are_examined_when_they_are_looked_at_and_not_before() -> None:
    async with deck() as d:
        assert "posture" not in d.stage.calls
        await d.press("7")
        assert isinstance(d.app.screen, FindingsScreen)
        assert d.stage.calls.count("posture") == 1
        await d.press("1", "7")
        assert d.stage.calls.count("posture") == 1
        await d.press("r")
        assert d.stage.calls.count("posture") == 2


@pytest.mark.deep
async def test_a_finding_about_a_key_leads_to_it_and_another_nowhere() -> None:
    async with deck(start="findings", size=LARGE) as d:
        assert "→ Enter: the key." in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, KeyScreen)
        assert d.app.screen.key_arn == CURRENT
        await d.press("escape", "down")
        assert "Enter: the key." not in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, FindingsScreen)


async def test_what_could_not_be_examined_is_told() -> None:
    async with deck(Stage(gaps=(GAP,)), start="findings", size=LARGE) as d:
        assert "▲ 1 gap" in d.lines()[1]
        assert f"▲ not examined: {GAP.reason}" in d.says()


async def test_gaps_are_told_where_there_is_no_finding() -> None:
    async with deck(Stage(findings=(), gaps=(GAP,)), start="findings", size=LARGE) as d:
        assert "No findings in what was examined. Anything not examined is listed below." in d.text()
        assert f"▲ not examined: {GAP.reason}" in d.says()


@pytest.mark.deep
async def test_findings_are_filtered_by_severity_rule_subject_and_words() -> None:
    async with deck(start="findings", size=LARGE) as d:
        for expression, count in (
            ("severity:critical,high", 2),
            ("rule:kms-*", 2),
            ("subject:*tokens-old*", 1),
            ("control:*KMS.4*", 1),
            ("everyone", 1),
            ("-severity:critical", 2),
        ):
            await d.filter(expression)
            assert f"of {count} findings" in d.lines()[1] or f"of {count} finding" in d.lines()[1], expression
            await d.press("escape")


async def test_a_posture_that_cannot_be_examined_says_so_and_keeps_what_was_known() -> None:
    stage = Stage()
    stage.faults["posture"] = KmsUnreachableError("No answer from KMS.")
    async with deck(stage, start="findings", size=LARGE) as d:
        assert "No answer from KMS." in d.text()
        assert "No answer yet: r asks again." in d.text()
        assert stage.calls.count("posture") == 1
        stage.faults.clear()
        await d.press("r")
        assert "alias/tokens can be used by everyone" in d.cursor_line()
        stage.faults["posture"] = KmsUnreachableError("No answer from KMS.")
        await d.press("r")
        assert "Showing data from" in d.text()
        assert "alias/tokens can be used by everyone" in d.cursor_line()


@pytest.mark.deep
async def test_an_examination_that_hangs_holds_up_nothing() -> None:
    stage = Stage()
    gate = stage.hold("posture")
    async with deck(stage, start="findings") as d:
        assert "Examining keys, access and trails…" in d.text()
        await d.press("1")
        assert d.app.screen.crumb[0] == "Status"
        await d.press("7")
        gate.set()
        await d.until(lambda: d.facts.posture.value)
        assert "alias/tokens can be used by everyone" in d.cursor_line()


async def test_the_cursor_stays_on_its_finding_when_they_are_examined_anew() -> None:
    async with deck(start="findings", size=LARGE) as d:
        await d.press("down", "down")
        assert "does not rotate" in d.cursor_line()
        d.stage.findings = FINDINGS[1:]
        await d.press("r")
        assert "does not rotate" in d.cursor_line()
        assert "2 of 2 findings" in d.lines()[1]


@pytest.mark.deep
async def test_in_another_context_the_findings_are_of_that_one() -> None:
    there = Stage(findings=FINDINGS[1:2])
    async with deck(places(archive=there), start="findings", size=LARGE) as d:
        await d.command("context database archive")
        await d.until(lambda: "posture" in there.calls)
        assert "does not rotate" in d.cursor_line()
        assert "1 of 1 finding" in d.lines()[1]


@EACH_TEXT_AND_SIZE
async def test_hostile_text_in_findings_is_harmless(text: str, size: tuple[int, int]) -> None:
    finding = Finding(text, Severity.HIGH, text, text, text, text, (text,))
    about_a_key = replace(finding, subject=CURRENT)
    async with deck(
        Stage(findings=(finding, about_a_key), gaps=(Gap(text, Severity.HIGH),)), start="findings", size=size
    ) as d:
        await harmless_after(d, size, "down", "o")
