"""A child process for test_terminal_session.py: the console over a stage that holds nothing but hostile text.

It runs until `q`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from console.application.app import KeydeckApp
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.keys.principals import PolicyPrincipal
from crypto_core.keys.state import CustomKeyStore
from crypto_core.lists.coverage import Coverage
from crypto_core.log.logbook import Recent
from crypto_core.values.clean_text import clean
from screens.memory import Memory
from tests.screens.samples import ACCOUNT, GRANTS, HOSTILE, KEYS, NOW, hostile_rows
from tests.screens.stage import Stage

MANY = "".join(text for text in HOSTILE if len(text) < 1000) + "\x9b31m\x9d0;owned\x9c\x1b]0;owned\x07"
EVERYTHING = MANY + HOSTILE[-1]


class Book(Recent):
    """A log of hostile lines."""

    path: Path | None = None
    trouble = clean(HOSTILE[2])


def hostile_stage() -> Stage:
    """Every text that comes from elsewhere is an attack."""
    stage = Stage(rows=hostile_rows())
    names = ("account", "identity", "region", "database", "database_role", "write_key", "environment")
    more = ("profile", "write_key_alias", "database_trouble", "aws_trouble", "credentials_remedy")
    shown = dict.fromkeys(names, MANY) | dict.fromkeys(more, EVERYTHING)
    stage.place = replace(stage.place, **shown, environment_colour="red")  # type: ignore[arg-type]
    stage.keys = tuple(
        replace(
            key,
            aliases=(f"alias/{text}",),
            description=text,
            state=text,
            spec=text,
            tags={text: text},
            key_store=CustomKeyStore(text, text, text, text, text),
            missing={text: text},
        )
        for key, text in zip(KEYS, (HOSTILE[2], MANY, *HOSTILE[3:]), strict=False)
    )
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{EVERYTHING}"}
    stage.policy = {
        "Statement": [{"Sid": EVERYTHING, "Effect": "Allow", "Principal": principal, "Action": "kms:*"}]
    }
    stage.grants = (replace(GRANTS[0], name=EVERYTHING, grantee=PolicyPrincipal("AWS", EVERYTHING)),)
    stage.findings = (Finding(EVERYTHING, Severity.HIGH, *(EVERYTHING,) * 4, (EVERYTHING,)),)
    stage.gaps = (Gap(EVERYTHING, Severity.HIGH),)
    several = dict.fromkeys(("does", "warnings", "policy_lines"), (MANY,))
    stage.change_more = {"title": MANY, "key_name": MANY, **several}
    stage.problems = tuple(
        Finding(text, Severity.CRITICAL, "", text, text, text, tokens=1, rows=f"org:{text}")
        for text in (*HOSTILE, MANY)
    )
    stage.coverage = Coverage((EVERYTHING,))
    return stage


def main() -> int:
    """Run the console."""
    memory = Memory(
        {
            "history": {"command": list(HOSTILE), "filter connections": list(HOSTILE)},
            "filters": {"connections": {text: text for text in (*HOSTILE, MANY)}},
        }
    )
    log = Book()
    for text in (*HOSTILE, MANY):
        log.add(NOW, 40, text[:200], f"MARK {text}")
    app = KeydeckApp(hostile_stage().services(), memory=memory, log=log)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
