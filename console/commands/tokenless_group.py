"""Groups of commands where an operator may type a token by mistake: none is taken, and none is repeated."""

from __future__ import annotations

from typing import Any

import click

NO_ARGUMENT = (
    "A token that was typed here is in the shell's history, and was in the list of processes: have it issued "
    "again. Enter one when asked, or name a file with --file."
)


class TokenlessGroup(click.Group):
    """Refuses what is none of its commands without a word of it."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"{ctx.command_path} takes no argument. {NO_ARGUMENT}", ctx)
        return super().resolve_command(ctx, args)
