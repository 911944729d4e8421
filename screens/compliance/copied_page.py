"""What the pages of this room have in common: texts that are copied whole, some of which lead elsewhere."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual import on

from screens.actions.action import ActionScope
from screens.answer_screen import AnswerScreen
from screens.routes import Followed
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.widgets.copied_lines import CopiedText, CopiedValue
from screens.widgets.line_list import LineList

Answer = TypeVar("Answer")


class CopiedPage(AnswerScreen[Answer], Generic[Answer]):
    """One page of what is known already: it doesn't change, so nothing is asked anew."""

    EVERY = 0.0
    TEXT = CopiedText
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.EVIDENCE,)

    def do_copy_hash(self) -> None:
        line = self.query_one(LineList).current
        if line is not None:
            target = line.target
            text = target.text if isinstance(target, CopiedValue) else line.content.plain.strip()
            send_to_clipboard(self, cell_as_text(text), text)

    @on(Followed)
    def lead_on(self, event: Followed) -> None:
        if isinstance(event.target, CopiedValue):
            event.stop()
            if event.target.leads_to is not None:
                self.post_message(Followed(event.target.leads_to))
