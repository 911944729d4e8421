"""What the example adds. Keydeck reads it as it lists its commands: it imports nothing else."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "acme",
    commands={"acme-on-call": AddedCommand("Say who is on call.", "doctor")},
    pages={"acme-on-call": AddedPage("The worst day", "Who is on call.", "incidents")},
    package="acme_extra",
)
