"""Declares an incident: which runbook, about what, since when; then what will be opened, and the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Button, Input, Static

from crypto_core.incidents.model import FoundScope, IncidentScope
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.reencryption.plan import RunProgress
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidReferenceError, InvalidTokenError, RefusedError
from crypto_core.values.references import parse_reference
from crypto_core.values.secret import Secret
from screens.blocking_calls import Failure
from screens.event_filters import since
from screens.facts import ScreenFacts
from screens.incidents.about import About, used_keys
from screens.incidents.token_scope import (
    SEARCH_SECONDS,
    OrganisationChoice,
    PrincipalChoice,
    ScopeBy,
    choice_line,
    filter_of,
    organisations,
    principals,
    search_opened,
)
from screens.incidents.words import subject
from screens.main_screen import MainScreen
from screens.moments import span
from screens.routes import Followed, IncidentRoute
from screens.services import LEAK_SEARCH, Contexts
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, button, buttons, framed
from screens.widgets.line_input import LineInput, SecretInput
from screens.widgets.line_list import Line, LineList, line
from screens.widgets.notice import trouble_content
from screens.worker_calls import PendingCall, ask

if TYPE_CHECKING:
    from crypto_core.keys.state import KeyState

_LOOKING = "Opening the stored tokens to compare them. Esc stops it."
_SEARCHED = (ScopeBy.LEAKED, ScopeBy.HASHED, ScopeBy.OPENED)
_MOST = 8
_MOST_UNREAD = 3
FIELDS = ("subject", "leaked", "title", "since")
_PROGRESS_SECONDS = 0.25
Lines = Callable[[int], list[Line]]
"""Writes lines for a width."""


@dataclass(frozen=True, slots=True)
class SubjectChoice:
    """What an incident can be about; `used` for a key that its events name, or its suspect used."""

    value: str
    used: bool = False


class DeclareDialog(Dialog[int | None]):
    """Returns the new incident's number, None if none was opened."""

    # Enter must not cancel what is about to be offered: nothing has the focus until then.
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    DeclareDialog #fields { height: auto; }
    DeclareDialog .field { height: 1; }
    DeclareDialog .field > Static { width: 11; color: $muted; }
    DeclareDialog .field > Input { width: 1fr; }
    DeclareDialog #said { height: auto; margin-top: 1; }
    """

    def __init__(self, facts: ScreenFacts, about: About) -> None:
        super().__init__()
        self._facts = facts
        self._about = about
        self._runbook: Runbook | None = None
        self._scope = IncidentScope()
        self._declaring: PendingCall[int] | None = None
        self._ask_for_subject = False
        self._by = ScopeBy.NAMED
        self._opener = ""
        self._searched: RunProgress | None = None
        self._ticking: Timer | None = None

    def compose(self) -> ComposeResult:
        with framed("Declare incident: which runbook?"):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("Reading the runbooks…"), id="about")
            yield LineList(id="choices")
            with Vertical(id="fields"):
                for name in FIELDS:
                    with Horizontal(classes="field"):
                        yield Static(Content(name))
                        if name == "leaked":
                            yield SecretInput(placeholder="paste it; masked, forgotten once used", id=name)
                        else:
                            yield LineInput(id=name, compact=True)
            yield Static(id="said")
            yield buttons(("Cancel", "cancel"))

    def on_mount(self) -> None:
        for hidden in ("#choices", "#fields", "#said"):
            self.query_one(hidden).display = False
        facts = self._facts
        ask(
            self,
            lambda _: (facts.services.incidents.runbooks(), facts.services.incidents.runbook_troubles()),
            self._offer_runbooks,
            group="runbooks",
        )

    # Which runbook

    def _offer_runbooks(self, answer: tuple[tuple[Runbook, ...], tuple[str, ...]] | Failure) -> None:
        if isinstance(answer, Failure):
            self._say(trouble_content(answer))
            self.query_one("#cancel").focus()
            return
        books, unread = answer
        if unread:
            # Who looks for one of them must not believe that it was never there.
            told = "\n".join(unread[:_MOST_UNREAD])
            self._fault(Content.assemble(("▲ ", "$warning"), told))
        kinds = self._about.kinds
        offered = [book for book in books if not kinds or book.subject in kinds]
        offered.sort(key=lambda book: book.id not in self._about.fitting)
        if not offered:
            self._say(Content("There is no runbook for this."))
            self.query_one("#cancel").focus()
            return
        if self._about.origin:
            self._say(Content.assemble(("from  ", "$muted"), self._about.origin))
        else:
            self._say(Content("A runbook says what to do, step by step, and what proves that it was done."))
        self._offer(lambda width: [_runbook_line(book, width) for book in offered], len(offered))

    def _offer(self, lines: Lines, count: int) -> None:
        choices = self.query_one("#choices", LineList)
        choices.display = True
        choices.styles.height = min(count, _MOST)
        choices.write(lambda size: lines(size.width))
        choices.move_to(0)
        choices.focus()

    @property
    def _choosing(self) -> bool:
        return self.query_one("#choices").display

    @on(Followed)
    def choose(self, event: Followed) -> None:
        event.stop()
        if not self._choosing:  # the second of two clicks
            return
        self.query_one("#said").display = False
        match event.target:
            case Runbook() as book:
                self._runbook = book
                self._scope = self._about.scope(book.subject)
                self._retitle(f"{book.title}: about what?")
                if str(self._scope):
                    self._ask_rest(ask_subject=False)
                else:
                    self._ask_subject(book.subject)
            case SubjectChoice(value=value) if self._runbook is not None:
                self._scope = _with_subject(self._scope, self._runbook.subject, value)
                self._ask_rest(ask_subject=False)
            case ScopeBy.LEAKED | ScopeBy.HASHED if missing := self._facts.services.not_installed(
                LEAK_SEARCH, "The"
            ):
                self._fault(Content(missing))
            case ScopeBy() as by:
                self._by = by
                self._ask_by(by)
            case OrganisationChoice() as choice:
                self._say(Content("Counting its tokens…"))
                facts = self._facts
                ask(self, lambda c: filter_of(facts, choice, c), self._take_filter, group="subjects")
            case PrincipalChoice(arn=arn):
                self._opener = arn
                self._scope = replace(self._scope, principal=arn if is_principal(arn) else "")
                self._ask_rest(ask_subject=False)
            case _:
                pass

    # About what

    def _ask_subject(self, kind: SubjectKind) -> None:
        facts = self._facts
        self._wait_to_offer()
        if kind is SubjectKind.TOKENS:
            self._say(Content("What is known of the tokens?"))
            self._offer(lambda width: [choice_line(way, width) for way in ScopeBy], len(ScopeBy))
        elif kind is SubjectKind.KEY:
            self._say(Content("Asking KMS for keys…"))
            known, about = facts.keys.value, self._about

            def find(cancelled: Cancellation) -> tuple[SubjectChoice, ...]:
                used = used_keys(facts.services.events, about, cancelled)
                listed = known if known is not None else facts.services.keys.list()
                return key_choices(used, listed)

            ask(self, find, self._offer_subjects, group="subjects")
        else:
            contexts = facts.services.contexts
            ask(
                self,
                lambda _: restored_databases(contexts) if contexts else (),
                self._offer_subjects,
                group="subjects",
            )

    def _offer_subjects(self, answer: tuple[SubjectChoice, ...] | Failure) -> None:
        if isinstance(answer, Failure) or not answer:
            self._ask_rest(ask_subject=True)
            if isinstance(answer, Failure):
                self._fault(trouble_content(answer))
            return
        names = self._facts.key_words
        key = self._runbook is not None and self._runbook.subject is SubjectKind.KEY
        first = " Those that its events name come first." if any(one.used for one in answer) else ""
        self._say(Content(f"Which key is it about?{first}" if key else "Which database?"))
        ordered = self._by_tokens(answer) if key else list(answer)
        self._offer(
            lambda width: [
                line(
                    " ",
                    (fit(names.long(one.value) if key else one.value, max(width - 2, 8)), "bold"),
                    target=one,
                )
                for one in ordered
            ],
            len(ordered),
        )

    def _wait_to_offer(self) -> None:
        """Take the choices away until there are others: nothing has the focus meanwhile."""
        self.set_focus(None)
        self.query_one("#choices").display = False

    def _ask_by(self, by: ScopeBy) -> None:
        facts = self._facts
        match by:
            case ScopeBy.ORGANISATION:
                self._wait_to_offer()
                self._say(Content("Reading the organisations…"))
                ask(self, lambda c: organisations(facts, c), self._offer_found, group="subjects")
            case ScopeBy.OPENED:
                self._wait_to_offer()
                self._say(Content("Reading who opened tokens…"))
                ask(self, lambda c: principals(facts, c), self._offer_found, group="subjects")
            case ScopeBy.NAMED | ScopeBy.LEAKED | ScopeBy.HASHED:
                self._ask_rest(ask_subject=by is not ScopeBy.LEAKED)

    def _offer_found(
        self, answer: tuple[OrganisationChoice, ...] | tuple[PrincipalChoice, ...] | Failure
    ) -> None:
        if isinstance(answer, Failure) or not answer:
            self._by = ScopeBy.NAMED
            self._ask_rest(ask_subject=True)
            none = Content("None is known here: name the tokens by references, or by a filter.")
            self._fault(trouble_content(answer) if isinstance(answer, Failure) else none)
            return
        opened = self._by is ScopeBy.OPENED
        self._say(Content("Who opened them?" if opened else "Whose tokens?"))
        self._offer(lambda width: [choice_line(one, width) for one in answer], len(answer))

    def _take_filter(self, answer: str | Failure) -> None:
        if isinstance(answer, Failure):
            self._fault(trouble_content(answer))
        elif self._choosing:
            self._scope = replace(self._scope, filter=answer)
            self._ask_rest(ask_subject=False)

    def _by_tokens(self, keys: Sequence[SubjectChoice]) -> list[SubjectChoice]:
        """The keys that were used first, then the one with most tokens: it is the one that hurts."""
        status = self._facts.status.value
        tokens = status.tokens_under if status is not None else lambda _: 0
        used = [one for one in keys if one.used]
        return used + sorted((one for one in keys if not one.used), key=lambda one: -tokens(one.value))

    # What will be opened

    def _ask_rest(self, *, ask_subject: bool) -> None:
        book = self._runbook
        if book is None:
            return
        self.changed()
        self._retitle(f"{book.title}: declare an incident")
        self.query_one("#choices").display = False
        self._say(opened_content(book, self._scope, self._facts))
        self.query_one("#fields").display = True
        hashed, leaked = self._by is ScopeBy.HASHED, self._by is ScopeBy.LEAKED
        tokens = "hashed_token, of GitHub's audit log" if hashed else "references, or a filter"
        hints = {
            SubjectKind.KEY: "ARN, id or alias",
            SubjectKind.TOKENS: tokens,
            SubjectKind.DATABASE: "its name in the settings",
        }
        placeholders = {
            "subject": hints[book.subject],
            "title": book.title,
            "since": "when it may have begun: 2h, 7d, a date; empty if not known",
        }
        for name, words in placeholders.items():
            self.query_one(f"#{name}", LineInput).placeholder = words
        self._ask_for_subject = ask_subject
        self._show_field("subject", shown=ask_subject)
        self._show_field("leaked", shown=leaked)
        self.query_one("#since", LineInput).value = _written(self._scope.since)
        searches = self._by in _SEARCHED
        self.query_one(".buttons").mount(
            button("Find the tokens" if searches else "Open the incident", "open")
        )
        first = "#leaked" if leaked else "#subject" if ask_subject else "#since" if searches else "#title"
        self.query_one(first).focus()

    def _show_field(self, name: str, *, shown: bool) -> None:
        field = self.query_one(f"#{name}").parent
        if isinstance(field, Horizontal):
            field.display = shown

    @on(Input.Submitted)
    def go_on(self, event: Input.Submitted) -> None:
        """Enter opens the incident, from every field but an empty subject."""
        event.stop()
        if event.input.id in ("subject", "leaked") and not event.input.value.strip():
            return
        self.open_incident()

    @on(Button.Pressed, "#open")
    def open_incident(self) -> None:
        book = self._runbook
        if book is None or any(call is not None and call.waiting for call in (self._declaring, self._asked)):
            return
        if self._by in _SEARCHED:
            self._find()
            return
        given = {
            name: self.query_one(f"#{name}", LineInput).value.strip() for name in FIELDS if name != "leaked"
        }
        facts, scope, ask_subject = self._facts, self._scope, self._ask_for_subject
        began = scope.since if given["since"] == _written(scope.since) else None

        def declare() -> int:
            whole = scope
            if ask_subject:
                whole = _with_subject(scope, book.subject, given["subject"])
            text = given["since"]
            at = began if began is not None or not text else since(text, None, facts.clock())
            if not str(whole):
                raise RefusedError("What is it about?", remedy="Fill in the subject.")
            return facts.services.incidents.declare(book.id, replace(whole, since=at), given["title"])

        self._fault(Content("Opening the incident…"))
        self._declaring = ask(self, lambda _: declare(), self._end, group="declare")

    def _end(self, answer: int | Failure) -> None:
        if isinstance(answer, Failure):
            self._fault(trouble_content(answer))
        else:
            self.dismiss(answer)

    # Its tokens are looked for

    def _find(self) -> None:
        facts, by, opener = self._facts, self._by, self._opener
        typed = self.query_one("#subject", LineInput).value.strip()
        text = self.query_one("#since", LineInput).value.strip()
        began = self._scope.since if text == _written(self._scope.since) else None
        leaked = self.query_one("#leaked", SecretInput).take() if by is ScopeBy.LEAKED else None

        def find(cancelled: Cancellation) -> FoundScope:
            if by is ScopeBy.OPENED:
                at = began if began is not None or not text else since(text, None, facts.clock())
                return search_opened(facts.services.event_use, opener, at, cancelled)
            known = leaked if by is ScopeBy.LEAKED else typed
            if known is None or not len(known):
                remedy = "Paste the token, or its hash, into the field."
                raise InvalidTokenError("Nothing was entered.", remedy=remedy)
            search = facts.services.leak_search
            return search.rows_with(
                known if isinstance(known, Secret) else (known,), self._note_progress, cancelled
            )

        self._searched = None
        self._fault(Content(_LOOKING))
        self._asked = ask(self, find, self._take_found, group="declare", limit=SEARCH_SECONDS)
        self._ticking = self.set_interval(_PROGRESS_SECONDS, self._tell_progress)

    def _note_progress(self, progress: RunProgress) -> None:
        """Note how far the search is. Called from its own threads."""
        self._searched = progress

    def _tell_progress(self) -> None:
        done = self._searched
        if done is not None:
            through = done.done + done.poisoned
            self._fault(
                Content(f"{_LOOKING} {through:,} of {done.total:,}, {done.per_second:,.0f} a second.")
            )

    def _take_found(self, answer: FoundScope | Failure) -> None:
        if self._ticking is not None:
            self._ticking.stop()
        if isinstance(answer, Failure):
            self._fault(trouble_content(answer))
            return
        lines = [Content(text) for text in answer.lines]
        if not answer.references or self._runbook is None:
            self._say(Content("\n").join(lines))
            self._fault(
                Content.assemble(("▲ ", "$warning"), "No token was found: there is nothing to declare.")
            )
            return
        self._scope = replace(self._scope, references=answer.references, found_by=answer.found_by)
        self._by, self._ask_for_subject = ScopeBy.NAMED, False
        for name in ("subject", "leaked"):
            self._show_field(name, shown=False)
        opened = opened_content(self._runbook, self._scope, self._facts)
        self._say(Content("\n").join([*lines, Content(""), opened]))
        self._fault(
            Content(f"{counted(len(answer.references), 'token')} found. Read above what that leaves open.")
        )
        self.changed()
        opening = self.query_one("#open", Button)
        opening.label = Content(" Open the incident ")
        opening.refresh(layout=True)
        opening.focus()

    def _fault(self, content: Content) -> None:
        said = self.query_one("#said", Static)
        said.display = True
        # On a low terminal the text above makes room: what was said and the buttons are to be seen.
        self.query_one(".body").styles.max_height = max(self.size.height * 3 // 10, 3)
        said.update(content)

    def _say(self, content: Content) -> None:
        self.query_one("#about", Static).update(content)

    def _retitle(self, words: str) -> None:
        self.query_one(".frame").border_title = Content(shortened(words, 78))


def restored_databases(contexts: Contexts) -> tuple[SubjectChoice, ...]:
    """Return the databases that a drill can be about: those of the settings but the one in use."""
    here = contexts.current().database
    return tuple(SubjectChoice(one.name) for one in contexts.offered().databases if one.name != here)


def opened_content(book: Runbook, scope: IncidentScope, facts: ScreenFacts) -> Content:
    budget = sum(step.budget_seconds for step in book.steps)
    lines = [Content(book.summary), Content("")]
    if str(scope):
        lines.append(Content.assemble(("about      ", "$muted"), (subject(scope, facts), "bold")))
    if scope.origin:
        lines.append(Content.assemble(("from       ", "$muted"), scope.origin))
    if scope.found_by:
        lines.append(Content.assemble(("found by   ", "$muted"), scope.found_by))
    phases = " · ".join(shortened(phase.title, 60) for phase in book.phases)
    allowed = f", budget {span(timedelta(seconds=budget))}" if budget else ""
    lines += [
        Content.assemble(("steps      ", "$muted"), f"{counted(len(book.steps), 'step')}{allowed}"),
        Content.assemble(("phases     ", "$muted"), phases),
        Content.assemble(
            ("runbook    ", "$muted"), f"{shortened(book.id, 80)} version {book.version}, {book.source}"
        ),
        Content(""),
        Content(
            "The incident is stored in the database, where every operator sees it. Nothing else changes."
        ),
        Content(""),
    ]
    return Content("\n").join(lines)


def _runbook_line(book: Runbook, width: int) -> Line:
    name = min(34, max(width // 2, 10))
    return line(
        " ",
        (fit(book.title, name), "bold"),
        " ",
        (cut(book.summary, max(width - name - 3, 8)), "$muted"),
        target=book,
    )


def _written(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment is not None else ""


def _with_subject(scope: IncidentScope, kind: SubjectKind, text: str) -> IncidentScope:
    match kind:
        case SubjectKind.KEY:
            return replace(scope, key=text)
        case SubjectKind.DATABASE:
            return replace(scope, database=text)
        case SubjectKind.TOKENS:
            words = [word for word in text.replace(",", " ").split() if word]
            if words and all(_is_reference(word) for word in words):
                return replace(scope, references=tuple(words))
            return replace(scope, filter=text)


def _is_reference(word: str) -> bool:
    """True for table.column:id; a filter's field:value has no dot in front of its colon."""
    if "." not in word.partition(":")[0]:
        return False
    try:
        parse_reference(word)
    except InvalidReferenceError:
        return False
    return True


def key_choices(used: Sequence[str], listed: Sequence[KeyState]) -> tuple[SubjectChoice, ...]:
    """Return the keys to choose from, those that were `used` first; a multi-Region key once.

    It is named by its primary, as far as that answers: what is done about it is done in each Region.
    """
    primary = {key.key_arn: key.primary_arn for key in listed}

    def named(arn: str) -> str:
        main = primary.get(arn)
        return main if main in primary and main is not None else arn

    first = dict.fromkeys(map(named, used))
    return tuple(SubjectChoice(arn, arn in first) for arn in dict.fromkeys((*first, *map(named, primary))))


async def begin_incident(screen: MainScreen, about: About | None = None) -> bool:
    """In a worker: ask what is unknown, open an incident and its page; returns whether one was opened."""
    number = await screen.app.push_screen_wait(DeclareDialog(screen.facts, about or About()))
    if number is None:
        return False
    screen.say(f"INC-{number} is open. From another console: 5.")
    screen.post_message(Followed(IncidentRoute(number)))
    return True
