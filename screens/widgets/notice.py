"""An error on the screen it concerns: what happened, and what to do."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from screens.blocking_calls import Failure


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
