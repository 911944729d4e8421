"""A child process for test_raw_terminal.py: the console over a stage that holds nothing but hostile text.

It runs until it is told to quit. Its argument is what the first row is called.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from console.application.app import KeydeckApp
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.keys.principal import PolicyPrincipal
from crypto_core.keys.state import CustomKeyStore
from crypto_core.lists.coverage import Coverage
from crypto_core.log.logbook import Recent
from screens.memory import Memory
from tests.screens.samples import ACCOUNT, GRANTS, HOSTILE, KEYS, NOW, hostile_rows
from tests.screens.stage import Stage

EVERYTHING = "".join(text for text in HOSTILE if len(text) < 1000) + "\x9b31m\x9d0;owned\x9c\x1b]0;owned\x07"


class Book(Recent):
    """A log of hostile lines."""

    path: Path | None = None
    trouble = ""


def hostile_stage() -> Stage:
    """Every text that comes from elsewhere is an attack."""
    text = EVERYTHING
    stage = Stage(rows=hostile_rows())
    names = ("account", "identity", "region", "database", "database_role", "write_key", "environment")
    more = ("profile", "write_key_alias", "aws_trouble", "credentials_remedy")
    stage.place = replace(stage.place, **dict.fromkeys((*names, *more), text))
    stage.keys = tuple(
        replace(
            key,
            aliases=(f"alias/{text}",),
            description=text,
            state=text,
            tags={text: text},
            key_store=CustomKeyStore(text, text, text, text, text),
            missing={text: text},
        )
        for key in KEYS
    )
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{text}"}
    stage.policy = {
        "Statement": [{"Sid": text, "Effect": "Allow", "Principal": principal, "Action": "kms:*"}]
    }
    stage.grants = (replace(GRANTS[0], name=text, grantee=PolicyPrincipal("AWS", text)),)
    stage.findings = (Finding(text, Severity.HIGH, text, text, text, text, (text,)),)
    stage.gaps = (Gap(text, Severity.HIGH),)
    stage.change_more = {
        "title": text,
        "key_name": text,
        "does": (text,),
        "warnings": (text,),
        "policy_lines": (text,),
    }
    stage.problems = (Finding(text, Severity.CRITICAL, "", text, text, text, tokens=1, rows="provider:*"),)
    stage.coverage = Coverage((text,))
    return stage


def main(reference: str) -> int:
    """Run the console; `reference` is what the first row is called."""
    stage = hostile_stage()
    first = stage.rows[0]
    stage.rows.insert(0, replace(first, ref=replace(first.ref, row_id=reference)))
    memory = Memory()
    memory.save_filter("connections", EVERYTHING, f"org:{EVERYTHING}")
    memory.remember("command", EVERYTHING)
    log = Book()
    for _ in range(3):
        log.add(NOW, 40, EVERYTHING, EVERYTHING)
    app = KeydeckApp(stage.services(), start_screen="connections", clock=lambda: NOW, memory=memory, log=log)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
