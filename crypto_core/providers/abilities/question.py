"""A provider's questions about what a token can do, as records, and how their answers are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from crypto_core.providers.abilities import record
from crypto_core.providers.messages import NoAnswer, ProviderAnswer, Reply, Request, Said, Target, unexpected
from crypto_core.text.cleaning import clean


@dataclass(slots=True)
class AbilityDraft:
    """What is known of one token so far. Foreign text is cleaned as it is added."""

    target: Target
    token: str = field(repr=False)
    at: datetime
    kind: str = ""
    scopes: tuple[str, ...] | None = None
    permissions: dict[str, None] = field(default_factory=dict)
    places: dict[str, None] = field(default_factory=dict)
    places_whole: bool = False
    repositories: record.Repositories | None = None
    projects: int | None = None
    reads_private: bool | None = None
    writes: bool | None = None
    admin: bool | None = None
    expires: datetime | None = None
    lasts: str = ""
    inferred: dict[record.Ability, None] = field(default_factory=dict)
    not_known: dict[record.Ability, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """What one answer leaves for a later question, such as a user's id."""
    whole: bool = True
    exhausted: str = ""
    """Why its provider takes no more questions for this token now; "" while it does."""
    more: bool = False
    page: int = 1

    def add_places(self, names: Iterable[object]) -> None:
        for name in names:
            if (text := clean(name, 200)) and len(self.places) < record.MOST_LISTED:
                self.places[text] = None

    def add_permissions(self, names: Iterable[object]) -> None:
        for name in names:
            if (text := clean(name, 160)) and len(self.permissions) < record.MOST_LISTED:
                self.permissions[text] = None

    def infer(self, *abilities: record.Ability) -> None:
        self.inferred |= dict.fromkeys(abilities)

    def add_scopes(self, header: str) -> None:
        named = (clean(one.strip(), 120) for one in header.split(",")[: record.MOST_LISTED])
        self.scopes = tuple(filter(None, named))

    def miss(self, why: str, *abilities: record.Ability, again: bool = False) -> None:
        """Note why something isn't known; `again` where another try may fare better."""
        for ability in abilities:
            self.not_known.setdefault(ability, clean(why, 300))
        self.whole = self.whole and not again

    def finished(self, said: Said) -> record.TokenAbilities:
        return record.TokenAbilities(
            self.target.ref,
            self.target.provider,
            self.at,
            said.liveness,
            clean(said.reason),
            kind=self.kind,
            whose=said.whose,
            scopes=self.scopes,
            permissions=tuple(self.permissions),
            places=tuple(self.places),
            places_whole=self.places_whole,
            repositories=self.repositories,
            projects=self.projects,
            reads_private=self.reads_private,
            writes=self.writes,
            admin=self.admin,
            expires=self.expires,
            lasts=self.lasts,
            inferred=tuple(self.inferred),
            not_known=tuple(record.NotKnown(what, why) for what, why in self.not_known.items()),
            whole=self.whole,
        )


@dataclass(frozen=True, slots=True)
class AbilityQuestion:
    """One read call. `request` is None where there is nothing to ask with this token.

    `part` takes of an answer what `read` notes in the draft, None where it isn't there: then what the
    question is `about` is missed. Where there is a further page `read` sets `more`; at most `pages` are read.
    """

    about: tuple[record.Ability, ...]
    request: Callable[[AbilityDraft], Request | None]
    part: Callable[[ProviderAnswer], Any]
    read: Callable[[AbilityDraft, ProviderAnswer, Any], None]
    pages: int = 1


@dataclass(frozen=True, slots=True)
class AbilityQuestions:
    """What a provider is asked about a living token, beyond whether it lives.

    `first` reads the answer that said so: its headers hold the scopes. `conclude` draws what follows once all
    is read.
    """

    first: Callable[[AbilityDraft, ProviderAnswer], None]
    further: tuple[AbilityQuestion, ...]
    conclude: Callable[[AbilityDraft], None] = lambda draft: None
    refused: Callable[[ProviderAnswer], str] = unexpected
    throttled: Callable[[ProviderAnswer], bool] = lambda answer: answer.status == 429
    exhausted: Callable[[ProviderAnswer], str] = lambda answer: ""
    """Why no more is to be asked with this token now; "" while it may be."""


def listed_in(name: str = "") -> Callable[[ProviderAnswer], list[Any] | None]:
    """Return what takes a list out of an answer: a field of it, or the whole document."""

    def part(answer: ProviderAnswer) -> list[Any] | None:
        found = answer.fields().get(name) if name else answer.document()
        return found if answer.status == 200 and isinstance(found, list) else None

    return part


def ask_further(questions: AbilityQuestions, draft: AbilityDraft, send: Callable[[Request], Reply]) -> None:
    """Ask a provider's further questions, page by page. What `send` raises passes."""
    for question in questions.further:
        draft.page, draft.more = 1, True
        while draft.more and draft.page <= question.pages:
            draft.more = False
            request = question.request(draft)
            if request is None:
                break
            if draft.exhausted:
                _leave_open(draft, question, draft.exhausted, again=True)
                break
            reply = send(request)
            if (why := _unread(reply)) or isinstance(reply, NoAnswer):
                _leave_open(draft, question, why, again=True)
                break
            draft.exhausted = questions.exhausted(reply)
            found = question.part(reply)
            if found is None:
                _leave_open(draft, question, questions.refused(reply), again=questions.throttled(reply))
            else:
                question.read(draft, reply, found)
            draft.page += 1
        if draft.more and draft.page > question.pages:
            _leave_open(draft, question, f"only the first {question.pages} pages were read")
    questions.conclude(draft)


def _unread(reply: Reply) -> str:
    """Why a reply is none of the provider's, which always speaks JSON; "" for one that can be read."""
    if isinstance(reply, NoAnswer):
        return reply.reason
    silent = reply.status >= 500 or reply.document() is None
    return unexpected(reply) if silent else ""


def _leave_open(draft: AbilityDraft, question: AbilityQuestion, why: str, *, again: bool = False) -> None:
    """Note what is missed. An earlier page counts for what it says."""
    draft.miss(why, *question.about, again=again)
    if record.Ability.REPOSITORIES in question.about and draft.repositories is not None:
        draft.repositories = replace(draft.repositories, whole=False)
    if record.Ability.PLACES in question.about:
        draft.places_whole = False
