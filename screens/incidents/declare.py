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
from textual.widgets import Button, Input, Static

from crypto_core.errors import InvalidReferenceError, RefusedError
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.references import parse_reference
from crypto_core.text.cleaning import shortened
from crypto_core.text.counting import counted
from screens.ages import span
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.event_filters import since
from screens.facts import Facts
from screens.incidents.words import subject
from screens.incidents.work import incident_work
from screens.routes import Followed
from screens.services import Contexts
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, button, buttons, framed
from screens.widgets.line_input import LineInput
from screens.widgets.line_list import Line, LineList, line
from screens.widgets.notice import trouble_content

if TYPE_CHECKING:
    from screens.incidents.about import About

_MOST = 8
_MOST_UNREAD = 3
FIELDS = ("subject", "title", "since")
Lines = Callable[[int], list[Line]]
"""Writes lines for a width."""


@dataclass(frozen=True, slots=True)
class SubjectChoice:
    """What an incident can be about: what a line leads to."""

    value: str


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

    def __init__(self, facts: Facts, about: About) -> None:
        super().__init__()
        self._facts = facts
        self._about = about
        self._runbook: Runbook | None = None
        self._scope = IncidentScope()
        self._declaring: PendingCall[int] | None = None
        self._ask_for_subject = False

    def compose(self) -> ComposeResult:
        """What is chosen from, what is known, and the way back."""
        with framed("Declare incident: which runbook?"):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("Reading the runbooks…"), id="about")
            yield LineList(id="choices")
            with Vertical(id="fields"):
                for name in FIELDS:
                    with Horizontal(classes="field"):
                        yield Static(Content(name))
                        yield LineInput(id=name, compact=True)
            yield Static(id="said")
            yield buttons(("Cancel", "cancel"))

    def on_mount(self) -> None:
        """Ask which runbooks there are."""
        for hidden in ("#choices", "#fields", "#said"):
            self.query_one(hidden).display = False
        facts = self._facts
        ask(
            self,
            lambda _: (incident_work(facts).runbooks(), incident_work(facts).runbook_troubles()),
            self._offer_runbooks,
            group="runbooks",
        )

    # Which runbook

    def _offer_runbooks(self, answer: tuple[tuple[Runbook, ...], tuple[str, ...]] | Trouble) -> None:
        if isinstance(answer, Trouble):
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

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Go on with a runbook, or with what it is about."""
        event.stop()
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

    # About what

    def _ask_subject(self, kind: SubjectKind) -> None:
        facts = self._facts
        self.set_focus(None)
        self.query_one("#choices").display = False
        if kind is SubjectKind.TOKENS:
            self._ask_rest(ask_subject=True)
        elif kind is SubjectKind.KEY:
            self._say(Content("Asking KMS for keys…"))
            known = facts.keys.value
            ask(
                self,
                lambda _: tuple(
                    SubjectChoice(key.key_arn)
                    for key in (known if known is not None else facts.services.keys.list())
                ),
                self._offer_subjects,
                group="subjects",
            )
        else:
            contexts = facts.services.contexts
            ask(
                self,
                lambda _: restored_databases(contexts) if contexts else (),
                self._offer_subjects,
                group="subjects",
            )

    def _offer_subjects(self, answer: tuple[SubjectChoice, ...] | Trouble) -> None:
        if isinstance(answer, Trouble) or not answer:
            self._ask_rest(ask_subject=True)
            if isinstance(answer, Trouble):
                self._fault(trouble_content(answer))
            return
        names = self._facts.key_words
        key = self._runbook is not None and self._runbook.subject is SubjectKind.KEY
        self._say(Content("Which key is it about?" if key else "Which database?"))
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

    def _by_tokens(self, keys: Sequence[SubjectChoice]) -> list[SubjectChoice]:
        """The key with most tokens first: it is the one that hurts."""
        status = self._facts.status.value
        return sorted(keys, key=lambda one: -status.tokens_under(one.value) if status is not None else 0)

    # What will be opened

    def _ask_rest(self, *, ask_subject: bool) -> None:
        book = self._runbook
        if book is None:
            return
        self._retitle(f"{book.title}: declare an incident")
        self.query_one("#choices").display = False
        self._say(opened_content(book, self._scope, self._facts))
        self.query_one("#fields").display = True
        hints = {SubjectKind.KEY: "ARN, id or alias", SubjectKind.TOKENS: "references, or a filter"}
        placeholders = {
            "subject": hints.get(book.subject, "its name in the settings"),
            "title": book.title,
            "since": "when it may have begun: 2h, 7d, a date; empty if not known",
        }
        for name, words in placeholders.items():
            self.query_one(f"#{name}", LineInput).placeholder = words
        self._ask_for_subject = ask_subject
        self.query(".field").first().display = ask_subject
        self.query_one("#since", LineInput).value = _written(self._scope.since)
        self.query_one(".buttons").mount(button("Open the incident", "open"))
        self.query_one("#subject" if ask_subject else "#title").focus()

    @on(Input.Submitted)
    def go_on(self, event: Input.Submitted) -> None:
        """Enter opens the incident, from every field but an empty subject."""
        event.stop()
        if event.input.id == "subject" and not event.value.strip():
            return
        self.open_incident()

    @on(Button.Pressed, "#open")
    def open_incident(self) -> None:
        """Open it."""
        book = self._runbook
        if book is None or (self._declaring is not None and self._declaring.waiting):
            return
        given = {name: self.query_one(f"#{name}", Input).value.strip() for name in FIELDS}
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
            return incident_work(facts).declare(book.id, replace(whole, since=at), given["title"])

        self._fault(Content("Opening the incident…"))
        self._declaring = ask(self, lambda _: declare(), self._end, group="declare")

    def _end(self, answer: int | Trouble) -> None:
        if isinstance(answer, Trouble):
            self._fault(trouble_content(answer))
        else:
            self.dismiss(answer)

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


def opened_content(book: Runbook, scope: IncidentScope, facts: Facts) -> Content:
    """Return what will be opened: about what, from where, with which phases."""
    budget = sum(step.budget_seconds for step in book.steps)
    lines = [Content(book.summary), Content("")]
    if str(scope):
        lines.append(Content.assemble(("about      ", "$muted"), (subject(scope, facts), "bold")))
    if scope.origin:
        lines.append(Content.assemble(("from       ", "$muted"), scope.origin))
    phases = " · ".join(shortened(phase.title, 60) for phase in book.phases)
    allowed = f", budget {span(timedelta(seconds=budget))}" if budget else ""
    lines += [
        Content.assemble(("steps      ", "$muted"), f"{counted(len(book.steps), 'step')}{allowed}"),
        Content.assemble(("phases     ", "$muted"), phases),
        Content.assemble(
            ("runbook    ", "$muted"),
            f"{shortened(book.id, 80)} version {book.version}, {book.source}",
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
    """Return the scope with its subject as the operator named it."""
    match kind:
        case SubjectKind.KEY:
            return replace(scope, key=text)
        case SubjectKind.DATABASE:
            return replace(scope, database=text)
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
