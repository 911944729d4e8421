"""What an incident is about must be what its runbook is about, named in full."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.database.tokens.inventory_expressions import FIELDS
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.steps.evidence_text import kept_text
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.lists.filter_language import parse_filter
from crypto_core.log.redaction import redacted
from crypto_core.trail.use.filter_builder import term
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.references import parse_reference

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import Inventory

REFERENCE_LIMIT = 10_000
ORIGIN_LIMIT = 300


def checked_scope(runbook: Runbook, scope: IncidentScope) -> IncidentScope:
    """Return the scope as it is kept.

    Raises RefusedError where it isn't what the runbook is about; InvalidReferenceError, InvalidFilterError.
    """
    given = {
        SubjectKind.KEY: bool(scope.key),
        SubjectKind.TOKENS: bool(scope.references or scope.filter),
        SubjectKind.DATABASE: bool(scope.database),
    }
    wanted = runbook.subject
    if not given[wanted] or sum(given.values()) > 1:
        raise RefusedError(
            f"Runbook {runbook.id} is about {_ABOUT[wanted]}: its incident must name that, and nothing else.",
            remedy=_REMEDY[wanted],
        )
    if scope.since is not None and scope.since.tzinfo is None:
        raise RefusedError("The moment since when it is suspected has no time zone.")
    if scope.principal and not is_principal(scope.principal):
        raise RefusedError(
            f"{clean(scope.principal, 200)} is not an IAM role, user or account.",
            remedy="Write it as arn:aws:iam::123456789012:role/name.",
        )
    _check[wanted](scope)
    return replace(
        scope, origin=kept_text(scope.origin, ORIGIN_LIMIT), found_by=kept_text(scope.found_by, ORIGIN_LIMIT)
    )


def _check_key(scope: IncidentScope) -> None:
    if not is_key_arn(scope.key):
        raise RefusedError(
            f"Not the ARN of a KMS key: {kept_text(scope.key, 100)!r}.", remedy=_REMEDY[SubjectKind.KEY]
        )


def _check_tokens(scope: IncidentScope) -> None:
    if scope.references and scope.filter:
        raise RefusedError("Tokens are named by reference or by filter, not both.")
    if len(scope.references) > REFERENCE_LIMIT:
        raise RefusedError(
            f"An incident names at most {REFERENCE_LIMIT:,} tokens.", remedy="Name them by a filter."
        )
    for reference in scope.references:
        parse_reference(reference)
        if clean(reference, 1_000) != reference:
            raise RefusedError("A token reference has control characters, or is too long.")
    if scope.filter:
        if clean(scope.filter, 2_000) != scope.filter:
            raise RefusedError("The filter has control characters, or is too long.")
        if redacted(scope.filter) != scope.filter:
            raise RefusedError("The filter seems to contain a secret, and it would be stored.")
        parse_filter(scope.filter, FIELDS)


def _check_database(scope: IncidentScope) -> None:
    if clean(scope.database, 200) != scope.database or redacted(scope.database) != scope.database:
        raise RefusedError("A restored database is named as in the settings, not by its URL.")


_check = {
    SubjectKind.KEY: _check_key,
    SubjectKind.TOKENS: _check_tokens,
    SubjectKind.DATABASE: _check_database,
}
_ABOUT = {
    SubjectKind.KEY: "a KMS key",
    SubjectKind.TOKENS: "tokens",
    SubjectKind.DATABASE: "a restored database",
}
_REMEDY = {
    SubjectKind.KEY: "Name one key by its ARN (arn:aws:kms:…:key/…).",
    SubjectKind.TOKENS: "Name tokens by reference or by a filter.",
    SubjectKind.DATABASE: "Name a database of the settings file.",
}


LONGEST_NAME = 300


def organisation_filter(inventory: Inventory, name: str, *, cancelled: Event | None = None) -> str:
    """Return the filter for an organisation's tokens.

    Upper and lower case don't count. Raises RefusedError where there is no token of it, DatabaseError,
    InterruptedRunError.
    """
    if len(name) > LONGEST_NAME:
        raise RefusedError(
            f"The organisation's name is longer than {LONGEST_NAME} characters.",
            remedy="Name its tokens by a filter, such as org:BEGINNING*.",
        )
    expression = term("org", name)
    if not name or not inventory.tokens(expression, cancelled=cancelled):
        raise RefusedError(
            f"No token is of organisation {clean(name, 100)!r}.",
            remedy="Name it as keydeck connections lists it.",
        )
    return expression
