"""What the console in a browser adds."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

_DOES = "The console in a browser."

MANIFEST = Manifest(
    "browser",
    {"serve": AddedCommand("Serve the console to a browser.", "completion")},
    {"browser": AddedPage("Begin", _DOES, "console")},
    {"web": ("textual_serve",)},
)
