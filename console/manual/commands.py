"""Every command as it is declared: for the page about commands, and for manual pages."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import click

_ROOT = "console.__main__"
"""Where keydeck is declared: commands are imported by name, as their groups do it."""


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command. `name` is what calls it, such as "keydeck keys list"."""

    name: str
    usage: str
    """What may follow the name."""
    says: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    """Each with what it does; `--help` is left out, which all have."""
    below: tuple[CommandEntry, ...] = ()

    def whole(self) -> Iterator[CommandEntry]:
        yield self
        for entry in self.below:
            yield from entry.whole()


def declared() -> CommandEntry:
    """Return keydeck itself with every command. Imports all their modules."""
    root: click.Command = import_module(_ROOT).keydeck
    return _entry(root, click.Context(root, info_name="keydeck"))


def _entry(command: click.Command, ctx: click.Context) -> CommandEntry:
    below: tuple[CommandEntry, ...] = ()
    if isinstance(command, click.Group):
        found = ((name, command.get_command(ctx, name)) for name in command.list_commands(ctx))
        below = tuple(
            _entry(one, click.Context(one, info_name=name, parent=ctx))
            for name, one in found
            if one is not None and not one.hidden
        )
    return CommandEntry(
        name=_called(ctx),
        usage=" ".join(command.collect_usage_pieces(ctx)),
        says=tuple(" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")),
        options=tuple(_options(command, ctx)),
        below=below,
    )


def _called(ctx: click.Context) -> str:
    before = f"{_called(ctx.parent)} " if ctx.parent is not None else ""
    return f"{before}{ctx.info_name}"


def _options(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, str]]:
    for param in command.params:
        if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
            yield record[0], " ".join(record[1].split())


def markdown() -> str:
    lines: list[str] = []
    for entry in declared().whole():
        lines += [f"## {entry.name}", "", "```", f"{entry.name} {entry.usage}".rstrip(), "```", ""]
        for part in entry.says:
            lines += [_escaped(part), ""]
        if entry.options:
            lines += ["| option | |", "|---|---|"]
            lines += [f"| `{_cell(option)}` | {escaped_cell(says)} |" for option, says in entry.options]
            lines.append("")
    return "\n".join(lines)


def escaped_cell(text: str) -> str:
    """Return a text for a cell of a table in which nothing is markup."""
    return _cell(_escaped(text))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\`*_[]<>#&" else character for character in text)
