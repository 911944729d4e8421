"""Settings and services for one run of a command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from console.completion.offers import key_names

if TYPE_CHECKING:
    from console.container import Container
    from console.settings import LoadedSettings
    from crypto_core.database.tokens.sweep.full_read import ReadingProgress

Command = TypeVar("Command", bound=Callable[..., Any])

trust_option = click.option(
    "--trust",
    "trust",
    multiple=True,
    shell_complete=key_names,
    metavar="KEY",
    help="Also trust this KMS key, for this command.",
)


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command all of these options, in this order."""
    return lambda command: reduce(lambda given, option: option(given), reversed(options), command)


_ESTATE = "keydeck.estate"


def ask_for_estate(name: str) -> None:
    """Have what the command does from now on be about an estate."""
    click.get_current_context().meta[_ESTATE] = name


def estate_asked() -> str:
    """Return the estate that the command is about, "" for what the settings say."""
    context = click.get_current_context(silent=True)
    return str(context.meta.get(_ESTATE, "")) if context is not None else ""


def limit_option(default: int, words: str, *, least: int = 1) -> Callable[[Command], Command]:
    return click.option(
        "--limit", type=click.IntRange(min=least), default=default, show_default=True, metavar="N", help=words
    )


def read_only_asked() -> bool | None:
    """Return True if this run of keydeck was given --read-only; else None."""
    options: dict[str, bool | None] = click.get_current_context().find_root().obj or {}
    return options.get("read_only")


def loaded() -> LoadedSettings:
    """Return the settings, options of the command line included. Raises SettingsError.

    Says on stderr what is not kept where there is no folder for it.
    """
    from console.extensions import use_extensions
    from console.own_folders import NO_HOME, keeps_data
    from console.printed.output import say
    from console.settings import load

    found = load({"read_only": read_only_asked()})
    if name := estate_asked():
        from console.estates import estate_named

        found = found.model_copy(update={"settings": estate_named(found.settings, name)})
    if not found.settings.events_file and not keeps_data():
        say(NO_HOME)
    use_extensions(found.settings.extensions)
    return found


@contextmanager
def services_of(*, trust: Sequence[str] = ()) -> Iterator[Container]:
    """Give the services; connections are closed at the end. Raises SettingsError.

    A command keeps a log only where KEYDECK_LOG_FILE asks for one: what it has to say is on stderr.
    """
    from console.commands.mfa_prompt import code_from_terminal
    from console.container import Container
    from console.files.logfile import logging_to

    settings = loaded().settings
    logging = logging_to(settings) if settings.log_file else nullcontext()
    with logging, closing(Container(settings, trust=trust, ask_code=code_from_terminal)) as services:
        services.show_reading = _print_reading()
        yield services


def _print_reading() -> Callable[[ReadingProgress], None]:
    """Return what says on stderr how far a full reading is: on a terminal each time, else now and then."""
    from console.printed.output import seldom

    return seldom(1.0 if sys.stderr.isatty() else 30.0, lambda progress: progress.words)
