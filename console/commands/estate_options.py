"""--estate: what a command answers for one estate, or for each of all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from console.commands.session import Command, ask_for_estate, loaded
from console.printed.forms import chosen_form
from console.printed.of_estates import EstatesOutput
from console.printed.printing import say
from crypto_core.errors import KeydeckError

ALL = "all"
NOT_ASKED = 3
"""The exit code where an estate could not be asked."""


def estate_option(command: Command) -> Command:
    """Give a command --estate. With "all" it answers for one estate after the other.

    Its exit code is then the worst, 3 where an estate could not be asked; a document has a member for each.
    """

    @functools.wraps(command)
    def about(*args: Any, estate: str | None, **given: Any) -> Any:
        if estate is None:
            return command(*args, **given)
        if estate != ALL:
            ask_for_estate(estate)
            return command(*args, **given)
        if click.get_current_context().invoked_subcommand or given.get("ocsf") or given.get("sigma"):
            raise click.UsageError(f"--estate {ALL} is for lists and documents: name one estate.")
        return _of_each(lambda: command(*args, **given))

    option = click.option("--estate", metavar="NAME|all", help="Another estate of the settings, or each.")
    return option(about)  # type: ignore[return-value]


def _of_each(answer: Callable[[], Any]) -> int:
    from console.estates.named import estates_of

    names = tuple(estates_of(loaded().settings))
    out, codes = EstatesOutput(chosen_form()), []
    for name in names:
        ask_for_estate(name)
        with out.of(name):
            codes.append(_answered(name, answer))
    out.end()
    return max(codes, default=0)


def _answered(name: str, answer: Callable[[], Any]) -> int:
    try:
        return int(answer() or 0)
    except KeydeckError as error:
        say(f"{name}: {error}")
        return NOT_ASKED
