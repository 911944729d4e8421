"""What forensics adds: decoys, and the audit logs of providers."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "forensics",
    commands={
        "tripwire": AddedCommand("Add, list and remove decoys that tell who opens them.", "guard"),
        "events provider": AddedCommand("Audit logs of GitHub, Slack and Atlassian.", "principal"),
    },
    pages={
        "tripwires": AddedPage(
            "Every day", "Decoy connections: a finding names whoever opens one, and from where.", "guard"
        ),
        "provider-logs": AddedPage(
            "Who opened what",
            "Audit logs of GitHub, Slack and Atlassian: what was done with a token.",
            "event-files",
        ),
    },
    services=dict.fromkeys(("token_uses", "log_puller"), "console.forensics.services:ForensicsServices"),
    tools="console.forensics.services:incident_tools",
    event_rules="crypto_core.forensics.provider_logs.rules.uses:ProviderRules",
    further_events={"providers": "crypto_core.forensics.provider_logs.store:ProviderLog"},
)
