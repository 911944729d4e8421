"""What forensics adds: decoys."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "forensics",
    commands={"tripwire": AddedCommand("Add, list and remove decoys that tell who opens them.", "guard")},
    pages={
        "tripwires": AddedPage(
            "Every day", "Decoy connections: a finding names whoever opens one, and from where.", "guard"
        ),
    },
    tools="console.forensics.services:incident_tools",
)
