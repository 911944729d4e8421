"""--estate: what a command answers for one estate, or for each of all."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

import click

from console.commands.session import Command, ask_for_estate, loaded
from console.printed.forms import Form, chosen_form
from console.printed.output import say
from crypto_core.values.errors import KeydeckError

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
    from console.estates import estates_of

    form, codes, printed, headings = chosen_form(), [0], {}, set[str]()
    for number, name in enumerate(estates_of(loaded().settings)):
        ask_for_estate(name)
        if form is Form.TABLE:
            click.echo(f"\nEstate {name}" if number else f"Estate {name}")
            codes.append(_answered(name, answer))
            continue
        rows = form in (Form.JSONL, Form.CSV)
        with redirect_stdout(EstateRows(name, form, headings) if rows else io.StringIO()) as text:
            codes.append(_answered(name, answer))
        printed[name] = text.getvalue()
    for line in _members(printed, form):
        click.echo(line)
    return max(codes)


def _answered(name: str, answer: Callable[[], Any]) -> int:
    try:
        return int(answer() or 0)
    except KeydeckError as error:
        say(f"{name}: {error}")
        return NOT_ASKED


def _members(printed: Mapping[str, str], form: Form) -> Iterator[str]:
    """Yield the lines of a document with a member for each estate."""
    if form is Form.JSON:
        members = (f"{json.dumps(name)}: {text.strip() or 'null'}" for name, text in printed.items())
        yield "{\n" + ",\n".join(members) + "\n}"
    elif form is Form.YAML:
        for name, text in printed.items():
            yield f"{json.dumps(name)}:"
            yield from (f"  {line}" for line in text.splitlines() or ["null"])


class EstateRows(io.StringIO):
    """Prints each row behind its estate's name once it is whole: a list of any length is not held."""

    def __init__(self, name: str, form: Form, headings: set[str]) -> None:
        """`headings` keeps CSV's headings, which are printed once for all estates."""
        super().__init__()
        self._name, self._headings = name, headings
        self._out, self._rest = sys.stdout, ""
        self._csv = self._heading = form is Form.CSV

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(None, (one.rstrip("\r") for one in lines)):
            if self._heading:
                self._out.write("" if self._headings else f"estate,{line}\n")
                self._headings.add(line)
                self._heading = False
            elif self._csv:
                csv.writer(self._out, lineterminator="").writerow([self._name])
                self._out.write(f",{line}\n")
            else:
                self._out.write(json.dumps({"estate": self._name})[:-1] + f", {line[1:]}\n")
        return len(text)
