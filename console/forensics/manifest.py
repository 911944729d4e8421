"""What forensics adds: decoys, old copies, whose token one is, and what tokens can do."""

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
            "The worst day",
            "Whose token is this? The rows that hold a token that somebody has.",
            "runbooks",
        ),
    },
    services=dict.fromkeys(
        ("abilities", "abilities_file", "copy_register", "token_index", "token_search"),
        "console.forensics.services:ForensicsServices",
    ),
    schemas={
        "abilities": ("crypto_core.providers.abilities:TokenAbilities",),
        "order": ("crypto_core.providers.revocation_order:RankedToken",),
        "scan": ("crypto_core.forensics.copies.report:ScanReport",),
        "whose": ("crypto_core.forensics.token_search.result:SearchedToken",),
    },
    tools="console.forensics.services:incident_tools",
)
