"""Lines of notice: what to do about the line under the cursor, and an error on the screen it concerns."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from screens.blocking_calls import Failure
from screens.widgets.cells import cut


class HintLine(Static):
    """Empty where there is nothing to say."""

    DEFAULT_CSS = """
    HintLine { height: 1; padding: 0 1; color: $muted; }
    """

    def say(self, hint: str) -> None:
        words = cut(hint, max(self.screen.size.width - 4, 10))
        self.update(Content.assemble(("→ ", "$accent"), words) if words else Content(""), layout=False)


class NoticeBar(Static):
    """A few lines that are there only while there is something to say."""

    DEFAULT_CSS = """
    NoticeBar {
        height: auto; max-height: 4; padding: 0 1; display: none;
        background: $error 12%;
        &.-shown { display: block; }
    }
    """

    _told: tuple[Failure | None, str] = (None, "")

    def tell(self, trouble: Failure | None, context: str = "") -> None:
        """Show a trouble, introduced by `context`, or nothing."""
        if (trouble, context) == self._told:
            return
        self._told = (trouble, context)
        self.set_class(trouble is not None, "-shown")
        self.update(trouble_content(trouble, context) if trouble is not None else "")


def trouble_content(trouble: Failure, context: str = "") -> Content:
    lead = f"{context} " if context else ""
    return Content.assemble(("✖ ", "$error"), lead, trouble.message, " ", (trouble.remedy, "bold"))
