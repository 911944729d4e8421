"""Every command as it is declared, for the page about commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module

import click

_ROOT = "console.__main__"
"""Where keydeck is declared: commands are imported by name, as their groups do it."""


def markdown() -> str:
    root: click.Command = import_module(_ROOT).keydeck
    return "\n".join(_sections(root, click.Context(root, info_name="keydeck")))


def _sections(command: click.Command, ctx: click.Context) -> Iterator[str]:
    """Yield a command's usage, what it does and its options but for --help, then those below it."""
    name, usage = ctx.command_path, " ".join(command.collect_usage_pieces(ctx))
    yield from (f"## {name}", "", "```", f"{name} {usage}".rstrip(), "```", "")
    for part in inspect.cleandoc(command.help or "").split("\n\n"):
        yield from (_escaped(" ".join(part.split())), "")
    if options := list(_options(command, ctx)):
        yield from ("| option | |", "|---|---|", *options, "")
    if isinstance(command, click.Group):
        for below in command.list_commands(ctx):
            one = command.get_command(ctx, below)
            if one is not None and not one.hidden:
                yield from _sections(one, click.Context(one, info_name=below, parent=ctx))


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    for param in command.params:
        if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
            yield f"| `{_cell(record[0])}` | {escaped_cell(' '.join(record[1].split()))} |"


def escaped_cell(text: str) -> str:
    """Return a text for a cell of a table in which nothing is markup."""
    return _cell(_escaped(text))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\`*_[]<>#&" else character for character in text)
