"""Blocking a principal that a page names, and undoing it: alike on every page that names any."""

from __future__ import annotations

from textual import work

from crypto_core.keys.changes.blocks import Block
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from screens.actions.action import Action, ActionScope
from screens.key_changes.block_lines import Named, blocks_of
from screens.main_screen import MainScreen

EVERY_SECONDS = 300.0
"""How often it is asked who is blocked, as long as nobody blocks or unblocks from here."""


class BlockActor(MainScreen):
    """A screen that names principals, or nobody yet."""

    @property
    def named(self) -> Named | None:
        """Whom actions are about; None where nothing is named."""
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        """Nobody is blocked where nobody is named, nor unblocked who isn't blocked."""
        possible = super().possible(action)
        if possible and action.scope is ActionScope.BLOCKING:
            named = self.named if self.is_mounted else None
            if named is None:
                return None
            if action.name == "unblock" and not self._blocks(named):
                return None
        return possible

    def _blocks(self, named: Named) -> tuple[Block, ...]:
        """What blocks whoever is named; of a key alone whoever is blocked on it."""
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
        """Refresh the available actions if what they depend on has changed, blocks included."""
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
        """Choose whom to block on which key, see the plan, then block."""
        await self._change_block(ChangeKind.BLOCK)

    @work(exclusive=True, group="write")
    async def do_unblock(self) -> None:
        """Choose who is to use which key again, see the plan, then undo the block."""
        await self._change_block(ChangeKind.UNBLOCK)

    async def _change_block(self, kind: ChangeKind) -> None:
        from screens.key_changes.change_dialog import ChangeDialog
        from screens.key_changes.choose_block import NOBODY, ChooseBlock

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
