"""keydeck events provider: audit logs of GitHub, Slack and Atlassian in the local store."""

from __future__ import annotations

import click

from console.lazy_commands import LazyGroup

_COMMANDS: dict[str, tuple[str, str]] = {
    "import": ("console.forensics.events_provider_in", "Read exported audit logs into the store."),
    "pull": ("console.forensics.events_provider_in", "Fetch a provider's audit log by its API."),
    "list": ("console.forensics.events_provider_out", "List providers' events, the newest first."),
    "show": ("console.forensics.events_provider_out", "Show one of them, the record as it came included."),
    "hash": ("console.forensics.events_provider_in", "Note by which hashes GitHub's log names tokens."),
    "cover": (
        "console.forensics.events_provider_out",
        "Say which events the store has, and for which times it has them all.",
    ),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def provider() -> None:
    """Providers' audit logs: what was done with tokens at GitHub, Slack and Atlassian."""
