"""Which tokens an incident is about, as the database has them now. Nothing is journaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import TypeVar

from crypto_core.envelope import Format
from crypto_core.incidents.model import Incident
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.trail.use.filter_builder import term
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidReferenceError, RefusedError
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.references import RowRef, TokenRef, parse_reference

Row = TypeVar("Row")

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class InScope:
    """The tokens in scope. `missing` are declared references that no token is behind, each with why.

    `over` is how many more tokens there are than are acted on one by one. `notes` are gaps of what was asked.
    """

    refs: tuple[TokenRef, ...]
    missing: tuple[str, ...] = ()
    over: int = 0
    notes: tuple[str, ...] = ()
    failed: bool = False
    """True if KMS could not be asked which tokens these are: another time there may be more."""

    @property
    def whole(self) -> bool:
        """True if every token in scope is among `refs`, as far as anybody can tell."""
        return not self.over and not self.failed

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is not among `refs`, one sentence each."""
        over = (too_many(self.over, len(self.refs)),) if self.over else ()
        return (*self.missing, *over, *self.notes)


class ScopedTokens:
    """Resolves scopes. Blocks on SQL; for a key's tokens on KMS too, as a census does."""

    def __init__(self, parts: ToolServices) -> None:
        self._parts = parts

    def resolve(
        self, incident: Incident, *, most: int | None = None, cancelled: Event | None = None
    ) -> InScope:
        """Return the tokens that an incident is about, in order of reference, at most `most`.

        Of a key: every token that is under it and, once there is one, under the new key. Raises RefusedError
        for an incident that is about no tokens, InvalidFilterError, DatabaseError, InterruptedRunError.
        """
        scope = incident.scope
        most = most or self._parts.most
        if scope.references:
            return self._references(scope.references, cancelled, most)
        if scope.filter:
            return self._filtered(scope.filter, cancelled, most)
        if scope.key:
            # KMS is asked first, so that the filter knows the keys.
            status = self._parts.status.take_census(cancelled=cancelled)
            new_key = incident.values.get("new_key", "")
            ids = dict.fromkeys(_id_of(name) for name in (scope.key, new_key) if name)
            found = self._filtered(term("key", *ids), cancelled, most)
            return replace(found, notes=status.coverage.reasons, failed=status.failure is not None)
        raise RefusedError(
            f"{incident.name} is about {scope}, not about tokens of this database.",
            remedy="Declare an incident about tokens or a key.",
        )

    def _references(self, texts: Sequence[str], cancelled: Event | None, most: int) -> InScope:
        catalogue = self._parts.catalogue()
        wanted: dict[TokenRef, None] = {}
        missing: list[str] = []
        of_reference: list[tuple[TokenRef | RowRef, tuple[TokenRef, ...]]] = []
        for text in texts:
            try:
                reference = parse_reference(text)
                refs = catalogue.references(reference)
            except InvalidReferenceError as error:
                missing.append(error.message)
                continue
            of_reference.append((reference, refs))
            wanted |= dict.fromkeys(refs)
        there = self._there(sorted(wanted), cancelled)
        for reference, refs in of_reference:
            if not there.intersection(refs):
                missing.append(f"{reference}: {catalogue.why_nothing(reference)}")
        kept = sorted(there)[:most]
        return InScope(tuple(kept), tuple(dict.fromkeys(missing)), len(there) - len(kept))

    def _filtered(self, expression: str, cancelled: Event | None, most: int) -> InScope:
        number = self._parts.inventory.tokens(expression, cancelled=cancelled)
        refs: list[TokenRef] = []
        for page in self._parts.inventory.references(expression, cancelled=cancelled):
            refs += page
            if len(refs) >= most:
                break
        kept = refs[:most]
        return InScope(tuple(sorted(kept)), over=max(number - len(kept), 0))

    def _there(self, refs: Sequence[TokenRef], cancelled: Event | None) -> set[TokenRef]:
        tokens = in_pages(self._parts.store.read_many, refs, cancelled)
        return {token.ref for token in tokens if token.format is not Format.EMPTY}


def in_pages(
    read: Callable[[Sequence[TokenRef]], Sequence[Row]], refs: Sequence[TokenRef], cancelled: Event | None
) -> list[Row]:
    """Return what is read of some rows, page by page. Raises InterruptedRunError between two."""
    found: list[Row] = []
    for first in range(0, len(refs), _PAGE):
        stop_if(cancelled)
        found += read(refs[first : first + _PAGE])
    return found


def too_many(over: int, most: int) -> str:
    """Return the sentence for a scope of more tokens than are acted on."""
    return (
        f"{counted(over, 'more token')} are in scope than the {most:,} that one incident acts on one by one. "
        "Declare incidents over parts of it, by filter."
    )


def _id_of(name: str) -> str:
    """The key's id, which its replicas share; another name as it is."""
    return name.rsplit("/", 1)[-1] if is_key_arn(name) else name
