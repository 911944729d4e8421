"""Forensics: decoys, old copies, providers' audit logs, the search for leaked tokens, their abilities."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "forensics",
    commands={
        "abilities": AddedCommand("Ask providers what tokens can do; order of revocation.", "verify"),
        "tripwire": AddedCommand("Add, list and remove decoys that tell who opens them.", "guard"),
        "scan": AddedCommand("Say what dumps, backups and logs hold, and which keys they need.", "findings"),
        "copies": AddedCommand("Register scanned copies, and list which keys they need.", "scan"),
        "whose": AddedCommand("Name the rows that hold a token that somebody has.", "inspect"),
        "events provider": AddedCommand("Audit logs of GitHub, Slack and Atlassian.", "principal"),
    },
    pages={
        "abilities": AddedPage(
            "The worst day", "What a token can do, and in which order to revoke them.", "providers"
        ),
        "copies": AddedPage(
            "Every day", "Dumps, backups and logs: what is in them, and which keys they need.", "coverage"
        ),
        "tripwires": AddedPage(
            "Every day", "Decoy connections: a finding names whoever opens one, and from where.", "guard"
        ),
        "whose": AddedPage(
            "The worst day", "Whose token is this? The rows that hold a token that somebody has.", "runbooks"
        ),
        "provider-logs": AddedPage(
            "Who opened what",
            "Audit logs of GitHub, Slack and Atlassian: what was done with a token.",
            "event-files",
        ),
    },
    services=dict.fromkeys(
        (
            *("abilities", "abilities_file", "copy_register", "log_puller"),
            *("token_index", "token_search", "token_uses", "tripwires"),
        ),
        "console.forensics.services:ForensicsServices",
    ),
    schemas={
        "abilities": ("crypto_core.providers.abilities:TokenAbilities",),
        "order": ("crypto_core.incidents.revocation_order:RankedToken",),
        "scan": ("crypto_core.forensics.copies.report:ScanReport",),
        "whose": ("crypto_core.forensics.token_search.result:SearchedToken",),
    },
    tools="console.forensics.services:incident_tools",
    event_rules="crypto_core.forensics.provider_logs.rules.uses:ProviderRules",
    further_events={"providers": "crypto_core.forensics.provider_logs.store:ProviderLog"},
)
