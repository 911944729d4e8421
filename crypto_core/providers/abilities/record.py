"""What is known of a token's abilities: facts, inferences, and what isn't known, each by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crypto_core.providers.answers import Liveness
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import CleanText, clean, cleans
from crypto_core.text.counting import counted
from crypto_core.text.json_records import JsonRecord, shape

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
    whole: bool = True

    @property
    def closed(self) -> int:
        return self.private + self.internal

    def __add__(self, other: Repositories) -> Repositories:
        return Repositories(
            self.public + other.public,
            self.private + other.private,
            self.internal + other.internal,
            self.writable + other.writable,
            self.administered + other.administered,
            whole=self.whole and other.whole,
        )

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
        "places_whole repositories ... lasts? inferred not_known whole",
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
    for ability, field, yes, no in _YES_OR_NO:
        value = getattr(told, field)
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
