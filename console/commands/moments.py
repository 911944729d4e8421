"""The moments of --since and --until, written as in a filter: a date, or how long ago."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click

from console.commands.session import Command
from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Field, ValueKind, parse_filter, terms_of

REMEDY = "Write it as 2026-11-24, 2026-11-24T12:00 (UTC), or how long ago: 90s, 30m, 2h, 7d, 2w."

_FIELDS = {"since": Field("since", ValueKind.SINCE), "until": Field("until", ValueKind.UNTIL)}


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Return the moment of --since or --until; for click's callbacks. Raises BadParameter.

    Of a date without a time it is when the day begins, for --until its last second.
    """
    if value is None:
        return None
    found = _read("until" if param.name == "until" else "since", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not a valid time. {REMEDY}")
    return found


def time_option(name: str, words: str) -> Callable[[Command], Command]:
    return click.option(name, callback=moment, metavar="TIME", help=words)


def _read(field: str, value: str) -> datetime | None:
    if '"' in value:  # it would end the value
        return None
    try:
        (term,) = terms_of(parse_filter(f'{field}:"{value}"', _FIELDS, now=datetime.now(UTC)))
    except InvalidFilterError:
        return None
    found = term.alternatives[0]
    bound = found.at_most if field == "until" else found.at_least
    if not isinstance(bound, datetime):
        return None
    # Events have whole seconds: a day ends with the last one before the next day.
    return bound if found.include_most else bound - timedelta(seconds=1)
