"""Every command that changes something, as a call: what must be refused is refused for each of them."""

from __future__ import annotations

CHANGES = (
    "init",
    "rewrap --all --to KEY --yes",
    "reencrypt --all --yes",
    "reencrypt --all --yes --job",
    "reencrypt --all --dry-run",
    "encrypt --plaintext --yes",
    "jobs pause 1",
    "jobs resume 1",
    "jobs retry 1",
    "backups purge --yes",
    "backups restore --since 1d --yes",
    "keys disable KEY --yes",
    "keys enable KEY --yes",
    "keys create --yes",
    "keys rotate KEY --yes",
    "guard --apply --yes",
    "findings suppress kms-single-region --reason expected --days 3",
    "incident start key-compromise --key KEY",
    "incident note 1 text",
    "incident close 1 --outcome over",
)
"""KEY stands for a key's ARN."""
