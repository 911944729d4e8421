"""Makes plans: what a selection means right now, and every reason not to start.

All that a plan takes is read here, and goes one way: a selection is resolved, its tokens are sorted, what
must not start is refused, and the plan is put together. Those steps are in plan_steps.py. What they refuse
ends the reading, so that KMS is asked nothing about a plan that can't be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from threading import Event

from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attached_code import code_warnings, column_limits
from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.attribution_cache import AttributionCache, Wrapping
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.fresh_proof import FreshProver
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import Format, version_of
from crypto_core.keyring.preflight import Permission, Preflight, WrappedSample
from crypto_core.keys.inventory import KeyInventory
from crypto_core.reencryption import plan_steps
from crypto_core.reencryption.filter_selection import ManyFiltered, filtered
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import InvalidReferenceError, KmsAccessDeniedError, KmsError
from crypto_core.values.key_names import parse_key_name
from crypto_core.values.references import RowRef, TokenRef

SAMPLES = 50
"""Tokens that are looked at for the keys that they are under, before KMS is asked what it would permit."""

QUESTIONS = 5
"""How often KMS is asked for the key of a group that is not known yet."""

LISTED = 1_000
"""Tokens of a filter that the plan of a job lists one by one; more are looked up when it begins."""

READ = 1_000
"""Tokens of a filter that are read at a time, to see which of them the verb takes."""

_MORE = "keydeck reencrypt --from KEY or --all"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Planner:
    """Turns a selection into a plan. Blocks on SQL and KMS."""

    catalogue: LiveCatalogue
    inventory: Inventory
    answers: AttributionCache
    store: TokenStore
    attributor: Attributor
    keys: KeyInventory
    unseen: Callable[[Event | None], Sequence[str]]
    """What a status does not cover."""
    trusted: Sequence[str] = ()
    """Names of the keys that the platform is configured with."""
    _: KW_ONLY
    preflight: Preflight
    prover: FreshProver
    write_format: Format = Format.V1
    """The version of new envelopes."""

    def plan_tokens(
        self,
        verb: Verb,
        selection: Selection,
        target: str,
        *,
        allow_downgrade: bool = False,
        many: bool = False,
        cancelled: Event | None = None,
    ) -> Plan:
        """Return what `verb` would do. Nothing is changed.

        Without `allow_downgrade` a v2 envelope stays v2, also where v1 is written. `many` is for a job: then
        a filter may let through more tokens than a plan lists. Raises RefusedError where it must not start,
        InvalidReferenceError, KmsError, DatabaseError, and InterruptedRunError once `cancelled` is set.
        """
        catalogue = self.catalogue.refresh()
        plan_steps.check_catalogue(catalogue)
        key = target_key(self.keys, target)
        plan_steps.check_target(key)
        stop_if(cancelled)
        resolved = self.resolve_selection(verb, selection, key.arn, many=many, cancelled=cancelled)
        plan_steps.check_keys_differ(resolved.source_key_arn, key.arn)
        tally = resolved.tally
        if tally is None:
            tally = self.store.tally(resolved.scope, cancelled=cancelled)
        plan_steps.check_writable(catalogue, tally)
        stop_if(cancelled)
        code = self.store.code_at(tally)
        doubts: tuple[str, ...] = ()
        if tally and (page := self._sample(verb, selection, resolved)):
            sources = self._sources(page, resolved.source_key_arn)
            found = self._permissions(verb, key.arn, sources, page[0].ref)
            doubts = plan_steps.check_permissions(found, key.arn, sources=len(sources))
            doubts += code_warnings(code) + tuple(self._obstacles(tally))
        return plan_steps.build_plan(
            verb,
            selection,
            key,
            resolved,
            tally,
            doubts,
            code,
            # Named references are seen, or refused one by one.
            () if selection.references else self.unseen(cancelled),
            trusted=self.trusted,
            write_format=self.write_format,
            binding=self.attributor.keyring.binding,
            allow_downgrade=allow_downgrade,
        )

    def filtered(self, selection: Selection) -> ManyFiltered:
        """Return the tokens that the selection's filter lets through, read page by page."""
        return ManyFiltered(self.inventory, selection)

    def resolve_selection(
        self,
        verb: Verb,
        selection: Selection,
        target_arn: str,
        *,
        many: bool = False,
        cancelled: Event | None = None,
    ) -> plan_steps.ResolvedSelection:
        """Return what the selection means now; which tokens are under a key is told by a fresh proof."""
        if selection.references:
            return self._listed(verb, target_arn, self._read(selection.references))
        if selection.filter is not None:
            tally = self.filtered(selection).tally(cancelled=cancelled) if many else {}
            if sum(plan_steps.by_column(tally).values()) > LISTED:
                return plan_steps.sort_formats(verb, tally)
            return self._listed(verb, target_arn, self._read_filtered(selection, cancelled))
        if selection.under_key:
            source = self._source(selection.under_key, cancelled)
            plan_steps.check_source(source)
            return plan_steps.sort_under_key(verb, source)
        plan_steps.check_selection(verb, selection)
        return plan_steps.ResolvedSelection(TokenScope(verb.formats))

    def _listed(
        self, verb: Verb, target_arn: str, found: Iterable[Sequence[StoredToken] | Unwritten]
    ) -> plan_steps.ResolvedSelection:
        """Tokens one by one, page by page: at no time are all of their values held."""
        wanted: list[TokenRef] = []
        refused: list[Unwritten] = []
        for page in found:
            if isinstance(page, Unwritten):
                refused.append(page)
                continue
            taken, left = plan_steps.sort_tokens(verb, target_arn, page)
            wanted += taken
            refused += left
        scope = TokenScope(verb.formats, references=tuple(wanted))
        return plan_steps.ResolvedSelection(scope, refused=tuple(refused))

    def _read(self, references: Iterable[TokenRef | RowRef]) -> Iterable[Sequence[StoredToken] | Unwritten]:
        """The tokens of each reference, or that there is none."""
        for reference in dict.fromkeys(references):
            catalogue = self.catalogue()
            found = self.store.read_many(catalogue.references(reference))
            yield found or Unwritten(str(reference), catalogue.why_nothing(reference))

    def _read_filtered(self, selection: Selection, cancelled: Event | None) -> Iterable[list[StoredToken]]:
        for page in filtered(self.inventory, selection, more=_MORE):
            for first in range(0, len(page), READ):
                stop_if(cancelled)
                yield self.store.read_many(page[first : first + READ])

    def _source(self, name: str, cancelled: Event | None) -> plan_steps.SourceKey:
        try:
            key = self.keys.describe(name)
            arn, state = key.key_arn, key.state
        except KmsError:
            # A key that KMS no longer describes can still be named by its ARN.
            if not parse_key_name(name).is_key_arn:
                raise
            arn, state = name, None
        return plan_steps.SourceKey(
            arn, state, self.prover.prove(about=arn, everywhere=False, cancelled=cancelled)
        )

    def _groups(self) -> Mapping[bytes, frozenset[Wrapping]]:
        with connected(self.catalogue.engine) as connection:
            return self.answers.by_group(connection)

    def _sample(
        self, verb: Verb, selection: Selection, resolved: plan_steps.ResolvedSelection
    ) -> list[StoredToken]:
        if resolved.tally is None:
            return next(self.store.pages(resolved.scope, size=SAMPLES), [])
        for one in self.filtered(selection).picked(verb.formats):
            with connected(self.catalogue.engine) as connection:
                ids = connection.scalars(one.ids.limit(SAMPLES + len(one.but))).all()
            table = self.catalogue().table(one.column.table)
            refs = [table.ref(one.column.column, str(i)) for i in ids if str(i) not in one.but]
            if refs:
                return self.store.read_many(refs[:SAMPLES])
        return []

    def _sources(
        self, page: Sequence[StoredToken], source_key_arn: str | None
    ) -> dict[str, WrappedSample | None]:
        """The keys that some tokens are under, each with one of their encrypted data keys.

        Where a group's key is not known yet, KMS is asked about one token of it, as for a census.
        """
        groups = self._groups()
        asked: dict[bytes | None, str] = {}
        sources: dict[str, WrappedSample | None] = {}
        for token, envelope, sample in plan_steps.envelopes_of(page):
            prefix = envelope.edk_prefix
            arn = source_key_arn or plan_steps.known_key(envelope, groups) or asked.get(prefix)
            if arn is None and len(asked) < QUESTIONS:
                arn = asked[prefix] = self._key_of(token)
            if arn:
                sources.setdefault(arn, sample)
        return sources

    def _key_of(self, token: StoredToken) -> str:
        """The key that a token is under, as KMS says or as its refusal names it; "" where neither does."""
        probe = self.attributor.ask_kms([token])[0]
        if probe.answer is not None:
            return probe.answer.key_arn or ""
        return probe.failure.key if probe.failure is not None else ""

    def _obstacles(self, tally: Mapping[str, Mapping[Format, int]]) -> Iterator[str]:
        """What refuses the tokens when they are written, a warning for each column."""
        known = self.catalogue()
        with connected(self.catalogue.engine) as connection:
            for name in tally:
                column = TokenColumn.named(name)
                if found := column_limits(connection, known.table(column.table), column.column):
                    yield f"{name}: {'; '.join(found)}. A token that the database refuses is left as it was."

    def _permissions(
        self, verb: Verb, target_arn: str, sources: Mapping[str, WrappedSample | None], first: TokenRef
    ) -> tuple[Permission, ...]:
        try:
            context = (
                {}
                if verb is Verb.REWRAP
                else version_of(self.write_format).context_for(first, self.attributor.keyring.binding)
            )
        except InvalidReferenceError:
            context = {}  # that token will be told by itself
        return self.preflight.for_run(target_arn, sources, operation=verb.operation, context=context)


def target_key(keys: KeyInventory, name: str) -> plan_steps.TargetKey:
    """Return a key to write under, as far as KMS describes it. Raises KmsError."""
    try:
        key = keys.describe(name)
    except KmsAccessDeniedError:
        if parse_key_name(name).is_key_arn:
            return plan_steps.TargetKey(name, name, None)
        raise
    return plan_steps.TargetKey(name, key.key_arn, key)
