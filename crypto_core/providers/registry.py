"""The providers that Keydeck can ask: all that differs between them is in a record of each.

The records of Keydeck's own are `PROVIDERS` in the modules of `builtin`: one is known by being written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import TOKENS_OF, classify
from crypto_core.envelope.issuers import REFRESH_PREFIXES
from crypto_core.providers import messages
from crypto_core.providers.abilities import AbilityQuestions
from crypto_core.providers.answers import ByHand
from crypto_core.providers.endpoints import Endpoints
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ProviderError


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider, under the name that targets, plans and the journal have for it."""

    name: str
    question: Callable[[messages.Target, str], messages.Request | str]
    said: Callable[[messages.Target, str, messages.ProviderAnswer], messages.Said]
    revocation: Callable[[str, Endpoints], messages.RevocationMethod | str]
    """How a token is revoked, or how a person does it."""
    base: str = ""
    """The base URL at which it is asked, unless settings name another one."""
    target: Callable[[InventoryRow, Endpoints], messages.Target | ByHand] | None = None
    """Whom a token's row says to ask, where that isn't always the same."""
    not_asked: Callable[[messages.Target, str], str] = lambda target, kind: ""
    """Why a token of a kind, as its row calls it, is not asked about; "" where it may be."""
    other_names: tuple[str, ...] = ()
    """What tables may call it besides."""
    abilities: AbilityQuestions | None = None
    """What it is asked about what a token can do; None where it can't be asked."""
    places: tuple[str, ...] = ()
    """The columns of rows that name the workspaces or sites of a token."""
    log_query: Callable[[str], str] | None = None
    """What finds in its audit log what a token did; None where the log names no token."""

    def target_of(self, row: InventoryRow, endpoints: Endpoints) -> messages.Target | ByHand:
        if self.target is not None:
            return self.target(row, endpoints)
        return messages.Target(row.ref, self.name, endpoints.of(self.name, self.base))


@cache
def own_providers() -> Mapping[str, Provider]:
    """Return Keydeck's own providers, by name."""
    builtin = import_module("crypto_core.providers.builtin")
    modules = (import_module(f"{builtin.__name__}.{one.name}") for one in iter_modules(builtin.__path__))
    return {provider.name: provider for module in modules for provider in module.PROVIDERS}


_others: dict[str, Provider] = {}


def use_providers(others: Iterable[Provider]) -> None:
    """Ask these providers, too, and no others. Raises ValueError for a taken name, or no URL."""
    found: dict[str, Provider] = {}
    for one in others:
        for name in (one.name, *one.other_names):
            if name != name.lower() or name in _by_any_name(own_providers()) or name in _by_any_name(found):
                raise ValueError(f"a provider can't be named {name!r}: it is taken, or not in small letters")
        if one.target is None and not one.base:
            raise ValueError(f"the provider {one.name!r} has neither a base URL nor a target")
        found[one.name] = one
    _others.clear()
    _others.update(found)


def provider_named(name: str) -> Provider | None:
    """Return the provider of a name as targets and plans have it, None for one that Keydeck can't ask."""
    return own_providers().get(name) or _others.get(name)


def provider_of_row(name: str) -> Provider | None:
    """Return the provider that a table names, in any case; None for one that Keydeck can't ask."""
    return _by_any_name({**own_providers(), **_others}).get(name.lower())


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
    if theirs in (None, TOKENS_OF.get(provider)):
        return ""
    return f"its prefix is that of a token of {theirs}, and its row says {provider}: it is not sent there"


def question_of(target: messages.Target, token: str) -> messages.Request | str:
    """Return the request that asks about a token, or why there is none. Raises as `provider_of`."""
    if not messages.sendable(token):
        return "it holds characters that no provider's token has"
    if why := foreign(target.provider, token):
        return why
    if token.startswith(REFRESH_PREFIXES):
        return messages.NEVER_ASKED
    return provider_of(target).question(target, token)
