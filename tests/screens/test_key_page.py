"""One key's page, and its policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crypto_core.keys.dependent_copies import NeedingCopies, NeedingCopy
from crypto_core.keys.state import CustomKeyStore, KeyState
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsAccessDeniedError
from screens.findings.screen import FindingsScreen
from screens.keys.key_screen import KeyScreen
from screens.keys.policy_screen import PolicyScreen
from tests.screens.deck import BOTH, LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT_AND_SIZE, assert_harmless, harmless_after
from tests.screens.samples import ACCOUNT, GRANTS, KEYS, NOW
from tests.screens.stage import Stage

PRIMARY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/mrk-{'1' * 32}"
REPLICA = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/mrk-{'1' * 32}"


def stage_with(**more: Any) -> Stage:
    return Stage(keys=(replace(KEYS[0], **more), *KEYS[1:]))


async def page(d: Deck) -> str:
    await d.press("enter")
    assert isinstance(d.app.screen, KeyScreen)
    return d.text()


async def test_the_page_pictures_the_materials_over_time() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await page(d)
        band = d.line_with("▏ now")
        assert band.split()[0] == "material"
        assert band.count("▕") == 3
        at = d.lines().index(band)
        assert d.lines()[at - 1].split() == ["1", "2", "3"]
        assert d.lines()[at + 1].split() == ["tokens", "0", "99", "774"]
        assert d.lines()[at + 2].split()[:4] == ["since", "13", "Mar", "2024"]


async def test_a_key_without_materials_has_no_picture() -> None:
    async with deck(stage_with(materials=()), start="keys", size=LARGE) as d:
        assert "▏ now" not in await page(d)


async def test_the_page_says_who_may_use_the_key_and_leads_to_its_policy() -> None:
    async with deck(start="keys", size=LARGE) as d:
        text = await page(d)
        assert "may use      ○ account 123456789012 (whoever its IAM policies let) may do everything" in text
        assert "▲ role/partner of account 999988887777 may Decrypt, only through s3.eu-west-1" in text
        assert "✖ everyone may Encrypt" in text
        assert "– role/legacy may not CreateGrant" in text
        await d.press("end", "up", "enter")
        assert isinstance(d.app.screen, PolicyScreen)
        assert "Keys › Key › alias/tokens …9f2c › Policy" in d.lines()[1]
        await d.press("escape")
        assert isinstance(d.app.screen, KeyScreen)
        assert "role/legacy may not CreateGrant (NoGrants)" in d.text()


WEEKLY = NeedingCopy(clean("weekly"), 12, 0, clean("vault"), NOW, None)
OFFLINE = replace(WEEKLY, name=clean("offline"), envelopes=0, doubtful=3)
KEPT = "(taken 2026-07-01, kept without an end, vault)."
SAID = {
    "copies No copies are registered: whether dumps or backups need the key is not known.": NeedingCopies(),
    "need the key is not known: the register is gone": NeedingCopies(unknown="the register is gone"),
    "Of copies that are not registered nothing is known.": NeedingCopies(2),
    f"12 envelopes can't be opened without the key {KEPT}": NeedingCopies(2, (WEEKLY,)),
    f"of 3 envelopes the key is not known {KEPT}": NeedingCopies(1, (), (OFFLINE,)),
    "2 more: keydeck copies list": NeedingCopies(10, (WEEKLY,) * 10),
}


@pytest.mark.quick(2)
@BOTH
@pytest.mark.parametrize("said", SAID)
async def test_the_page_names_the_copies_that_need_the_key_and_never_none_for_nothing_known(
    said: str, size: tuple[int, int]
) -> None:
    async with deck(Stage(copies=SAID[said]), start="keys", size=size) as d:
        await page(d)
        await d.press("end")
        assert said in " ".join(d.text().split())


@EACH_TEXT_AND_SIZE
async def test_hostile_names_of_copies_are_inert(text: str, size: tuple[int, int]) -> None:
    copies = NeedingCopies(1, (replace(WEEKLY, name=clean(text, 100), location=clean(text, 300)),))
    async with deck(Stage(copies=copies), start="keys", size=size) as d:
        await page(d)
        await d.press("end")
        assert_harmless(d, size)


async def test_of_many_accesses_the_page_shows_some_and_says_how_many_more() -> None:
    grants = tuple(replace(GRANTS[0], grant_id=f"{n:064x}") for n in range(40))
    stage = Stage(grants=grants)
    async with deck(stage, start="keys", size=LARGE) as d:
        text = await page(d)
        assert "and 39 more" in text
        await d.press("P")
        assert "by 5 statements and 40 grants" in d.text()


@pytest.mark.deep
async def test_a_policy_that_may_not_be_read_is_named_and_the_rest_is_there() -> None:
    stage = Stage()
    refused = "KMS refuses kms:GetKeyPolicy for this key to the role that asks."
    stage.faults["policy"] = KmsAccessDeniedError(refused, remedy="Allow kms:GetKeyPolicy.")
    async with deck(stage, start="keys", size=(80, 40)) as d:
        text = await page(d)
        assert f"may use not known: {refused} Allow kms:GetKeyPolicy." in " ".join(text.split())
        assert "on, every 365 d" in text
        await d.press("P")
        assert f"{refused} Allow kms:GetKeyPolicy." in " ".join(d.text().split())
        assert "No answer: r asks again." in d.text()
        stage.faults.clear()
        await d.press("r")
        assert "Who may do what" in d.text()


async def test_a_policy_that_hangs_holds_up_nothing() -> None:
    async with deck(start="keys", size=LARGE) as d:
        d.stage.hold("policy")
        assert "may use      asking KMS…" in await page(d)
        await d.press("P")
        assert "Asking KMS…" in d.text()
        await d.press("escape", "escape")
        assert d.app.screen.crumb[0] == "Keys"


@pytest.mark.deep
async def test_what_was_known_of_a_policy_stays_when_it_is_refused_later() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await page(d)
        d.stage.faults["policy"] = KmsAccessDeniedError("Denied.")
        await d.press("r")
        assert "✖ everyone may Encrypt" in d.text()
        d.stage.faults.clear()
        await d.press("P")
        d.stage.faults["policy"] = KmsAccessDeniedError("Denied.")
        await d.press("r")
        assert "Denied." in d.text()
        assert "Who may do what" in d.text()


async def test_grants_that_may_not_be_listed_are_said_to_be_missing() -> None:
    stage = Stage(grants=(), policy_missing={"grants": "kms:ListGrants is not allowed"})
    async with deck(stage, start="keys", size=LARGE) as d:
        assert "grants       kms:ListGrants is not allowed" in await page(d)
        await d.press("P")
        assert "by 5 statements" in d.text()
        assert "▲ grants not known: kms:ListGrants is not allowed" in d.text()


async def test_the_policy_is_read_line_by_line_to_its_end() -> None:
    async with deck(start="keys", size=SMALL) as d:
        await d.press("P")
        assert isinstance(d.app.screen, PolicyScreen)
        assert d.cursor_line().startswith("›Who may do what")
        assert "○ role/platform may Decrypt, GenerateDataKey (Platform)" in d.text()
        await d.press("end")
        assert d.cursor_line().strip() == "›}"
        await d.press("pageup", "up", "home")
        assert d.cursor_line().startswith("›Who may do what")
        assert "Enter" not in d.lines()[-1]


async def test_a_long_line_of_a_policy_is_folded_not_cut() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{'long' * 60}"
    statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "kms:Decrypt", "Resource": "*"}
    async with deck(Stage(policy={"Statement": [statement]}), start="keys", size=SMALL) as d:
        await d.press("P")
        text = "".join(line.strip() for line in d.lines())
        await d.press("end")
        text += "".join(line.strip() for line in d.lines())
        assert text.count("long" * 60) >= 1


@pytest.mark.deep
async def test_the_page_leads_to_the_findings_about_the_key_and_shows_them_once_examined() -> None:
    async with deck(start="keys", size=LARGE) as d:
        assert "findings     not examined yet" in await page(d)
        assert "posture" not in d.stage.calls
        await d.press("end", "enter")
        assert isinstance(d.app.screen, FindingsScreen)
        assert "1 of 1 finding" in d.lines()[1]
        assert "alias/tokens can be used by everyone" in d.cursor_line()
        await d.press("escape")
        assert isinstance(d.app.screen, KeyScreen)
        assert "findings     ✖ critical  alias/tokens can be used by everyone" in d.text()
        assert "Enter: the findings. Take the wildcard principal out" in d.says()


@pytest.mark.deep
async def test_a_key_without_findings_says_so_once_it_was_examined() -> None:
    async with deck(Stage(findings=()), start="findings", size=LARGE) as d:
        await d.press("3")
        assert "findings     none" in await page(d)


@pytest.mark.quick(6)
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"multi_region": True, "primary_arn": None}, ("· multi-Region ",)),
        (
            {"key_arn": PRIMARY, "multi_region": True, "primary_arn": PRIMARY, "replica_arns": (REPLICA,)},
            (
                "· multi-Region primary",
                "Regions      primary eu-west-1 (this one) · replicas us-east-1",
            ),
        ),
        (
            {"key_arn": REPLICA, "multi_region": True, "primary_arn": PRIMARY, "replica_arns": (REPLICA,)},
            ("· multi-Region replica", "primary eu-west-1 · replicas us-east-1 (this one)"),
        ),
        (
            {"key_arn": PRIMARY, "multi_region": True, "primary_arn": PRIMARY},
            ("primary eu-west-1 (this one) · no replica",),
        ),
        (
            {"key_store": CustomKeyStore("cks-1", "vault", "AWS_CLOUDHSM", "FAILED", "USER_LOCKED_OUT")},
            ("key store    vault · aws cloudhsm · failed · user locked out",),
        ),
        ({"key_store": CustomKeyStore("cks-1")}, ("key store    cks-1 · connection unknown",)),
        (
            {"origin": "EXTERNAL", "expires_at": NOW + timedelta(days=9)},
            ("expires      2026-07-10 12:00 +0000   in 9 d, imported",),
        ),
        ({"detailed": True}, ("every 365 d, next 12 Mar 2027 · on demand 0 of 25 used",)),
        (
            {
                "detailed": True,
                "rotation_enabled": False,
                "rotation_started_at": NOW,
                "materials": tuple(replace(m, rotation="ON_DEMAND") for m in KEYS[0].materials),
            },
            ("rotation     off · on demand 3 of 25 used · rotating now",),
        ),
        ({"rotation_enabled": None, "manager": "AWS"}, ("rotation     by AWS, every year",)),
        (
            {"rotation_enabled": None, "spec": "RSA_2048"},
            ("rotation     KMS does not rotate such keys: only by another key behind the alias",),
        ),
        ({"rotation_enabled": None}, ("rotation     not known",)),
        (
            {"last_used_at": None, "use_tracked_since": NOW - timedelta(days=90)},
            ("last used    not since 2 Apr",),
        ),
        ({"tags": {"team": "platform", "env": "prod"}}, ("tags         team=platform · env=prod",)),
        ({"grants": GRANTS}, ("grants       role/legacy may Decrypt",)),
        ({"grants": GRANTS * 3}, ("grants       3: role/legacy may Decrypt · …",)),
        ({"grants": ()}, ("last used",)),
        (
            {"materials": (replace(KEYS[0].materials[2], expires_at=NOW + timedelta(days=9)),)},
            ("inferred (253 asked)  expires 10 Jul ",),
        ),
    ],
)
async def test_the_page_tells_of(more: dict[str, Any], words: tuple[str, ...]) -> None:
    stage = stage_with(**more)
    async with deck(stage, start="keys", size=LARGE) as d:
        while "alias/tokens " not in d.cursor_line():
            await d.press("down")
        text = await page(d)
        for word in words:
            assert word in text
        if more.get("grants") == ():
            assert "grants  " not in text


@EACH_TEXT_AND_SIZE
async def test_hostile_text_of_a_key_and_its_policy_is_harmless(text: str, size: tuple[int, int]) -> None:
    statement = {
        "Sid": text,
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{ACCOUNT}:role/{text}", text]},
        "Action": "kms:*",
        "Resource": "*",
        "Condition": {"StringLike": {text: [text]}},
    }
    grant = replace(GRANTS[0], name=text, grantee=replace(GRANTS[0].grantee, value=text))
    key = replace(
        KEYS[0], tags={text: text}, key_store=CustomKeyStore(text, text, text, text, text), grants=(grant,)
    )
    stage = Stage(
        keys=(key, *KEYS[1:]),
        policy={"Statement": [statement]},
        grants=(grant,),
        policy_missing={"grants": text},
    )
    async with deck(stage, start="keys", size=size) as d:
        await page(d)
        await harmless_after(d, size, "end", "P", "end")


async def test_an_unknown_key_is_said_to_be_asked_for() -> None:
    unlisted: tuple[KeyState, ...] = ()
    async with deck(Stage(keys=unlisted), start="keys", size=LARGE) as d:
        assert d.app.screen.key_in_hand is None  # type: ignore[attr-defined]
        await d.press("P")
        assert d.toasts() == []
        assert d.app.screen.crumb[0] == "Keys"
        await d.command("policy")
        assert d.toasts() == ["Policy: not available here, nothing is selected."]


@BOTH
async def test_replicas_are_told_apart_by_their_region(size: tuple[int, int]) -> None:
    replicas = tuple(
        replace(KEYS[0], key_arn=arn, region=region, multi_region=True)
        for arn, region in ((PRIMARY, "eu-west-1"), (REPLICA, "us-east-1"))
    )
    unnamed = replace(replicas[0], key_arn=PRIMARY.replace("111", "222"), aliases=())
    async with deck(Stage(keys=(*replicas, unnamed, *KEYS[1:])), start="keys", size=size) as d:
        assert "alias/tokens eu-west-1" in d.text()
        assert "alias/tokens us-east-1" in d.text()
        assert f"{unnamed.name} eu-west-1" in d.text()
        assert "us-east-1" not in next(line for line in d.lines() if "tokens-old" in line)
