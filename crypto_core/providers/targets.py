"""From a row of the database to whom its token may be sent; nothing is opened or sent for that."""

from __future__ import annotations

from urllib.parse import urlsplit

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import Format
from crypto_core.providers.answers import ByHand
from crypto_core.providers.endpoints import Endpoints, host_of
from crypto_core.providers.messages import NEVER_ASKED, REFRESH_COLUMN, Target
from crypto_core.providers.registry import provider_of, provider_of_row, question_of
from crypto_core.secret import Secret

_NOT_OPENED = dict.fromkeys(Format, "") | {
    Format.EMPTY: "no token is stored",
    Format.UNRECOGNISED: "what is stored is not recognised: plaintext or corrupt. See keydeck inspect",
}


def target_of(row: InventoryRow, endpoints: Endpoints) -> Target | ByHand:
    """Return the provider endpoint for a token's row, or why there is none."""
    provider = provider_of_row(row.provider)
    if why := _NOT_OPENED[row.format]:
        return ByHand(row.ref, provider.name if provider else row.provider, why)
    if provider is None:
        return ByHand(row.ref, row.provider, "Keydeck knows no way to ask this provider")
    return provider.target(row, endpoints)


def not_asked_before_opening(row: InventoryRow, target: Target) -> str:
    """Return why a token will not be asked about, as far as its row tells; "" where it may be."""
    if row.ref.column == REFRESH_COLUMN:
        return NEVER_ASKED
    return provider_of(target).not_asked(target, dict(row.shown).get("token_type", "").lower())


def never_asked(row: InventoryRow, target: Target, token: Secret) -> str:
    """Return why there is no request that asks about a token for this row; "" where there should be one.

    There should be for a row with an e-mail address, with which API tokens are asked about.
    """
    if why := not_asked_before_opening(row, target):
        return why
    request = question_of(target, token.reveal())
    return request if isinstance(request, str) and not target.email else ""


def hosts(targets: tuple[Target, ...] | list[Target]) -> tuple[str, ...]:
    """Return the hosts that would be called, as the operator confirms them."""
    return tuple(sorted({_told(target.base) for target in targets}))


def _told(base: str) -> str:
    # Without encryption only on this machine, and then that is worth seeing.
    return base if urlsplit(base).scheme == "http" else host_of(base)
