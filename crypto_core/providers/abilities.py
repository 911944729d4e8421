"""A token's abilities: facts, inferences, and what isn't known, each by name; and how a provider is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from crypto_core.providers.answers import Liveness
from crypto_core.providers.messages import NoAnswer, ProviderAnswer, Reply, Request, Said, Target, unexpected
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef

MOST_LISTED = 200
"""Scopes, permissions and places that one answer names."""


class Ability(StrEnum):
    """What there is to know of a token. What isn't known is named by one of these."""

    SCOPES = "scopes"
    PERMISSIONS = "permissions"
    PLACES = "places"
    """Its workspaces, sites and organisations."""
    REPOSITORIES = "repositories"
    PROJECTS = "projects"
    """Jira's projects or Confluence's spaces."""
    READS_PRIVATE = "reads private content"
    WRITES = "writes"
    ADMIN = "admin"
    EXPIRY = "expiry"


@dataclass(frozen=True, slots=True)
@cleans(why=300)
class NotKnown(JsonRecord):
    what: Ability
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Repositories(JsonRecord):
    """How many repositories a token sees. Unless `whole` there are at least so many."""

    public: int = 0
    private: int = 0
    internal: int = 0
    writable: int = 0
    """Those to which its account may push."""
    administered: int = 0
    whole: bool = field(default=True, kw_only=True)

    @property
    def closed(self) -> int:
        return self.private + self.internal

    def __add__(self, other: Repositories) -> Repositories:
        sums = (one + more for one, more in zip(astuple(self)[:-1], astuple(other)[:-1], strict=True))
        return Repositories(*sums, whole=self.whole and other.whole)

    def __str__(self) -> str:
        parts = (f"{self.public:,} public", f"{self.private:,} private")
        more = (f"{self.internal:,} internal",) if self.internal else ()
        return ("" if self.whole else "at least ") + ", ".join((*parts, *more))


@dataclass(frozen=True, slots=True)
@cleans(provider=100, reason=300, kind=100, whose=200, lasts=200, scopes=120, permissions=160, places=200)
class TokenAbilities(JsonRecord):
    """One provider's answer about one token. None is for what isn't known; `not_known` says why.

    `inferred` are the abilities that follow from what the provider said, and were not said in so many words.
    """

    ref: TokenRef
    provider: str
    at: datetime
    liveness: Liveness
    reason: str = ""
    kind: str = ""
    """What kind of token it is, such as "personal access token (classic)"."""
    whose: str = ""
    scopes: tuple[str, ...] | None = None
    permissions: tuple[str, ...] = ()
    """What it was seen to be allowed, such as "contents=write"."""
    places: tuple[str, ...] = ()
    places_whole: bool = False
    repositories: Repositories | None = None
    projects: int | None = None
    reads_private: bool | None = None
    writes: bool | None = None
    admin: bool | None = None
    expires: datetime | None = None
    lasts: str = ""
    """How long it lasts, in words; "" where that isn't known."""
    inferred: tuple[Ability, ...] = ()
    not_known: tuple[NotKnown, ...] = ()
    whole: bool = True
    """False if a question went unanswered that may be answered the next time."""

    json_shape = shape(
        "reference=ref provider asked_at=at liveness reason kind? whose? scopes permissions places "
        "places_whole repositories ... lasts? inferred not_known whole"
    )

    @property
    def dead(self) -> bool:
        return self.liveness is Liveness.DEAD

    def why_not(self, what: Ability) -> CleanText:
        return clean(
            next((one.why for one in self.not_known if one.what is what), "its provider did not say")
        )

    def lines(self) -> tuple[CleanText, ...]:
        return tuple(clean(line, 1_000) for line in _lines(self))


_YES_OR_NO = (
    (Ability.ADMIN, "admin", "It administers what it reaches.", "It administers nothing."),
    (Ability.WRITES, "writes", "It can change things.", "It can only read."),
    (
        Ability.READS_PRIVATE,
        "reads_private",
        "It reads what is not public.",
        "It reads nothing that is not public.",
    ),
)


