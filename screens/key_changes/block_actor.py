"""Blocking a principal that a page names, and undoing it: alike on every page that names any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual import work
from textual.content import Content

from crypto_core.keys.changes.blocks import Block, Blocks
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.policy.block_statement import arns_of
from crypto_core.trail.rules.rule_context import name_of
from crypto_core.trail.use.filter_builder import actors, keys_used
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import RefusedError
from screens.actions.action import Action
from screens.facts import ScreenFacts
from screens.key_changes.block_lines import PageNames, blocked_words, blocks_of
from screens.main_screen import MainScreen
from screens.widgets.cells import cut, fit, fit_middle
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line

EVERY_SECONDS = 300.0
"""How often it is asked who is blocked, as long as nobody blocks or unblocks from here."""
_MOST_SAID = 3


class BlockActor(MainScreen):
    @property
    def named(self) -> PageNames | None:
        """Whom actions are about; None where nothing is named."""
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        if possible and action.scope == "blocking":
            named = self.named if self.is_mounted else None
            if named is None:
                return None
            if action.name == "unblock" and not self._blocks(named):
                return None
        return possible

    def _blocks(self, named: PageNames) -> tuple[Block, ...]:
        known = self.facts.blocks.value
        if named.principals or known is None:
            return blocks_of(self.facts, named.principals)
        return tuple(block for block in known.found if block.key_arn in named.keys)

    @property
    def blocks_seen(self) -> tuple[Block, ...]:
        """What blocks whom the page names."""
        named = self.named if self.is_mounted else None
        return self._blocks(named) if named is not None else ()

    def refresh_hints(self, *state: object) -> None:
        super().refresh_hints(*state, self.named if self.is_mounted else None, self.blocks_seen)

    def _tick(self) -> None:
        super()._tick()
        known, now = self.facts.blocks, self.facts.clock()
        at = max((moment for moment in (known.at, known.tried) if moment is not None), default=None)
        due = at is None or (now - at).total_seconds() >= EVERY_SECONDS
        if due and self.is_current and not self.refreshing.paused and self.named is not None:
            self.facts.ask_blocks()

    @work(exclusive=True, group="write")
    async def do_block(self) -> None:
        await self._change_block(ChangeKind.BLOCK)

    @work(exclusive=True, group="write")
    async def do_unblock(self) -> None:
        await self._change_block(ChangeKind.UNBLOCK)

    async def _change_block(self, kind: ChangeKind) -> None:
        from screens.key_changes.change_dialog import ChangeDialog

        named = self.named
        if named is None:
            return
        pair = await self.app.push_screen_wait(ChooseBlock(self.facts, named, kind))
        if pair is None or pair == NOBODY:
            return
        change = KeyChange(kind, pair.key, principal=pair.principal)
        if await self.app.push_screen_wait(ChangeDialog(self.facts, lambda: change)) is not None:
            self.facts.ask_blocks()
            self.ask_anew()


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """A principal and a key: what a line leads to."""

    principal: str
    key: str


NOBODY = BlockChoice("", "")
"""Stands above the others, under the cursor at first."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What can be chosen; else why not, a sentence each."""

    choices: tuple[BlockChoice, ...]
    blocks: Blocks
    refused: tuple[str, ...] = ()


class ChooseBlock(ChoiceDialog[BlockChoice]):
    """Returns a principal and a key, NOBODY or None if there is to be none."""

    def __init__(self, facts: ScreenFacts, named: PageNames, kind: ChangeKind) -> None:
        verb = kind.value.capitalize()
        super().__init__(f"{verb}: whom, on which key?")
        self._facts, self._named, self._kind, self._verb = facts, named, kind, verb

    def on_mount(self) -> None:
        """Ask who and which keys come into question, and who is blocked by now."""
        services, named, kind = self._facts.services, self._named, self._kind
        known = self._facts.known_keys

        def find(cancelled: Cancellation) -> _Found:
            principals = named.principals or actors(services.events, named.events, cancelled)
            keys = (
                named.keys
                or keys_used(services.events, "id", named.events, cancelled)
                or keys_used(services.events, "principal", principals, cancelled)
                or known
            )
            blocks = services.key_changes.read_blocks((*keys, *known), cancelled=cancelled)
            if kind is ChangeKind.UNBLOCK:
                found = blocks.of(principals) if principals else blocks.found
                if not principals:
                    found = tuple(block for block in found if block.key_arn in keys)
                return _Found(tuple(BlockChoice(block.principal, block.key_arn) for block in found), blocks)
            allowed, refused = _blockable(principals)
            choices = tuple(
                BlockChoice(arn, key) for arn in allowed for key in keys if not blocks.of((arn,), (key,))
            )
            return _Found(choices, blocks, refused)

        self.ask_for("Asking which keys come into question, and who is blocked…", find, self._show)

    def _show(self, answer: _Found) -> None:
        if len(answer.choices) == 1 and not answer.refused:
            self.dismiss(answer.choices[0])
        elif answer.choices:
            self.offer((NOBODY, *answer.choices), self._line)
        else:
            self.say(Content("\n").join([Content(words) for words in self._why_none(answer)]))

    def _why_none(self, answer: _Found) -> Iterator[str]:
        if self._kind is ChangeKind.BLOCK:
            there = answer.blocks.of(self._named.principals)
            said = (*answer.refused, *blocked_words(there, self._facts))
            yield from said[:_MOST_SAID] or ("No role or user is named here whose key is known.",)
        else:
            yield "Nobody who is named here is blocked."
        yield from answer.blocks.gaps[:_MOST_SAID]

    def _line(self, choice: BlockChoice, width: int) -> Line:
        if choice == NOBODY:
            return line(" ", cut("nobody", width - 2), target=choice)
        key = self._facts.key_words.long(choice.key)
        name = min(30, max((width - 2) // 2, 8))
        rest = max(width - name - 5, 8)
        words = fit(f"on {key}", min(len(key) + 3, rest))
        arn = fit_middle(choice.principal, max(rest - len(words) - 2, 0)) if rest > 60 else ""
        return line(
            " ", (fit(name_of(choice.principal), name), "bold"), " ", words, (f"  {arn}", "$muted"),
            target=choice
        )  # fmt: skip


def _blockable(principals: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    allowed, refused = [], []
    for principal in principals:
        try:
            arns_of(principal)
        except RefusedError as error:
            refused.append(error.message)
        else:
            allowed.append(principal)
    return tuple(allowed), tuple(refused)
