"""What commands print: documents and tables on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import methodcaller
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from console.printed.forms import Form, chosen_form
from console.printed.pace import Pace, pace_words
from console.printed.tables import PrintedTable
from console.printed.terminal import styled, width_of_terminal
from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import clean
from screens.signs import SIGNS
from screens.styled_text import StyledLine

if TYPE_CHECKING:
    from crypto_core.reencryption.plan import RunProgress

Answer = TypeVar("Answer")
P = ParamSpec("P")


def print_json(document: Any) -> None:
    """Print one document: JSON, or YAML where the running command was asked for it."""
    if chosen_form() is Form.YAML:
        click.echo(yaml_text(document), nl=False)
    else:
        click.echo(json_text(document, indent=2))


def print_answer(
    answer: Answer,
    text: Callable[[Answer], object],
    *,
    as_json: bool,
    document: Callable[[Answer], Any] = methodcaller("as_json"),
) -> None:
    """Print an answer as `text` does, or its `document`, by default its as_json()."""
    if as_json:
        print_json(document(answer))
    else:
        text(answer)


def print_line(text: str, *, err: bool = False) -> None:
    """Print a line of text, in which nothing acts on a terminal."""
    click.echo(clean(text, 5_000), err=err)


def print_styled(line: StyledLine, *, err: bool = False) -> None:
    """Print a styled line: on a terminal that can, what says how bad it is has its colour."""
    parts = ((part, "") if isinstance(part, str) else part for part in line)
    shown = (styled(clean(text, 5_000), "" if err else style) for text, style in parts)
    click.echo("".join(shown), err=err)


def say(message: str) -> None:
    """Print a message for the operator on stderr."""
    print_line(message, err=True)


def seldom(seconds: float, words: Callable[P, str]) -> Callable[P, None]:
    """Return what says words at most every so many seconds, the first time after as many."""
    said = time.monotonic()

    def tell(*args: P.args, **kwargs: P.kwargs) -> None:
        nonlocal said
        if time.monotonic() - said >= seconds:
            said = time.monotonic()
            say(words(*args, **kwargs))

    return tell


def say_unjournaled(why: str) -> None:
    """Say why the end of what was done is not in the journal, nothing for ""."""
    if why:
        say(f"The end is not in the journal: {why}")


def print_gaps(reasons: Iterable[str]) -> None:
    """Name on stderr what an answer doesn't cover."""
    for reason in reasons:
        say(f"Not covered: {reason}")


def marked(severity: Severity, text: str) -> str:
    """Return a text behind its severity, as a sign and as a word."""
    sign, style = SIGNS[severity]
    return f"{styled(f'{sign} {severity.value:8}', style)} {text}"


def print_marked(severity: Severity, text: str) -> None:
    click.echo(marked(severity, text))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and their values, a line each, the values below each other."""
    facts = [(clean(name), clean(value, 4_000)) for name, value in facts]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name:{width}}  {value}".rstrip())


def utc(moment: datetime, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a moment in UTC, which the text around it has to name."""
    return f"{moment.astimezone(UTC):{form}}"


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, err: bool = False) -> None:
    for line in PrintedTable(headers, rows).lines(width_of_terminal()):
        click.echo(line, err=err)


class Meter:
    """Progress of a run on stderr: a bar on a terminal, else a line for each tenth."""

    def __init__(
        self, label: str, draw: Callable[[int, int, str], None] | None = None, unit: str = "tokens"
    ) -> None:
        self._label, self._unit = label, unit
        self._draw = draw
        self._tenth = 0
        self._waits = False
        self._pace = Pace()

    def update(self, progress: RunProgress) -> None:
        self.show(progress.done + progress.poisoned, progress.total, progress.per_second)

    def show(self, through: int, total: int, per_second: float | None = None, *, waiting: str = "") -> None:
        """Show how many of how many are through, and how many a second: where nobody measured it, as seen.

        `waiting` is what it waits for, which a line tells when it begins and when it ends.
        """
        per_second = per_second or self._pace.per_second(through)
        if bool(waiting) != self._waits:
            self._waits = bool(waiting)
            say(f"{self._label} is waiting: {waiting}." if waiting else f"{self._label} goes on.")
        if self._draw is not None:
            self._draw(through, total, pace_words(through, total, per_second))
            return
        tenth = through * 10 // total if total else 0
        if tenth > self._tenth:
            self._tenth = tenth
            pace = pace_words(through, through, per_second, self._unit)
            say(f"{self._label}: {through:,} of {total:,}{f', {pace}' if pace else ''}")


@contextmanager
def meter(label: str, unit: str = "tokens") -> Iterator[Meter]:
    """Give a meter that is drawn while the block runs."""
    if not sys.stderr.isatty():
        yield Meter(label, unit=unit)
        return
    with bar(label) as update:
        yield Meter(label, update, unit)


@contextmanager
def bar(label: str, *, stops: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """Give what draws a bar on a terminal: how many are done, of how many, and a word on them.

    Before the first word it is not there, for a prompt needs the line; with `stops` nor after the last one.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[word]}", markup=False),
    )
    drawn = Progress(*columns, console=Console(stderr=True), transient=True)
    task = drawn.add_task(label, total=None, word="")
    ended, lock = Event(), Lock()  # a thread that is left behind may still tell its progress

    def draw(done: int, total: int, word: str) -> None:
        with lock:
            if ended.is_set():
                return
            drawn.update(task, completed=done, total=total, word=word)
            if stops and done >= total:
                drawn.live.stop()
            else:
                drawn.live.start()

    try:
        yield draw
    finally:
        with lock:
            ended.set()
            drawn.live.stop()


def json_text(document: Any, indent: int | None = None) -> str:
    return json.dumps(document, indent=indent, ensure_ascii=True)


def yaml_text(document: Any) -> str:
    """Return a document as YAML, with an end of line. What JSON can't hold is a TypeError."""
    import yaml

    plain = json.loads(json.dumps(document))  # texts of other types would get YAML's tags
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=False, width=1_000)
    return text
