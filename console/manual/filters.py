"""The filter language, as `keydeck help filters` prints it."""

from __future__ import annotations

from crypto_core.database.tokens.inventory_expressions import FIELDS as OF_TOKENS
from crypto_core.lists.filter_fields import Field, ValueKind
from crypto_core.trail.event_fields import FREE
from crypto_core.trail.query import FIELDS as OF_EVENTS
from crypto_core.trail.query import OTHER_NAMES

_LANGUAGE = """\
One language for lists on screen, for --filter, and for rules.

  a b            both must hold; also a AND b
  a OR b         either; AND binds closer than OR
  (a OR b) c     parentheses group
  -a             must not hold; also NOT a, -(a OR b)
  field:a,b      one of several values
  field:a*b      * stands for any characters
  "a b, *"       in quotes everything is itself: spaces, commas, stars, parentheses
  field:/a.b$/   a regular expression, anywhere in the value
  field:>5       >=, <, <= and 5..10: numbers and dates
  word           a term without a field is looked for everywhere

AND, OR and NOT are words only in capital letters. Case counts nowhere else. Whatever is written in another
language (=, !=, |, &&, !a, LIKE, lower-case or, …) is refused, with what is meant: exit code 2.

Regular expressions take linear time. Known are characters, ., [a-z], [^…], \\d \\w \\s and their opposites
(ASCII), ( ), |, ^, $, * + ?, and {2,5} behind a character or class; / is written \\/.

Dates are 2026-11-24 (the whole day, UTC) or 2026-11-24T12:00. since: and until: also take how long ago:
90s, 30m, 2h, 7d, 2w."""

_EVENTS = """\
ip: takes networks: 10.20.0.0/16. hour:22..06 and weekday:sat,sun are in UTC; both ends belong to a range.
key: takes an ARN, an id or an alias. principal: is a role without its session; that is session:.
mfa:no matches only sessions whose record says so; -mfa:yes is every call not known to have had MFA.
param.NAME: is a request parameter, context.NAME: a pair of the encryption context; NAME may be *, and names
with colons stand in quotes, but for context.keydeck:id: and the like. Both are read from the records of those
events that pass the rest: narrow that, by name: or since:, where there are millions."""


def filters_text() -> str:
    """Return the topic."""
    flags = [name for name, field in OF_EVENTS.items() if field.kind is ValueKind.FLAG]
    other = ", ".join(f"{name} → {own}" for name, own in OTHER_NAMES.items() if "." not in name)
    return "\n\n".join(
        (
            _LANGUAGE,
            _wrapped("Fields of events: ", _names(OF_EVENTS)) + "\n" + _wrapped("Words: ", ", ".join(flags)),
            _EVENTS,
            _wrapped("Free text is looked for in: ", ", ".join(FREE)),
            _wrapped("Names of other tools: ", f"{other}; with userIdentity. and the like before them, too."),
            _wrapped("Fields of tokens: ", _names(OF_TOKENS)),
        )
    )


def _names(fields: dict[str, Field]) -> str:
    named = (field.shown for field in fields.values() if field.kind is not ValueKind.FLAG)
    return ", ".join(dict.fromkeys(named))


def _wrapped(lead: str, text: str) -> str:
    from textwrap import fill

    return fill(lead + text, 100, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
