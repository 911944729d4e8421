"""Commands of the team's own on a list: chosen, asked about, run on one row, and what they said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from crypto_core.values.clean_text import clean
from screens.user_command import CommandOutcome, UserCommand
from tests.screens.deck import SMALL, deck
from tests.screens.hostile import assert_harmless
from tests.screens.samples import HOSTILE
from tests.screens.stage import Stage

TICKET = UserCommand(
    clean("ticket"), clean("open a ticket"), ("ticket", "--about", "{reference}"), ("connections",), "f6"
)
LOOK = UserCommand(
    clean("look"), clean("look it up"), ("lookup", "{organisation}"), ("connections",), looks=True
)


@dataclass
class Own:
    commands: Sequence[UserCommand]
    said: tuple[str, ...] = ("Ticket 12",)
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def offered(self, where: str) -> tuple[UserCommand, ...]:
        return tuple(one for one in self.commands if where in one.lists)

    def run(self, command: UserCommand, fields: Mapping[str, Any], cancelled: Event) -> CommandOutcome:
        self.ran.append(command.filled(fields))
        return CommandOutcome(0, tuple(map(clean, self.said)))


async def test_a_command_that_may_change_is_asked_about_with_the_way_back_first() -> None:
    own = Own((TICKET, LOOK))
    async with deck(Stage(user_commands=own), start="connections", size=SMALL) as d:
        row = d.table.current
        await d.press("f6", "enter")
        assert own.ran == []
        await d.press("f6")
        assert f"ticket --about {row.ref}" in d.says()
        await d.press("right", "enter")
        assert own.ran == [("ticket", "--about", str(row.ref))]
        assert "Ticket 12" in d.says()
        await d.press("escape", "exclamation_mark", "down", "enter")
        assert own.ran[1:] == [("lookup", row.organisation)]
        await d.press("escape")
        await d.command("own look")
        assert len(own.ran) == 3
        await d.press("escape")
        await d.command("own nothing")
        assert "No command nothing here. There are: ticket, look." in d.toasts()
        await d.press("3", "f6", "exclamation_mark")
        assert len(own.ran) == 3


async def test_read_only_only_what_looks_is_run_and_what_it_says_does_nothing() -> None:
    own = Own((TICKET, LOOK), said=tuple(HOSTILE))
    async with deck(Stage(user_commands=own, read_only=True), start="connections", size=SMALL) as d:
        await d.press("f6")
        assert d.toasts() == ["Read-only: open a ticket is refused."]
        await d.command("own look")
        assert len(own.ran) == 1
        assert_harmless(d, SMALL)


async def test_the_warning_is_seen_however_long_the_command_is() -> None:
    command = replace(TICKET, arguments=("ticket", *("word" * 20,) * 200))
    async with deck(Stage(user_commands=Own((command,))), start="connections", size=SMALL) as d:
        await d.press("f6")
        assert "It may change something." in d.text()
