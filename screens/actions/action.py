"""An action: what it's called, what it does, how it's reached, and how dangerous it is."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.guard.consent import Danger
from crypto_core.guard.operations import Operation


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done.

    `id` is "scope.name"; settings give it other keys by it. `title` is for the footer and `explanation` for
    the help. `keys` are Textual's names, separated by commas. `operation` is what it performs, None for
    what only looks or concerns the screen. `calls` is the service call that does it, as a path into
    Services, "" for what only concerns the screen. `argument` names what may follow the command, "" where
    nothing may. `runs` is a capability's `module:function` that does it to a screen of the core, "" where the
    screen has a `method` for it.
    """

    id: str
    title: str
    explanation: str
    keys: str
    operation: Operation | None = None
    calls: str = ""
    argument: str = ""
    aliases: tuple[str, ...] = ()
    shown: bool = False
    display: str = ""
    """The key as the footer shows it, where Textual's name isn't what is printed on it."""
    runs: str = ""

    @property
    def changes(self) -> bool:
        """True if it changes anything: read only, it is refused."""
        return self.operation is not None and bool(self.operation.changes)

    @property
    def danger(self) -> Danger:
        return self.operation.danger if self.operation is not None else Danger.NONE

    @property
    def scope(self) -> str:
        """Where it can be done: "everywhere", in a "list" or "table", or on the screens that act in it."""
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """What it's called within its scope, and what is typed after the colon."""
        return self.id.partition(".")[2]

    @property
    def commands(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def method(self) -> str:
        """The method of the scope's widget or screen that does it."""
        return f"do_{self.name.replace('-', '_')}"
