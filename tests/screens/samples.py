"""Keys and rows for tests of the screens: the same every time, some of them hostile."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import Format
from crypto_core.findings.finding import Finding, Severity
from crypto_core.incidents.keys.rotation.guide import Guide, GuideStep, GuideStepState
from crypto_core.incidents.keys.rotation.verdict import Instruction, RotationVerdict, command, note, setting
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.library import guide_runbook
from crypto_core.keys.grants import Grant
from crypto_core.keys.principals import PolicyPrincipal
from crypto_core.keys.state import KeyMaterial, KeyState
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.log.logbook import Recent
from crypto_core.values.references import TokenRef

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
ACCOUNT = "123456789012"


def _arn(key_id: str) -> str:
    return f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{key_id}"


CURRENT = _arn("0b7f4c1e-1111-4222-8333-4444abcd9f2c")
OLD = _arn("0b7f4c1e-1111-4222-8333-4444abcd77ab")
UNLISTED = _arn("0b7f4c1e-1111-4222-8333-4444abcdc0de")
MATERIALS = tuple(f"{n}" * 64 for n in "abc")
OLD_MATERIAL = "d" * 64

HOSTILE = (
    "[/red]",
    "[bold]OK[/bold]",
    "\x1b[31mred\x1b[0m\x1b]52;c;aGk=\x07",
    "\u202eetalumis\u2066",
    "nul\x00byte",
    "🦊 emoji 👩‍👩‍👧 wide 漢字",
    "w" * 10_000,
)

KEYS = (
    KeyState(
        key_arn=CURRENT,
        region="eu-west-1",
        aliases=("alias/tokens",),
        state="Enabled",
        description="API tokens of the platform",
        created_at=NOW - timedelta(days=840),
        manager="CUSTOMER",
        origin="AWS_KMS",
        spec="SYMMETRIC_DEFAULT",
        usage="ENCRYPT_DECRYPT",
        current_material_id=MATERIALS[2],
        materials=(
            KeyMaterial(MATERIALS[0], "NON_CURRENT", NOW - timedelta(days=840)),
            KeyMaterial(MATERIALS[1], "NON_CURRENT", NOW - timedelta(days=475), "AUTOMATIC"),
            KeyMaterial(MATERIALS[2], "CURRENT", NOW - timedelta(days=111), "AUTOMATIC"),
        ),
        rotation_enabled=True,
        rotation_period_days=365,
        next_rotation_at=NOW + timedelta(days=254),
        last_used_at=NOW - timedelta(seconds=12),
        last_used_for="Decrypt",
    ),
    KeyState(
        key_arn=OLD,
        region="eu-west-1",
        aliases=("alias/tokens-old",),
        state="Disabled",
        created_at=NOW - timedelta(days=1500),
        manager="CUSTOMER",
        origin="AWS_KMS",
        spec="SYMMETRIC_DEFAULT",
        usage="ENCRYPT_DECRYPT",
        current_material_id=OLD_MATERIAL,
        materials=(KeyMaterial(OLD_MATERIAL, "CURRENT", NOW - timedelta(days=1500)),),
        rotation_enabled=False,
        last_used_at=NOW - timedelta(days=41),
        last_used_for="Decrypt",
    ),
    KeyState(
        key_arn=_arn("0b7f4c1e-1111-4222-8333-4444abcd0dd1"),
        region="eu-west-1",
        aliases=("alias/reports",),
        state="PendingDeletion",
        deletion_at=NOW + timedelta(days=9),
        manager="CUSTOMER",
        spec="SYMMETRIC_DEFAULT",
        missing={
            "rotation": "needs kms:GetKeyRotationStatus",
            "materials": "needs kms:ListKeyRotations",
            "last use": "needs kms:GetKeyLastUsage",
        },
    ),
    KeyState(
        key_arn=_arn("0b7f4c1e-1111-4222-8333-4444abcd5ec7"),
        region="eu-west-1",
        missing={"state": "needs kms:DescribeKey", "rotation": "needs kms:GetKeyRotationStatus"},
    ),
)

_ROLE = f"arn:aws:iam::{ACCOUNT}:role"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Administration",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "Platform",
            "Effect": "Allow",
            "Principal": {"AWS": f"{_ROLE}/platform"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::999988887777:role/partner"},
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
        },
        {"Sid": "Oops", "Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"},
        {
            "Sid": "NoGrants",
            "Effect": "Deny",
            "Principal": {"AWS": f"{_ROLE}/legacy"},
            "Action": "kms:CreateGrant",
            "Resource": "*",
        },
    ],
}
GRANTS = (
    Grant(
        grant_id="a1" * 32,
        name="legacy import",
        grantee=PolicyPrincipal("AWS", f"{_ROLE}/legacy"),
        retiring=None,
        operations=("Decrypt",),
        constraints={},
        created_at=NOW - timedelta(days=730),
    ),
)

FINDINGS = (
    Finding(
        "kms-public",
        Severity.CRITICAL,
        CURRENT,
        "alias/tokens can be used by everyone",
        "policy: everyone may Encrypt (Oops); 873 tokens",
        "Take the wildcard principal out, or bind it: keydeck keys policy alias/tokens --explain.",
        ("AWS FSBP KMS.5",),
    ),
    Finding(
        "kms-rotation-off",
        Severity.MEDIUM,
        OLD,
        "alias/tokens-old does not rotate",
        "rotation is off; 21 tokens",
        "Turn it on: keydeck keys enable-rotation alias/tokens-old.",
        ("CIS AWS Foundations v7.0.0 4.6", "AWS Security Hub KMS.4"),
    ),
    Finding(
        "trail-without-kms",
        Severity.HIGH,
        f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/management",
        "No trail records the use of KMS keys",
        "trail management leaves out kms.amazonaws.com",
        "Take kms.amazonaws.com out of ExcludeManagementEventSources.",
    ),
)


def guide_step(
    number: int,
    state: GuideStepState,
    evidence: tuple[str, ...] = (),
    do: tuple[Instruction, ...] = (),
    warnings: tuple[str, ...] = (),
) -> GuideStep:
    step = guide_runbook("key-rotation").steps[number - 1]
    verdict = RotationVerdict(CheckState.NOT_YET, evidence, do, warnings)
    return GuideStep(step, number, verdict, state, step.optional)


GUIDE = Guide(
    taken_at=NOW,
    old=KEYS[1],
    new=KEYS[0],
    steps=(
        guide_step(1, GuideStepState.DONE, ("alias/tokens is Enabled", "nobody loses access")),
        guide_step(2, GuideStepState.DONE, ("kms:Decrypt and kms:GenerateDataKey are allowed",)),
        guide_step(
            3,
            GuideStepState.NOW,
            ("TOKEN_ENCRYPTION_KEY_ID names the old key",),
            (
                setting(f"TOKEN_ENCRYPTION_KEY_ID={CURRENT}", f"TOKEN_ENCRYPTION_KEY_ID={OLD}"),
                command("keydeck keys alias tokens-live alias/tokens"),
                note("Restart the platform."),
            ),
            ("The platform may read its key from elsewhere.",),
        ),
        guide_step(4, GuideStepState.WAITING),
        guide_step(5, GuideStepState.WAITING),
        guide_step(6, GuideStepState.UNKNOWN, ("the database did not answer",)),
    ),
    tokens=60,
    coverage=Coverage(("backups are not counted",)),
)


def _row(table: str, column: str, row_id: str, number: int, provider: str, **more: object) -> InventoryRow:
    orgs = ("acme", "globex", "initech", "umbrella", "hooli")
    defaults: dict[str, object] = {
        "ref": TokenRef(table, column, row_id),
        "provider": provider,
        "organisation": orgs[number % len(orgs)],
        "format": Format.V1,
        "plaintext_provider": None,
        "characters": 388,
        "key_arn": CURRENT,
        "key_material_id": MATERIALS[2],
        "evidence": Evidence.INFERRED,
        "created_at": NOW - timedelta(days=3 + number % 700),
        "shown": (
            ("org_id", orgs[number % len(orgs)]),
            ("token_type", "bearer"),
            ("scopes", "repo, read:org"),
        ),
    }
    return InventoryRow(**{**defaults, **more})  # type: ignore[arg-type]


def make_rows() -> list[InventoryRow]:
    """Twelve hundred rows in four tables: mostly v1, some plaintext, some dev, some of unknown key."""
    return list(_made_rows())


@cache
def _made_rows() -> tuple[InventoryRow, ...]:
    plain: dict[str, object] = {"key_arn": None, "key_material_id": None, "evidence": Evidence.UNKNOWN}
    rows: list[InventoryRow] = []
    for n in range(700):
        more: dict[str, object] = {}
        if n % 100 == 31:
            more = {**plain, "format": Format.DEV, "characters": 248}
        elif n % 7 == 0:
            more = {"key_material_id": MATERIALS[1]}
        elif n % 10 == 3:
            more = {"key_arn": OLD, "key_material_id": OLD_MATERIAL, "evidence": Evidence.CONFLICT}
        elif n % 50 == 2:
            more = {"format": Format.V2, "characters": 540, "evidence": Evidence.VERIFIED}
        rows.append(_row("gh_connection", "access_token", f"gh-{n}", n, "github", **more))
    for n in range(300):
        more = {"evidence": Evidence.VERIFIED} if n % 5 else {**plain}
        rows.append(_row("jira_connection", "access_token", f"jira-{n}", n, "jira", **more))
    rows += [
        _row(
            "slack_connection",
            "bot_token",
            str(n),
            n,
            "slack",
            **plain,
            format=Format.PLAINTEXT,
            plaintext_provider="slack",
            characters=57,
            shown=(("team_id", f"T{n:04}"),),
        )
        for n in range(1, 181)
    ]
    rows += [
        _row(
            "confluence_connection",
            "access_token",
            str(n),
            n,
            "confluence",
            **plain,
            format=Format.UNRECOGNISED if n % 2 else Format.PLAINTEXT,
            plaintext_provider=None if n % 2 else "atlassian",
            characters=192,
            shown=(("base_url", "https://wiki.example.com"), ("email", "ops@example.com")),
        )
        for n in range(1, 21)
    ]
    return tuple(rows)


def hostile_rows() -> list[InventoryRow]:
    """Rows whose every text is an attack on the terminal, uncleaned: the screens have to clean it again."""
    return [
        _row(
            "gh_connection",
            "access_token",
            f"{text}-{n}",
            n,
            text,
            organisation=text,
            shown=((text, text),),
            key_arn=CURRENT,
        )
        for n, text in enumerate(HOSTILE)
    ]


class SampleLog(Recent):
    path: Path | None = None
    trouble: str = ""


def sample_log() -> SampleLog:
    log = SampleLog()
    for seconds, level, logger, message in (
        (300, logging.INFO, "console.application.context", "Working in eu-west-1 with database default."),
        (240, logging.INFO, "crypto_core.reencryption.service", "rewrap of 3 tokens began."),
        (239, logging.INFO, "crypto_core.reencryption.service", "rewrap ended: 3 done, 0 failed, 9 calls."),
        (120, logging.WARNING, "crypto_core.aws.kms", "KMS throttles Decrypt: the request quota is used up."),
        (
            30,
            logging.ERROR,
            "crypto_core.database.connection.engine",
            "No connection to the database: timeout expired.",
        ),
    ):
        log.add(NOW - timedelta(seconds=seconds), level, logger, message)
    return log
