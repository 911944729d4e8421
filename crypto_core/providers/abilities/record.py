"""What is known of a token's abilities: facts, inferences, and what isn't known, each by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from crypto_core.providers.answers import Liveness
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import CleanText, clean, cleans
from crypto_core.text.counting import counted

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
class NotKnown:
    """What a provider did not tell, and why."""

    what: Ability
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Repositories:
    """How many repositories a token sees. Unless `whole` there are at least so many."""

    public: int = 0
    private: int = 0
    internal: int = 0
    writable: int = 0
    """Those to which its account may push."""
    administered: int = 0
    """Those that its account administers."""
    whole: bool = True

    @property
    def closed(self) -> int:
        """Those that not everybody sees."""
        return self.private + self.internal

    def __str__(self) -> str:
        parts = (f"{self.public:,} public", f"{self.private:,} private")
        more = (f"{self.internal:,} internal",) if self.internal else ()
        return ("" if self.whole else "at least ") + ", ".join((*parts, *more))


@dataclass(frozen=True, slots=True)
@cleans(provider=100, reason=300, kind=100, whose=200, lasts=200, scopes=120, permissions=160, places=200)
class TokenAbilities:
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

    @property
    def dead(self) -> bool:
        """Whether its provider refuses it."""
        return self.liveness is Liveness.DEAD

    def why_not(self, what: Ability) -> CleanText:
        """Return why an ability isn't known."""
        return clean(
            next((one.why for one in self.not_known if one.what is what), "its provider did not say")
        )

    def lines(self) -> tuple[CleanText, ...]:
        """Return what is known, a sentence each, and then what isn't."""
        return tuple(clean(line, 1_000) for line in _lines(self))

    def as_json(self) -> dict[str, Any]:
        """One entry of "tokens"; `abilities_from` reads it back."""
        return {
            "reference": str(self.ref),
            "provider": self.provider,
            "asked_at": self.at.isoformat(),
            "liveness": self.liveness.value,
            "reason": self.reason,
            "kind": self.kind or None,
            "whose": self.whose or None,
            "scopes": None if self.scopes is None else list(self.scopes),
            "permissions": list(self.permissions),
            "places": list(self.places),
            "places_whole": self.places_whole,
            "repositories": _repositories_json(self.repositories),
            "projects": self.projects,
            "reads_private": self.reads_private,
            "writes": self.writes,
            "admin": self.admin,
            "expires": self.expires.isoformat() if self.expires else None,
            "lasts": self.lasts or None,
            "inferred": [one.value for one in self.inferred],
            "not_known": [{"what": one.what.value, "why": one.why} for one in self.not_known],
            "whole": self.whole,
        }


def abilities_from(document: Mapping[str, Any], ref: TokenRef) -> TokenAbilities:
    """Return what `as_json` wrote of a token. Raises ValueError for anything else."""
    try:
        scopes, repositories = document["scopes"], document["repositories"]
        return TokenAbilities(
            ref,
            str(document["provider"]),
            _moment(document["asked_at"]),
            Liveness(document["liveness"]),
            str(document["reason"]),
            kind=str(document["kind"] or ""),
            whose=str(document["whose"] or ""),
            scopes=None if scopes is None else _texts(scopes),
            permissions=_texts(document["permissions"]),
            places=_texts(document["places"]),
            places_whole=bool(document["places_whole"]),
            repositories=None if repositories is None else _repositories(repositories),
            projects=None if document["projects"] is None else int(document["projects"]),
            reads_private=_told(document["reads_private"]),
            writes=_told(document["writes"]),
            admin=_told(document["admin"]),
            expires=None if document["expires"] is None else _moment(document["expires"]),
            lasts=str(document["lasts"] or ""),
            inferred=tuple(Ability(one) for one in document["inferred"]),
            not_known=tuple(NotKnown(Ability(o["what"]), str(o["why"])) for o in document["not_known"]),
            whole=bool(document["whole"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no answer about a token") from error


def _repositories_json(found: Repositories | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "public": found.public,
        "private": found.private,
        "internal": found.internal,
        "writable": found.writable,
        "administered": found.administered,
        "whole": found.whole,
    }


def _repositories(told: Mapping[str, Any]) -> Repositories:
    numbers = {
        name: int(told[name]) for name in ("public", "private", "internal", "writable", "administered")
    }
    return Repositories(**numbers, whole=bool(told["whole"]))


def _texts(told: Iterable[object]) -> tuple[str, ...]:
    return tuple(map(str, told))


def _told(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _moment(text: object) -> datetime:
    at = datetime.fromisoformat(str(text))
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


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
