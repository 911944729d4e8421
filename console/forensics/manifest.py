"""What forensics adds: decoys, old copies, and whose token one is."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "forensics",
    commands={
        "tripwire": AddedCommand("Add, list and remove decoys that tell who opens them.", "guard"),
        "scan": AddedCommand("Say what dumps, backups and logs hold, and which keys they need.", "findings"),
        "copies": AddedCommand("Register scanned copies, and list which keys they need.", "scan"),
        "whose": AddedCommand("Name the rows that hold a token that somebody has.", "inspect"),
    },
    pages={
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
        ("copy_register", "token_index", "token_search"), "console.forensics.services:ForensicsServices"
    ),
    schemas={
        "scan": ("crypto_core.forensics.copies.report:ScanReport",),
        "whose": ("crypto_core.forensics.token_search.result:SearchedToken",),
    },
    tools="console.forensics.services:incident_tools",
)
