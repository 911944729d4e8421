"""--estate: what a command answers for one estate, or for each of all."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

import click

from console.commands.session import Command, ask_for_estate, loaded
from console.printed.forms import Form, chosen_form
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

    form, codes, printed = chosen_form(), [0], {}
    for number, name in enumerate(estates_of(loaded().settings)):
        ask_for_estate(name)
        if form is Form.TABLE:
            click.echo(f"\nEstate {name}" if number else f"Estate {name}")
            codes.append(_answered(name, answer))
            continue
        with redirect_stdout(io.StringIO()) as text:
            codes.append(_answered(name, answer))
        printed[name] = text.getvalue()
    if form is not Form.TABLE:
        click.echo("\n".join(_joined(printed, form)))
    return max(codes)


def _answered(name: str, answer: Callable[[], Any]) -> int:
    try:
        return int(answer() or 0)
    except KeydeckError as error:
        say(f"{name}: {error}")
        return NOT_ASKED


def _joined(printed: Mapping[str, str], form: Form) -> Iterator[str]:
    """Yield what was printed of each: a document has a member for each estate, a row begins with its."""
    if form is Form.JSON:
        members = (f"{json.dumps(name)}: {text.strip() or 'null'}" for name, text in printed.items())
        yield "{\n" + ",\n".join(members) + "\n}"
        return
    headed = False
    for name, text in printed.items():
        lines = text.splitlines()
        if form is Form.YAML:
            yield f"{json.dumps(name)}:"
            yield from (f"  {line}" for line in lines or ["null"])
        elif form is Form.JSONL:
            yield from (json.dumps({"estate": name})[:-1] + ", " + line.lstrip()[1:] for line in lines)
        elif lines:
            yield from () if headed else (f"estate,{lines[0]}",)
            headed = True
            named = io.StringIO()
            csv.writer(named, lineterminator="").writerow([name])
            yield from (f"{named.getvalue()},{line}" for line in lines[1:])
