"""What forensics adds: decoys, and whose token one is."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "forensics",
    commands={
        "tripwire": AddedCommand("Add, list and remove decoys that tell who opens them.", "guard"),
        "whose": AddedCommand("Name the rows that hold a token that somebody has.", "inspect"),
    },
    pages={
        "tripwires": AddedPage(
            "Every day", "Decoy connections: a finding names whoever opens one, and from where.", "guard"
        ),
        "whose": AddedPage(
            "The worst day", "Whose token is this? The rows that hold a token that somebody has.", "runbooks"
        ),
    },
    services=dict.fromkeys(("token_index", "token_search"), "console.forensics.services:ForensicsServices"),
    schemas={"whose": ("crypto_core.forensics.token_search.result:SearchedToken",)},
    tools="console.forensics.services:incident_tools",
)
