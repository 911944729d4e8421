"""Commands that perform an operation: what each of them is asked follows from the table of operations."""

from __future__ import annotations

from typing import Any

import click

from console.commands.questions import RunsCodeOption
from crypto_core.guard.operations import BY_NAME


class OperationCommand(click.Command):
    """A command that performs an operation: its help unless it has more to say, and --dry-run and --yes.

    Where the service shows a plan, the command can show it alone, and can be told not to ask.
    """

    def __init__(self, *args: Any, operation: str, **more: Any) -> None:
        self.operation = BY_NAME[operation]
        more["help"] = more.get("help") or f"{self.operation.effect}."
        more["params"] = [*(more.get("params") or ()), *self._asking()]
        super().__init__(*args, **more)

    def _asking(self) -> list[click.Parameter]:
        if not self.operation.planned:
            return []
        runs_code = [RunsCodeOption()] if self.operation.runs_code else []
        return [
            *runs_code,
            click.Option(["--dry-run"], is_flag=True, help="Show what would happen; change nothing."),
            click.Option(["--yes"], is_flag=True, help="Do not ask."),
        ]
