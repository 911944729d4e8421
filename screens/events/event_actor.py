"""Acting on the event in hand, in the list and on its page: its principal, a note, an incident about it."""

from __future__ import annotations

from textual import work

from crypto_core.trail.store import StoredEvent
from crypto_core.values.clean_text import shortened
from crypto_core.values.key_names import is_key_arn
from screens.identities import noted_by
from screens.key_changes.block_actor import BlockActor
from screens.key_changes.block_lines import PageNames
from screens.routes import Followed, PrincipalRoute
from screens.widgets.question import AskText
from screens.worker_calls import ask


class EventActor(BlockActor):
    @property
    def event_in_hand(self) -> StoredEvent | None:
        raise NotImplementedError

    def noted(self, ids: tuple[str, ...], answer: object) -> None:
        """Show what became of marks and notes on events, or why they were not kept."""
        raise NotImplementedError

    @property
    def named(self) -> PageNames | None:
        row = self.event_in_hand
        return named_by(row) if row is not None else None

    def do_principal(self) -> None:
        row = self.event_in_hand
        if row is not None and row.event.principal.arn:
            self.post_message(Followed(PrincipalRoute(row.event.principal.arn)))
        else:
            self.say("The record names no principal.")

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.incidents.about import about_event
        from screens.incidents.declare import begin_incident

        row = self.event_in_hand
        if row is not None:
            await begin_incident(self, about_event(row))

    @work(exclusive=True, group="write")
    async def do_note(self, text: str) -> None:
        """Keep a note on the event; without one, ask for it. "" takes it away."""
        row = self.event_in_hand
        if row is None:
            return
        given: str | None = text
        if not text:
            about = shortened(f"{row.event.name} by {row.event.principal.name or '-'}", 70)
            words = (
                "Kept in the local store, with your identity and the time. Leave it empty to remove the note."
            )
            dialog = AskText("Note", f"{about}\n{words}", row.note, label="Keep", optional=True)
            given = await self.app.push_screen_wait(dialog)
        if given is None:
            return
        events, event_id, kept = self.facts.services.events, row.event.event_id, given
        by = noted_by(self.facts.surroundings.value)
        ask(
            self,
            lambda _: events.annotate(event_id, kept, by),
            lambda answer: self.noted((event_id,), answer),
            group="note",
        )


def named_by(row: StoredEvent) -> PageNames | None:
    """Return whom an event names, on which keys; None for a record that names nobody."""
    who = row.event.principal.arn
    keys = tuple(arn for arn in row.event.key_arns if is_key_arn(arn))
    return PageNames((who,), keys, (row.event.event_id,)) if who else None
