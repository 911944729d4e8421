"""The main screens, in the order in which they stand side by side; light, as the command names them."""

from __future__ import annotations

from typing import NamedTuple


class MainPlace(NamedTuple):
    """A main screen: `NameScreen` in `name/screen.py`, with the question that it answers, and its key.

    `calls` is as in Action. A `table` is a ListScreen.
    """

    name: str
    question: str
    key: str
    calls: str = ""
    table: bool = True
    shown: bool = True


MAIN_SCREENS = (
    MainPlace("status", "are we all right?", "1", table=False),
    MainPlace("connections", "which tokens, in what state?", "2"),
    MainPlace("keys", "which KMS keys guard the tokens?", "3"),
    MainPlace("events", "who used the keys, and is that normal?", "4"),
    MainPlace("incidents", "what do we do now, and what proves it?", "5", "incidents.incidents"),
    MainPlace("jobs", "which tokens are being re-encrypted?", "6"),
    MainPlace("findings", "what is wrong with keys, access and trails?", "7", "posture.examine_keys"),
    MainPlace("log", "what happened to the console's calls?", "9", shown=False),
)
