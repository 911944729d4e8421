"""Who an operator is, as a line has room for it."""

from __future__ import annotations


def person(actor: str) -> str:
    """Return an identity's short name: ana of …:assumed-role/oncall/ana."""
    identity, _, role = actor.partition(", database role ")
    if role and not identity.startswith("arn:"):
        identity = role  # nobody knows who it was in AWS
    return identity.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] or "-"
