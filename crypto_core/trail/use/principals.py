"""Whom a name means: principals by their ARN or a part of it, and one session of a role."""

from __future__ import annotations

import re
from dataclasses import dataclass
from threading import Event

from crypto_core.trail.store import EventStore
from crypto_core.trail.use.asking import term

MOST = 50
_SESSION = re.compile(r"arn:[a-z0-9-]+:sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/(?P<session>.+)")


@dataclass(frozen=True, slots=True)
class NamedPrincipals:
    """The principals that a name means. `further` are as many more than are told.

    `session` is set where one session of a role was named.
    """

    name: str
    arns: tuple[str, ...]
    further: int
    filter: str
    session: str = ""


def named_principals(store: EventStore, name: str, *, cancelled: Event | None = None) -> NamedPrincipals:
    """Return whom a name means among the principals of the store's events.

    A whole ARN, what of it stands behind a colon or slash, the ARN of a session of a role; and if that is
    nobody, whoever has the name in the ARN. Upper and lower case don't count, as in IAM.
    """
    session = _SESSION.fullmatch(name)
    if session:
        role = term("principal", f"role/{session['role']}")
        pathed = f"principal:*:{session['account']}:role/*{_plain(session['role'])}"
        for who in (role, pathed):
            expression = f"{who} {term('session', session['session'])}"
            found = store.tally(("principal",), expression, limit=MOST, cancelled=cancelled)
            arns = [
                row.texts[0]
                for row in found.rows
                if f":{session['account']}:" in row.texts[0]
                and row.texts[0].rsplit("/", 1)[-1].lower() == session["role"].lower()
            ]
            if arns:
                exact = f"{term('principal', *arns)} {term('session', session['session'])}"
                return NamedPrincipals(name, tuple(arns), found.others, exact, session["session"])
        return NamedPrincipals(name, (), 0, expression, session["session"])
    expression = term("principal", name)
    for asked in (expression, f"principal:*{_plain(name)}*"):
        found = store.tally(("principal",), asked, limit=MOST, cancelled=cancelled)
        if found.rows:
            return NamedPrincipals(name, tuple(row.texts[0] for row in found.rows), found.others, asked)
    return NamedPrincipals(name, (), 0, expression)


def _plain(text: str) -> str:
    """A text as a part of an unquoted value; what can't stand there is any character."""
    return re.sub(r'[\s",\x00\ud800-\udfff]', "*", text)
