"""Groups of commands that are imported when they are run, so that --help is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from console.capabilities import not_installed
from console.exit_codes import exit_codes_text
from crypto_core.values.clean_text import clean
from crypto_core.values.typed_names import meant

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group over a table: each command's name, its module and, for the list of commands, what it does.

    In its module the command is called as here; one that is named as a word of Python has "_" behind.
    """

    def __init__(self, *, table: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(**options)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        module = import_module(self._table[cmd_name][0])
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(module, f"{name}_", None) or getattr(module, name)
        _tell_exit_codes(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what the first argument names. Raises UsageError with what may have been meant."""
        if args and (sentence := not_installed(args[0], ctx.command_path)):
            ctx.fail(sentence)
        if args and args[0] not in self._table and not args[0].startswith("-"):
            ctx.fail(f"No such command {clean(args[0], 60)!r}. {meant(args[0], self._table)}".rstrip())
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the commands and options that begin as typed, without importing any command."""
        from click.shell_completion import CompletionItem

        fitting = [(name, does) for name, (_, does) in self._table.items() if name.startswith(incomplete)]
        found = [CompletionItem(name, help=does) for name, does in fitting]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, does) for name, (_, does) in self._table.items()])


def _tell_exit_codes(command: click.Command) -> None:
    """Have a command's help, and that of those below it, end with the exit codes."""
    command.epilog = exit_codes_text()
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _tell_exit_codes(below)