def _lines(told: TokenAbilities) -> Iterable[str]:
    whose = f" of {told.whose}" if told.whose else ""
    yield f"{told.liveness.value.capitalize()}: {told.reason or 'no more was said'}."
    if told.kind or whose:
        yield f"{told.kind.capitalize() or 'Token'}{whose}."
    if told.liveness is not Liveness.ALIVE:
        return
    for ability, name, yes, no in _YES_OR_NO:
        value = getattr(told, name)
        if value is not None:
            inferred = " (inferred)" if ability in told.inferred else ""
            yield (yes if value else no).replace(".", f"{inferred}.")
    if told.scopes is not None:
        yield f"Scopes: {', '.join(told.scopes) or 'none'}."
    if told.permissions:
        yield f"Permissions: {', '.join(told.permissions)}."
    if told.repositories is not None:
        yield f"Repositories: {told.repositories}."
    if told.projects is not None:
        yield f"Sees {counted(told.projects, 'space' if told.provider == 'confluence' else 'project')}."
    if told.places:
        yield f"Reaches {'' if told.places_whole else 'at least '}{', '.join(told.places)}."
    if told.lasts:
        inferred = " (inferred)" if Ability.EXPIRY in told.inferred else ""
        yield f"Expiry: {told.lasts}{inferred}."
    for one in told.not_known:
        yield f"Not known: {one}."


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
    repositories: Repositories | None = None
    projects: int | None = None
    reads_private: bool | None = None
    writes: bool | None = None
    admin: bool | None = None
    expires: datetime | None = None
    lasts: str = ""
    inferred: dict[Ability, None] = field(default_factory=dict)
    not_known: dict[Ability, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """What one answer leaves for a later question, such as a user's id."""
    whole: bool = True
    exhausted: str = ""
    """Why its provider takes no more questions for this token now; "" while it does."""
    more: bool = False
    page: int = 1

    def add_places(self, names: Iterable[object]) -> None:
        for name in names:
            if (text := clean(name, 200)) and len(self.places) < MOST_LISTED:
                self.places[text] = None

    def add_permissions(self, names: Iterable[object]) -> None:
        for name in names:
            if (text := clean(name, 160)) and len(self.permissions) < MOST_LISTED:
                self.permissions[text] = None

    def infer(self, *abilities: Ability) -> None:
        self.inferred |= dict.fromkeys(abilities)

    def add_scopes(self, header: str) -> None:
        named = (clean(one.strip(), 120) for one in header.split(",")[:MOST_LISTED])
        self.scopes = tuple(filter(None, named))

    def miss(self, why: str, *abilities: Ability, again: bool = False) -> None:
        """Note why something isn't known; `again` where another try may fare better."""
        for ability in abilities:
            self.not_known.setdefault(ability, clean(why, 300))
        self.whole = self.whole and not again

    def finished(self, said: Said) -> TokenAbilities:
        names = (one.name for one in fields(TokenAbilities))
        alike = {name: getattr(self, name) for name in names if hasattr(self, name)}
        alike |= {name: tuple(alike[name]) for name in ("permissions", "places", "inferred")}
        return TokenAbilities(
            **alike | {"not_known": tuple(NotKnown(what, why) for what, why in self.not_known.items())},
            ref=self.target.ref,
            provider=self.target.provider,
            liveness=said.liveness,
            reason=clean(said.reason),
            whose=said.whose,
        )


@dataclass(frozen=True, slots=True)
class AbilityQuestion:
    """One read call. `request` is None where there is nothing to ask with this token.

    `part` takes of an answer what `read` notes in the draft, None where it isn't there: then what the
    question is `about` is missed. Where there is a further page `read` sets `more`; at most `pages` are read.
    """

    about: tuple[Ability, ...]
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
    further: tuple[AbilityQuestion, ...] = ()
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
    if Ability.REPOSITORIES in question.about and draft.repositories is not None:
        draft.repositories = replace(draft.repositories, whole=False)
    if Ability.PLACES in question.about:
        draft.places_whole = False
