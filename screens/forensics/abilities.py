"""What tokens can do: whom asking would send them to, the question whether it should, then the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.content import Content

from crypto_core.guard.consent import Consent
from crypto_core.providers.answers import Liveness
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from crypto_core.values.references import TokenRef
from screens.blocking_calls import Failure
from screens.connections.detail import TokenPart
from screens.facts import ScreenFacts
from screens.moments import whole
from screens.styled_text import BAD, GOOD, WARNING, StyledLine
from screens.widgets.cells import painted, progress
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import PlanDialog
from screens.worker_calls import ask

if TYPE_CHECKING:
    from crypto_core.forensics.abilities.service import AbilityAnswers, AbilityRequest, AbilityService
    from crypto_core.providers.abilities import TokenAbilities
    from crypto_core.reencryption.plan import Selection
    from screens.connections.screen import ConnectionsScreen
    from screens.services import Services

_DAY = 86_400.0
_WIDTH = 66
_MOST_LINES = 400
_MOST_FRESH = 20
POLL_SECONDS = 0.1


class AskAbilities(PlanDialog["AbilityRequest", None]):
    """Asks once it is agreed to. Leaving stops it; what was answered is kept."""

    LOOKING: ClassVar[str] = "Working out whom to ask…"

    def __init__(self, facts: ScreenFacts, service: AbilityService, selection: Selection) -> None:
        super().__init__(facts, "Ask what tokens can do")
        self._service = service
        self._selection = selection
        self._progress = (0, 0)
        self._asking = False

    def make(self, cancelled: Cancellation) -> AbilityRequest:
        return self._service.question(self._refs(cancelled))

    def content(self, plan: AbilityRequest) -> Content:
        return painted(_plan_lines(plan))

    def label(self, plan: AbilityRequest) -> str:
        return f"Ask about {counted(len(plan.tokens), 'token')}" if plan.tokens else ""

    def go_on(self, plan: AbilityRequest, consent: Consent) -> None:
        self._asking, self._progress = True, (0, len(plan.tokens))
        self.under_way("Asking", "Asking…")
        self._show_progress()
        self.set_interval(POLL_SECONDS, self._show_progress)
        self._asked = ask(
            self,
            lambda cancelled: self._service.ask(plan, consent, progress=self._note, cancelled=cancelled),
            self._end,
            group="abilities",
            limit=_DAY,
        )

    def _refs(self, cancelled: Cancellation) -> tuple[TokenRef, ...]:
        inventory, chosen = self.facts.services.inventory, self._selection
        if chosen.filter is None:
            return tuple(ref for ref in chosen.references if isinstance(ref, TokenRef))
        left_out = set(chosen.except_for)
        pages = inventory.references(chosen.filter, cancelled=cancelled)
        return tuple(ref for page in pages for ref in page if ref not in left_out)

    def _note(self, done: int, total: int) -> None:
        """In a thread: a timer picks it up."""
        self._progress = (done, total)

    def _show_progress(self) -> None:
        if not self._asking:
            return
        done, total = self._progress
        kept = ("\nLeaving stops it; what was answered is kept.", "$muted")
        self.tell("", Content.assemble(progress(done, total, _WIDTH, "$accent"), kept))

    def _end(self, answer: AbilityAnswers | Failure) -> None:
        self._asking = False
        if isinstance(answer, Failure):
            self.tell("", trouble_content(answer), leave="Close")
        else:
            self.tell("Asked", painted(_answer_lines(answer)), leave="Close")


def _plan_lines(plan: AbilityRequest) -> Iterator[StyledLine]:
    if not plan.tokens:
        yield ("Nobody is left to ask.",)
    for line in plan.does() if plan.tokens or plan.fresh else ():
        yield (line,)
    if plan.tokens:
        yield (("The answers are kept on this machine, in a file that only you read.", "$muted"),)
    for hand in plan.not_asked[:_MOST_LINES]:
        yield WARNING, (str(hand.ref), "bold"), f": nobody can be asked: {hand.how}"
    for one in plan.fresh[:_MOST_FRESH]:
        yield from _lines_of(one)


def _lines_of(one: TokenAbilities) -> Iterator[StyledLine]:
    yield _sign(one), (str(one.ref), "bold"), (f"   asked {one.at:%Y-%m-%d %H:%M} UTC", "$muted")
    for line in one.lines():
        yield ("   ", line)


def _answer_lines(found: AbilityAnswers) -> Iterator[StyledLine]:
    for one in found.answers[:_MOST_LINES]:
        yield from _lines_of(one)
    for hand in found.not_asked[:_MOST_LINES]:
        yield WARNING, (str(hand.ref), "bold"), f": nobody can be asked: {hand.how}"
    more = len(found.answers) - _MOST_LINES
    if more > 0:
        yield (f"and {more:,} more: keydeck abilities --kept prints all.",)


def _sign(one: TokenAbilities) -> tuple[str, str]:
    if one.liveness is Liveness.UNKNOWN:
        return WARNING
    return BAD if one.admin or one.writes else GOOD


@work(exclusive=True, group="write")
async def ask_about(screen: ConnectionsScreen) -> None:
    service, (selection, _, _) = screen.facts.services.named("abilities"), screen.selection()
    await screen.app.push_screen_wait(AskAbilities(screen.facts, service, selection))
    screen.detail.forget()
    screen.cursor_moved()


def _kept(services: Services, ref: TokenRef) -> TokenAbilities | None:
    """In a worker: most have never asked, and the service isn't loaded for them."""
    if not services.named("abilities_file").exists():
        return None
    kept: Mapping[TokenRef, TokenAbilities] = services.named("abilities").kept((ref,))
    return kept.get(ref)


def _lines_beside(one: TokenAbilities, now: datetime, apart: bool) -> Sequence[Content]:
    """Return the lines of a connection's detail: all that is known `apart`, else a line."""
    asked = (f"asked {whole(one.at, now)}", "$muted")
    if apart:
        lines = [Content.assemble(("abilities ", "$muted"), asked)]
        return [*lines, *(Content(f"  {line}") for line in one.lines())]
    return [Content.assemble(("abilities ", "$muted"), f"{_in_short(one)}   ", asked)]


def _in_short(one: TokenAbilities) -> str:
    if one.liveness is not Liveness.ALIVE:
        return one.liveness.value
    said = [
        name if value else f"{name}: not known"
        for name, value in (
            ("admin", one.admin),
            ("writes", one.writes),
            ("reads private", one.reads_private),
        )
        if value is not False
    ]
    if one.repositories is not None:
        said.append(f"repositories: {one.repositories}")
    elif one.places:
        said.append(one.places[0])
    return ", ".join(said) or "reads what is public"


PART = TokenPart(_kept, _lines_beside)
