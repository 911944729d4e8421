"""The moments of --since and --until, written as in a filter: a date, or how long ago."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import click

from console.commands.session import Command
from crypto_core.lists.filter_language import TIMES, read_moment
from crypto_core.values.errors import InvalidFilterError


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Return the moment of --since or --until; for click's callbacks. Raises BadParameter.

    Of a date without a time it is when the day begins, for --until its last second.
    """
    if value is None:
        return None
    try:
        return read_moment(value, datetime.now(UTC), until=param.name == "until")
    except InvalidFilterError:
        raise click.BadParameter(f"{value!r} is not a valid time. {TIMES}") from None


def time_option(name: str, words: str) -> Callable[[Command], Command]:
    return click.option(name, callback=moment, metavar="TIME", help=words)
