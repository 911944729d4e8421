"""What the console in a browser adds."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "browser",
    commands={
        "serve": AddedCommand("console.browser.serve", "Serve the console to a browser.", after="completion")
    },
    pages={
        "browser": AddedPage(
            "Begin", "The console in a browser.", "console/browser/browser.md", after="console"
        )
    },
    extras={"web": ("textual_serve",)},
)
