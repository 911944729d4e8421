"""--estate: what a command answers for one estate, or for each of all."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Protocol, TextIO

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


class Row(Protocol):
    """Takes a line of an estate."""

    def __call__(self, name: str, line: str, *, heading: bool) -> None: ...


class EstatesOutput:
    """Standard output for all of them. A document has a member for each, a row begins with its estate."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._out: TextIO = sys.stdout
        self._headed = False
        self._first = True

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Print what a command prints meanwhile as the answer of an estate."""
        printed = _Lines(self._row, name) if self._form in (Form.JSONL, Form.CSV) else io.StringIO()
        if self._form is Form.TABLE:
            self._out.write(f"{'' if self._first else chr(10)}Estate {name}\n")
            yield
        else:
            with redirect_stdout(printed):
                yield
        if self._form is Form.JSON:
            self._out.write(f"{'{' if self._first else ','}\n{json.dumps(name)}: {_document(printed)}")
        elif self._form is Form.YAML:
            text = printed.getvalue() or "null\n"
            self._out.write(f"{json.dumps(name)}:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
        self._first = False

    def end(self) -> None:
        if self._form is Form.JSON:
            self._out.write("{}\n" if self._first else "\n}\n")

    def _row(self, name: str, line: str, *, heading: bool) -> None:
        if self._form is Form.JSONL:
            self._out.write(json.dumps({"estate": name})[:-1] + ", " + line.lstrip()[1:] + "\n")
        elif heading:
            if not self._headed:
                self._out.write(f"estate,{line}\n")
            self._headed = True
        else:
            csv.writer(self._out, lineterminator="").writerow([name])
            self._out.write(f",{line}\n")


class _Lines(io.StringIO):
    """Hands on each line once it is whole: a list of any length is not held."""

    def __init__(self, row: Row, name: str) -> None:
        super().__init__()
        self._row, self._name = row, name
        self._rest, self._heading = "", True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._row(self._name, line.rstrip("\r"), heading=self._heading)
                self._heading = False
        return len(text)


def _document(printed: io.StringIO) -> str:
    return printed.getvalue().strip() or "null"
