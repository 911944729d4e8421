"""A secret that tests look for in everything that could show one."""

from __future__ import annotations

import traceback

CANARY = "ghp_CANARYcanary0123456789"
MARKS = ("CANARY", "canary", "ghp_", "0123456789", CANARY.encode().hex()[:12])


def assert_tells_nothing(text: str) -> None:
    assert not [mark for mark in MARKS if mark in text]


def chain_of(error: BaseException) -> str:
    """All that an exception and what it came from could tell a log or a screen."""
    told, links = [], [error]
    while links:
        link = links.pop()
        told += [str(link), repr(link), *traceback.format_exception_only(link)]
        told += [repr(getattr(link, n)) for n in dir(link) if not n.startswith("__")]
        links += [e for e in (link.__cause__, link.__context__) if e is not None]
    return "\n".join(told)
