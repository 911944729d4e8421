"""Rows that a test puts itself, and shares of a census by key."""

from __future__ import annotations

import os
from dataclasses import replace

from sqlalchemy import Engine, text

from crypto_core.envelope import Format, parse, serialise
from crypto_core.keys.status import KeyShare, Status

OTHER_ARN = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-00000000aaaa"
TABLES = ("gh_connection", "jira_connection", "slack_connection", "confluence_connection")


def only(platform: Engine) -> None:
    """Leave no connection."""
    with platform.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"TRUNCATE {table}"))


def without_header(stored: str) -> str:
    """The envelope with an EDK that no KMS made."""
    return serialise(replace(parse(stored), encrypted_data_key=os.urandom(184)))


def adds_up(status: Status) -> bool:
    """Every v1 and v2 token is in exactly one share."""
    sealed = status.by_format[Format.V1] + status.by_format[Format.V2]
    return sum(share.tokens for share in status.keys) == sealed


def by_key(status: Status) -> dict[tuple[str | None, str | None], int]:
    return {(s.key_arn, s.key_material_id): s.tokens for s in status.keys}


def share_of(status: Status, key_arn: str | None) -> KeyShare:
    (found,) = [s for s in status.keys if s.key_arn == key_arn]
    return found
