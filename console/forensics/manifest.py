"""What forensics adds: decoys, and old copies."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "forensics",
    commands={
        "tripwire": AddedCommand("Add, list and remove decoys that tell who opens them.", "guard"),
        "scan": AddedCommand("Say what dumps, backups and logs hold, and which keys they need.", "findings"),
        "copies": AddedCommand("Register scanned copies, and list which keys they need.", "scan"),
    },
    pages={
        "copies": AddedPage(
            "Every day", "Dumps, backups and logs: what is in them, and which keys they need.", "coverage"
        ),
        "tripwires": AddedPage(
            "Every day", "Decoy connections: a finding names whoever opens one, and from where.", "guard"
        ),
    },
    services={"copy_register": "console.forensics.services:ForensicsServices"},
    schemas={"scan": ("crypto_core.forensics.copies.report:ScanReport",)},
    tools="console.forensics.services:incident_tools",
)
