"""Changes of keys on screen: previewed, agreed to, made, told; nothing before the operator has agreed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button, Input

from crypto_core.keys.changes.change import ChangeKind, number_of_days, policy_in
from crypto_core.keys.changes.plan import ChangedFact, TokensAtRisk
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.values.errors import KmsAccessDeniedError, KmsUnreachableError
from screens.key_changes.change_dialog import ChangeDialog
from screens.keys.key_actor import ChooseGrant, CreateDialog
from screens.widgets.question import AskText
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, assert_harmless, harmless_after
from tests.screens.samples import CURRENT, GRANTS, POLICY
from tests.screens.stage import Stage

ROLE = "arn:aws:iam::123456789012:role"
SUSPECT = f"{ROLE}/somebody-else"


def ran(d: Deck) -> bool:
    return "key run" in d.stage.calls


async def clear_and_type(d: Deck, text: str) -> None:
    await d.press("ctrl+u")
    await d.type(text)


@pytest.mark.parametrize("page", [False, True], ids=["list", "page"])
async def test_a_change_is_previewed_agreed_to_made_and_told(page: bool) -> None:
    async with deck(start="keys", size=LARGE) as d:
        if page:
            await d.press("enter")
        await d.press("z")
        assert isinstance(d.app.screen, ChangeDialog)
        for words in (
            "alias/tokens",
            CURRENT,
            "• It does this.",
            "◦ It does not do that.",
            "▲ Beware.",
        ):
            assert words in d.says()
        assert "calls kms:SomeOperation" in d.says()
        assert isinstance(d.app.focused, Button)
        assert d.app.focused.id == "cancel"
        assert not ran(d)
        shows = d.stage.calls.count("show" if page else "keys")
        await d.press("right", "enter")
        assert ran(d)
        assert "● Done and verified." in d.says()
        await d.press("enter")
        assert not isinstance(d.app.screen, ChangeDialog)
        assert d.stage.calls.count("show" if page else "keys") > shows


async def test_what_hurts_is_typed_and_nothing_else_will_do() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("d")
        assert "state  Enabled → Disabled" in d.says()
        line = d.app.screen.query_one("#typed", Input)
        assert line.has_focus
        confirm = d.app.screen.query_one("#confirm", Button)
        await d.type("alias/token")
        await d.press("enter")
        assert confirm.disabled
        assert not ran(d)
        await d.type("s")
        assert not confirm.disabled
        await d.press("enter")
        assert ran(d)
        assert d.stage.keys[0].state == "Disabled"
        await d.press("escape")
        assert "Disabled" in d.line_with("alias/tokens ")


@pytest.mark.parametrize("keys", [("escape",), ("enter",)])
async def test_leaving_the_preview_changes_nothing(keys: tuple[str, ...]) -> None:
    async with deck(start="keys") as d:
        await d.press("e", *keys)
        assert not isinstance(d.app.screen, ChangeDialog)
        assert not ran(d)


async def test_tokens_that_would_be_lost_are_told_and_their_number_is_typed() -> None:
    more = {
        "typed": True,
        "tokens": TokensAtRisk(873, 2, ("the database did not answer",)),
        "confirmation": "875",
    }
    async with deck(Stage(change_more=more), start="keys", size=LARGE) as d:
        await d.press("d")
        assert "✖ 873 tokens, 2 whose key is not known, not all could be counted" in d.says()
        assert "To accept that, type 875." in d.says()
        assert "▲ not counted: the database did not answer" in d.says()
        await d.type("alias/tokens")
        await d.press("enter")
        assert not ran(d)
        await clear_and_type(d, "875")
        await d.press("enter")
        assert ran(d)


async def test_what_is_so_already_offers_nothing_to_do() -> None:
    async with deck(Stage(change_more={"operations": ()}), start="keys") as d:
        await d.press("e")
        assert "Already in this state; nothing to do." in d.says()
        assert not d.app.screen.query("#confirm")


@pytest.mark.deep
async def test_a_change_that_cannot_be_is_told_with_its_remedy() -> None:
    async with deck(start="keys") as d:
        await d.command("schedule-deletion 6")
        assert "A deletion waits 7 to 30 days, not 6." in d.says()
        assert not d.app.screen.query("#confirm")
        await d.press("escape")
        await d.command("enable-rotation soon")
        assert "'soon' is not a number of days. Write digits only." in d.says()


async def test_a_refusal_by_kms_is_told_and_nothing_is_claimed() -> None:
    stage = Stage()
    stage.faults["key run"] = KmsAccessDeniedError("Denied.", remedy="Allow kms:EnableKey.")
    async with deck(stage, start="keys") as d:
        await d.press("e", "right", "enter")
        assert "Denied. Allow kms:EnableKey." in d.says()
        assert "Done" not in d.says()


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"verified": False, "unverified": "kms:DescribeKey is not allowed"},
            (
                "▲ KMS reported success, but the change could not be confirmed.",
                "▲ kms:DescribeKey is not allowed",
                "Carried out: kms:SomeOperation.",
            ),
        ),
        (
            {"stopped_by": "No answer.", "verified": True},
            ("✖ No answer.", "● The change took effect all the same.", "Carried out: kms:SomeOperation."),
        ),
        ({"next_steps": ("keydeck keys alias a b",)}, ("→ keydeck keys alias a b",)),
        ({"unjournaled": "the database is gone"}, ("▲ not in the journal: the database is gone",)),
        ({"facts": (ChangedFact("state", "Enabled", "Enabled"),)}, ("state  Enabled",)),
    ],
)
async def test_the_result_says_what_was_seen(more: dict[str, Any], words: tuple[str, ...]) -> None:
    async with deck(Stage(result_more=more), start="keys", size=LARGE) as d:
        await d.press("e", "right", "enter")
        for word in words:
            assert word in d.says()


async def test_a_change_that_hangs_can_be_left() -> None:
    async with deck(start="keys") as d:
        d.stage.hold("key run")
        await d.press("e", "right", "enter")
        assert "Asking KMS, then reading the effect back…" in d.says()
        await d.press("escape")
        assert not isinstance(d.app.screen, ChangeDialog)


@pytest.mark.deep
async def test_a_preview_that_hangs_can_be_left() -> None:
    async with deck(start="keys") as d:
        d.stage.hold("key change")
        await d.press("e")
        under_way = ("Working out what would happen…", "Reading every place in full")
        assert any(words in d.says() for words in under_way)
        await d.press("escape")
        assert not isinstance(d.app.screen, ChangeDialog)


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("key", "text", "kind", "field", "value"),
    [
        ("a", "180", ChangeKind.ENABLE_ROTATION, "period_days", 180),
        ("L", "alias/other", ChangeKind.POINT_ALIAS, "alias", "alias/other"),
        ("D", "9", ChangeKind.SCHEDULE_DELETION, "window_days", 9),
        ("M", "us-east-1", ChangeKind.REPLICATE, "region", "us-east-1"),
    ],
)
async def test_what_a_change_needs_to_know_is_asked_for(
    key: str, text: str, kind: ChangeKind, field: str, value: object
) -> None:
    async with deck(start="keys") as d:
        await d.press(key)
        assert isinstance(d.app.screen, AskText)
        await d.press("escape")
        assert d.stage.changes == []
        await d.press(key)
        await clear_and_type(d, text)
        await d.press("enter")
        assert isinstance(d.app.screen, ChangeDialog)
        (change,) = d.stage.changes
        assert (change.kind, change.key, getattr(change, field)) == (kind, CURRENT, value)


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("command", "kind", "field", "value"),
    [
        ("enable-rotation 90", ChangeKind.ENABLE_ROTATION, "period_days", 90),
        ("alias other", ChangeKind.POINT_ALIAS, "alias", "other"),
        ("schedule-deletion 30", ChangeKind.SCHEDULE_DELETION, "window_days", 30),
        ("replicate us-east-1", ChangeKind.REPLICATE, "region", "us-east-1"),
        (f"revoke-grant {'a1' * 32}", ChangeKind.REVOKE_GRANT, "grant_id", "a1" * 32),
        (f"block {SUSPECT}", ChangeKind.BLOCK, "principal", SUSPECT),
        (f"unblock {SUSPECT}", ChangeKind.UNBLOCK, "principal", SUSPECT),
        ("rotate", ChangeKind.ROTATE, "grant_id", ""),
        ("cancel-deletion", ChangeKind.CANCEL_DELETION, "grant_id", ""),
        ("disable-rotation", ChangeKind.DISABLE_ROTATION, "grant_id", ""),
    ],
)
async def test_a_command_may_say_it_at_once(
    command: str, kind: ChangeKind, field: str, value: object
) -> None:
    async with deck(start="keys") as d:
        await d.command(command)
        assert isinstance(d.app.screen, ChangeDialog)
        (change,) = d.stage.changes
        assert (change.kind, change.key, getattr(change, field)) == (kind, CURRENT, value)


async def test_an_empty_answer_goes_nowhere() -> None:
    async with deck(start="keys") as d:
        await d.press("M", "enter")
        assert isinstance(d.app.screen, AskText)
        assert d.app.screen.query_one("#go-on", Button).disabled


@pytest.mark.deep
async def test_a_policy_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY), encoding="utf-8")
    async with deck(
        Stage(
            change_more={
                "policy_lines": ("--- now", "+++ then", "+  new", "-  old"),
                "policy_changes": ("x gains",),
            }
        ),
        start="keys",
        size=LARGE,
    ) as d:
        await d.command(f"put-policy {file}")
        (change,) = d.stage.changes
        assert json.loads(change.policy) == POLICY
        assert "• x gains" in d.says()
        assert "+  new\n-  old" in d.says()


@pytest.mark.deep
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.command(f"put-policy {tmp_path / 'none.json'}")
        assert "none.json can't be read: No such file or directory." in d.says()
        await d.press("escape")
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        await d.command(f"put-policy {tmp_path / 'binary'}")
        assert "binary is not UTF-8 text." in d.says()
        assert d.stage.changes == []


def test_no_more_of_a_file_is_read_than_kms_takes(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * 10_000_000, encoding="utf-8")
    assert len(policy_in(str(tmp_path / "large"))) == 32 * 1024 + 1


@pytest.mark.parametrize("text", ["", "-1", "1e3", "٣", "100000", "[/red]"])
def test_what_is_no_number_of_days_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="not a number of days"):
        number_of_days(text)


@pytest.mark.deep
async def test_a_grant_is_chosen_from_those_of_the_key() -> None:
    grants = (replace(GRANTS[0], grant_id="b2" * 32, name=""), *GRANTS)
    async with deck(Stage(grants=grants), start="keys", size=LARGE) as d:
        await d.press("v")
        assert isinstance(d.app.screen, ChooseGrant)
        assert 'a1a1a1a1…  role/legacy may Decrypt, since 1 Jul 2024 "legacy import"' in d.text()
        await d.press("down", "enter")
        assert isinstance(d.app.screen, ChangeDialog)
        (change,) = d.stage.changes
        assert (change.kind, change.grant_id) == (ChangeKind.REVOKE_GRANT, "a1" * 32)
        await d.press("escape", "V", "escape")
        assert len(d.stage.changes) == 1


@pytest.mark.parametrize(
    ("more", "fault", "words"),
    [
        ({"grants": ()}, None, "The key has no grant."),
        (
            {"grants": (), "policy_missing": {"grants": "kms:ListGrants is not allowed"}},
            None,
            "Not known: grants: kms:ListGrants is not allowed",
        ),
        ({}, KmsUnreachableError("No answer from KMS."), "No answer from KMS."),
    ],
)
async def test_without_grants_there_is_none_to_choose(
    more: dict[str, Any], fault: Exception | None, words: str
) -> None:
    stage = Stage(**more)
    if fault is not None:
        stage.faults["policy"] = fault
    async with deck(stage, start="keys") as d:
        await d.press("v")
        assert words in d.says()
        await d.press("enter")
        assert d.stage.changes == []


@pytest.mark.deep
async def test_a_new_key_is_described_field_by_field() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("N")
        assert isinstance(d.app.screen, CreateDialog)
        await d.type("alias/tokens-2")
        await d.press("enter")
        await d.type("API tokens")
        await d.press("enter")
        await clear_and_type(d, "180")
        await d.press("enter")
        await d.type(f"{ROLE}/platform, {ROLE}/batch")
        await d.press("enter")
        await d.type(f"{ROLE}/oncall")
        assert "▐ ▌ multi-Region" in d.text()
        d.app.screen.query_one("#multi-region").focus()
        await d.press("space")
        assert "▐X▌ multi-Region" in d.text()
        d.app.screen.query_one("#preview").focus()
        await d.press("enter")
        (change,) = d.stage.changes
    assert (change.kind, change.alias, change.description) == (
        ChangeKind.CREATE,
        "alias/tokens-2",
        "API tokens",
    )
    assert (change.period_days, change.multi_region) == (180, True)
    assert change.principals == {
        Role.PLATFORM: (f"{ROLE}/platform", f"{ROLE}/batch"),
        Role.OPERATOR: (f"{ROLE}/oncall",),
    }


@pytest.mark.deep
async def test_a_new_key_without_rotation_and_one_with_a_wrong_period() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("N")
        rotation = d.app.screen.query_one("#rotation", Input)
        rotation.value = "never"
        d.app.screen.query_one("#preview").focus()
        await d.press("enter")
        assert isinstance(d.app.screen, CreateDialog)
        assert rotation.has_focus
        assert "Enter the rotation period in days, or leave it empty." in d.says()
        rotation.value = ""
        preview = d.app.screen.query_one("#preview")
        await d.until(lambda: not preview.has_class("-active"))
        preview.focus()
        await d.press("enter")
        (change,) = d.stage.changes
        assert change.period_days is None
        await d.press("escape", "N", "escape")
        assert len(d.stage.changes) == 1


@pytest.mark.deep
@EACH_TEXT_AND_SIZE
async def test_hostile_text_in_a_change_is_harmless(text: str, size: tuple[int, int]) -> None:
    stage = Stage(
        grants=(replace(GRANTS[0], name=text),),
        change_more={
            "title": text,
            "key_name": text,
            "region": text,
            "seen": {text: text},
            "does": (text,),
            "does_not": (text,),
            "warnings": (text,),
            "policy_lines": (text,) * 600,
            "policy_changes": (text,),
            "tokens": TokensAtRisk(1, 1, (text,)),
            "confirmation": text,
            "typed": True,
        },
        result_more={"stopped_by": text, "unverified": text, "next_steps": (text,), "unjournaled": text},
    )
    async with deck(stage, start="keys", size=size) as d:
        await harmless_after(d, size, "z", "escape v", "escape L")
        await d.press("escape")
        stage.change_more = {"title": text}
        await d.press("e", "right", "enter")
        assert_harmless(d, size)
        await d.press("enter")
        stage.faults["key change"] = KmsUnreachableError(text, remedy=text)
        await d.press("e")
        assert_harmless(d, size)
