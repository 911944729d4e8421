"""Whose tokens are in a scope: what a runbook's lines about single providers go by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crypto_core.database.tokens.inventory_expressions import FIELDS
from crypto_core.database.tokens.inventory_filter_sql import asks_for_evidence, asks_for_keys
from crypto_core.envelope import TOKENS_OF
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.tokens.scope_tokens import in_pages
from crypto_core.lists.filter_language import parse_filter
from crypto_core.providers.registry import provider_of_row
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseError, InvalidReferenceError
from crypto_core.values.references import parse_reference

if TYPE_CHECKING:
    from crypto_core.database.tokens.catalogue import LiveCatalogue
    from crypto_core.database.tokens.inventory import Inventory, InventoryRow

_MOST_NAMES = 20


class ScopeProviders:
    """Tells them as far as the rows do. Blocks on SQL."""

    def __init__(self, inventory: Inventory, catalogue: LiveCatalogue) -> None:
        self._inventory = inventory
        self._catalogue = catalogue

    def __call__(self, scope: IncidentScope) -> tuple[str, ...]:
        """Return the names of the providers, in order; () where it isn't known of every token.

        What the database does not tell leaves it unknown; raises nothing of ours.
        """
        try:
            names = {*self._names(scope)}
        except (DatabaseError, InvalidReferenceError):
            return ()
        return () if "" in names or len(names) > _MOST_NAMES else tuple(sorted(names))

    def _names(self, scope: IncidentScope) -> Iterator[str]:
        catalogue = self._catalogue()
        if scope.references:
            refs = [r for text in scope.references for r in catalogue.references(parse_reference(text))]
            for row in in_pages(self._inventory.rows, refs, None):
                yield _of_row(row)
        elif scope.filter:
            terms = parse_filter(scope.filter, FIELDS)
            if asks_for_keys(terms) or asks_for_evidence(terms):
                yield ""  # which tokens these are depends on what KMS will have answered
            for column in self._inventory.tally(scope.filter):
                yield _of_table(catalogue.table(column.rpartition(".")[0]).provider)


def _of_row(row: InventoryRow) -> str:
    own = dict(row.shown).get("provider")
    name = clean(own.lower(), 40) if own else _of_table(row.provider)
    astray = row.plaintext_provider is not None and TOKENS_OF.get(name) != row.plaintext_provider
    return "" if astray else name


def _of_table(name: str) -> str:
    provider = provider_of_row(name)
    return provider.name if provider is not None else ""
