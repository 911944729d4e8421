"""The providers that Keydeck can ask, each one record: all that differs between them is named here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import TOKENS_OF, classify
from crypto_core.providers import atlassian, github, messages, slack
from crypto_core.providers.abilities import AbilityQuestions
from crypto_core.providers.answers import ByHand
from crypto_core.providers.endpoints import ATLASSIAN, Endpoints, atlassian_site, host_of
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ProviderError, RefusedError

_SITE_COLUMNS = ("cloud_base_url", "base_url")


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, under the name that targets, plans and the journal have for it."""

    name: str
    target: Callable[[InventoryRow, Endpoints], messages.Target | ByHand]
    """Whom a token's row says to ask."""
    question: Callable[[messages.Target, str], messages.Request | str]
    said: Callable[[messages.Target, str, messages.ProviderAnswer], messages.Said]
    revocation: Callable[[str, Endpoints], messages.RevocationMethod | str]
    """How a token is revoked, or how a person does it."""
    not_asked: Callable[[messages.Target, str], str] = lambda target, kind: ""
    """Why a token of a kind, as its row calls it, is not asked about; "" where it may be."""
    other_names: tuple[str, ...] = ()
    """What tables may call it besides."""
    abilities: AbilityQuestions | None = None
    """What it is asked about what a token can do; None where it can't be asked."""


def _of_atlassian(name: str, *other_names: str) -> Provider:
    def target(row: InventoryRow, endpoints: Endpoints) -> messages.Target | ByHand:
        return _atlassian_target(row, name, endpoints)

    return Provider(
        name,
        target=target,
        question=atlassian.question,
        said=lambda target, token, answer: atlassian.read(answer, target),
        revocation=lambda token, endpoints: atlassian.by_hand(token),
        not_asked=_atlassian_not_asked,
        other_names=other_names,
        abilities=atlassian.QUESTIONS,
    )


def _atlassian_target(row: InventoryRow, name: str, endpoints: Endpoints) -> messages.Target | ByHand:
    shown = dict(row.shown)
    email = shown.get("email", "")
    if email and ("email" in row.altered or not atlassian.is_email(email)):
        return ByHand(row.ref, name, "what the row holds as its e-mail address is none")
    site = next((column for column in _SITE_COLUMNS if shown.get(column)), "")
    # Cleaned, an address may be another one's.
    named = shown.get(site, "") if site not in row.altered else ""
    if endpoints.atlassian:
        return messages.Target(row.ref, name, endpoints.atlassian, email, _forwarded(named))
    if not email:
        # An OAuth token is asked about without its site.
        return messages.Target(row.ref, name, ATLASSIAN)
    try:
        return messages.Target(row.ref, name, atlassian_site(named), email)
    except RefusedError as error:
        return ByHand(row.ref, name, error.message)


def _forwarded(named: str) -> str:
    """The site's host, for a proxy that stands before several sites; "" for one that is not Atlassian's."""
    try:
        return host_of(atlassian_site(named))
    except RefusedError:
        return ""


def _atlassian_not_asked(target: messages.Target, kind: str) -> str:
    if not target.email and "api" in kind:
        return "an API token is checked with its owner's e-mail address, which the row does not have"
    return ""


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "github",
            target=lambda row, endpoints: messages.Target(row.ref, "github", endpoints.github),
            question=lambda target, token: github.question(target.base, token),
            said=lambda target, token, answer: github.read(answer, token),
            revocation=github.revocation,
            abilities=github.QUESTIONS,
        ),
        Provider(
            "slack",
            target=lambda row, endpoints: messages.Target(row.ref, "slack", endpoints.slack),
            question=lambda target, token: slack.question(target.base, token),
            said=lambda target, token, answer: slack.read(answer),
            revocation=lambda token, endpoints: slack.revocation(token),
            abilities=slack.QUESTIONS,
        ),
        _of_atlassian("jira", "atlassian"),
        _of_atlassian("confluence"),
    )
}
_others: dict[str, Provider] = {}


def use_providers(others: Iterable[Provider]) -> None:
    """Ask these providers, too, and no others. Raises ValueError for a name that another one has."""
    found: dict[str, Provider] = {}
    for one in others:
        for name in (one.name, *one.other_names):
            if name != name.lower() or name in _by_any_name(PROVIDERS) or name in _by_any_name(found):
                raise ValueError(f"a provider can't be named {name!r}: it is taken, or not in small letters")
        found[one.name] = one
    _others.clear()
    _others.update(found)


def provider_named(name: str) -> Provider | None:
    """Return the provider of a name as targets and plans have it, None for one that Keydeck can't ask."""
    return PROVIDERS.get(name) or _others.get(name)


def provider_of_row(name: str) -> Provider | None:
    """Return the provider that a table names, in any case; None for one that Keydeck can't ask."""
    return _by_any_name(PROVIDERS | _others).get(name.lower())


def provider_of(target: messages.Target) -> Provider:
    """Return a target's provider. Raises ProviderError for one that is not in the registry."""
    found = provider_named(target.provider)
    if found is None:
        raise ProviderError(f"Keydeck knows no provider {clean(target.provider, 60)!r}.")
    return found


def _by_any_name(providers: Mapping[str, Provider]) -> dict[str, Provider]:
    return {name: one for one in providers.values() for name in (one.name, *one.other_names)}


def foreign(provider: str, token: str) -> str:
    """Return why a token is not sent to a provider: its prefix is another one's. "" where it may be."""
    theirs = classify(token).provider
    if theirs is None or (provider not in _others and TOKENS_OF.get(provider) in (None, theirs)):
        return ""
    return f"its prefix is that of a token of {theirs}, and its row says {provider}: it is not sent there"


def question_of(target: messages.Target, token: str) -> messages.Request | str:
    """Return the request that asks about a token, or why there is none. Raises as `provider_of`."""
    if not messages.sendable(token):
        return "it holds characters that no provider's token has"
    return foreign(target.provider, token) or provider_of(target).question(target, token)
