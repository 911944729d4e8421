"""The tokens of an incident in the order in which to revoke them, each with the reasons for its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from crypto_core.cancelling import Cancellation
from crypto_core.incidents.model import Incident
from crypto_core.text.counting import counted
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.styled import WARNING, StyledLine
from screens.widgets.cells import painted
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.notice import trouble_content

if TYPE_CHECKING:
    from crypto_core.incidents.tokens.token_order import TokenOrder
    from crypto_core.providers.revocation_order import RankedToken

MOST = 200
"""Tokens that are listed, the worst."""
_WITH_REASONS = 20
_LIMIT_SECONDS = 600.0

Ordered = tuple[tuple["RankedToken", ...], tuple[str, ...]]


class OrderDialog(Dialog[None]):
    """Asks no provider: it goes by the answers that are kept."""

    def __init__(self, order: TokenOrder, incident: Incident) -> None:
        super().__init__()
        self._order, self._incident = order, incident
        self._asked: PendingCall[Ordered] | None = None

    def compose(self) -> ComposeResult:
        with framed(f"{self._incident.name}: revoke in this order", "PgUp PgDn: the rest of the text"):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("Working out the order…"), id="order")
            yield buttons(("Close", "cancel"))

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()
        self._asked = ask(self, self._work_out, self._show, group="order", limit=_LIMIT_SECONDS)

    def on_unmount(self) -> None:
        if self._asked is not None:
            self._asked.drop()

    def _work_out(self, cancelled: Cancellation) -> Ordered:
        return self._order.order_in_scope(self._incident, cancelled)

    def _show(self, answer: Ordered | Trouble) -> None:
        shown = trouble_content(answer) if isinstance(answer, Trouble) else painted(_lines(*answer))
        self.query_one("#order", Static).update(shown)


def _lines(order: Sequence[RankedToken], gaps: Sequence[str]) -> Iterator[StyledLine]:
    asked = sum(one.abilities is not None for one in order)
    yield (f"Of {asked:,} of {counted(len(order), 'token')} it is known what they can do.",)
    if asked < len(order):
        yield WARNING, "What isn't known counts as the worst. Step abilities asks the providers."
    for gap in gaps:
        yield WARNING, gap
    for one in order[:MOST]:
        yield (f"{one.rank:>4}  ", (f"{one.score:>6,}", "$muted"), "  ", (str(one.ref), "bold"))
        if one.rank > _WITH_REASONS or one.dead:
            yield ("      ", one.why)
            continue
        for reason in (*one.damage, *one.exposure):
            yield ("      ", f"{reason}")
    if len(order) > MOST:
        yield (f"and {len(order) - MOST:,} more: keydeck abilities --order --kept prints all.",)
