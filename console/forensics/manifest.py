"""What forensics adds: decoys, and what tokens can do."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "forensics",
    commands={
        "abilities": AddedCommand("Ask providers what tokens can do; order of revocation.", "verify"),
        "tripwire": AddedCommand("Add, list and remove decoys that tell who opens them.", "guard"),
    },
    pages={
        "abilities": AddedPage(
            "The worst day", "What a token can do, and in which order to revoke them.", "providers"
        ),
        "tripwires": AddedPage(
            "Every day", "Decoy connections: a finding names whoever opens one, and from where.", "guard"
        ),
    },
    services=dict.fromkeys(("abilities", "abilities_file"), "console.forensics.services:ForensicsServices"),
    schemas={
        "abilities": ("crypto_core.providers.abilities:TokenAbilities",),
        "order": ("crypto_core.providers.revocation_order:RankedToken",),
    },
    tools="console.forensics.services:incident_tools",
)
