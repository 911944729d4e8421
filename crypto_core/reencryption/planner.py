"""Makes plans: what a selection means right now, and every reason not to start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from sqlalchemy import Engine

from crypto_core.cancelling import stop_if
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attribution import Attributor, KeyCount
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.census import take_census
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.envelope import ENVELOPE_FORMATS, Format, parse, version_of
from crypto_core.errors import (
    EnvelopeError,
    InvalidReferenceError,
    KmsAccessDeniedError,
    KmsError,
    MissingPermissionError,
    RefusedError,
)
from crypto_core.key_names import parse_key_name, same_key
from crypto_core.keyring.preflight import DECRYPT, Preflight, WrappedSample
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.state import KeyState
from crypto_core.lists.coverage import Coverage
from crypto_core.reencryption.filter_selection import ManyFiltered, Tally, filtered, of_formats
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.references import RowRef, TokenRef
from crypto_core.text.counting import counted

FORMATS: dict[Verb, frozenset[Format]] = {
    Verb.REWRAP: frozenset(ENVELOPE_FORMATS),
    Verb.REENCRYPT: frozenset(ENVELOPE_FORMATS),
    Verb.ENCRYPT: frozenset({Format.PLAINTEXT, Format.DEV}),
}
"""What each verb takes. Unrecognised values are never encrypted: they may be damaged envelopes."""

SAMPLES = 50
"""Tokens that are looked at for the keys that they are under, before KMS is asked what it would permit."""

QUESTIONS = 5
"""How often KMS is asked for the key of a group that is not known yet."""

LISTED = 1_000
"""Tokens of a filter that the plan of a job lists one by one; more are looked up when it begins."""

READ = 1_000
"""Tokens of a filter that are read at a time, to see which of them the verb takes."""

_MORE = "keydeck reencrypt --from KEY or --all"

_NO_RECOVERY = (
    "Rewrap is no recovery from a compromise: the data keys stay the same. Re-encrypt if the old key leaked."
)

_NOT_TAKEN: dict[Format, str] = {
    **dict.fromkeys(ENVELOPE_FORMATS, "it is an envelope already"),
    Format.DEV: "it is in dev format; encrypt it in place",
    Format.PLAINTEXT: "it is plaintext; encrypt it in place",
    Format.UNRECOGNISED: "it is not recognised: plaintext or corrupt",
    Format.EMPTY: "it is empty",
}


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """A selection as the database has it now. `failure` is as for Attribution: then some may be missing."""

    scope: TokenScope
    source_key_arn: str | None
    refused: tuple[Unwritten, ...]
    gaps: tuple[str, ...]
    failure: KmsError | None = None
    tally: Tally | None = None
    """Of more tokens than are listed: how many they are. The scope has none of them then."""


class Planner:
    """Turns a selection into a plan. Blocks on SQL and KMS."""

    def __init__(
        self,
        engine: Engine,
        catalogue: LiveCatalogue,
        answers: AttributionCache,
        store: TokenStore,
        attributor: Attributor,
        keys: KeyInventory,
        trusted: Sequence[str] = (),
        *,
        preflight: Preflight,
        write_format: Format = Format.V1,
    ) -> None:
        """`trusted` are the names of the keys that the platform is configured with, `write_format` is the
        version of new envelopes.
        """
        self._preflight = preflight
        self._write_format = write_format
        self._engine = engine
        self._catalogue = catalogue
        self._answers = answers
        self._store = store
        self._attributor = attributor
        self._keys = keys
        self._trusted = tuple(trusted)
        self._inventory = Inventory(engine, catalogue, answers, aliases=keys.known_aliases)

    def plan(
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
        catalogue = self._catalogue.refresh()
        if not catalogue.tables:
            raise RefusedError("There is no token to write.", remedy=" ".join(catalogue.gaps))
        key, target_arn = self._target(target)
        stop_if(cancelled)
        resolved = self.resolve(verb, selection, target_arn, many=many, cancelled=cancelled)
        if resolved.source_key_arn and same_key(resolved.source_key_arn, target_arn):
            raise RefusedError(
                f"Source and target are the same key: {target_arn}.", remedy="Name another key with --to."
            )
        tally = resolved.tally
        if tally is None:
            tally = self._store.tally(resolved.scope, cancelled=cancelled)
        by_column = {column: sum(formats.values()) for column, formats in tally.items()}
        by_format = Counter[Format]()
        for formats in tally.values():
            by_format.update(formats)
        self._must_be_writable(by_column)
        stop_if(cancelled)
        doubts = self._permissions(verb, target_arn, resolved, selection) if by_column else ()
        return Plan(
            verb=verb,
            selection=selection,
            target_key_arn=target_arn,
            target_name=key.name if key else target,
            tokens=sum(by_column.values()),
            by_column=by_column,
            refused=resolved.refused,
            warnings=(
                *self._warnings(verb, key, target, target_arn),
                *self._format_warnings(verb, by_format, allow_downgrade=allow_downgrade),
                *doubts,
            ),
            coverage=Coverage((*resolved.gaps, *self._gaps(selection))),
            scope=resolved.scope,
            source_key_arn=resolved.source_key_arn,
            write_format=self._write_format,
            allow_downgrade=allow_downgrade,
            by_format=by_format,
            unlisted=resolved.tally is not None,
        )

    def filtered(self, selection: Selection) -> ManyFiltered:
        """Return the tokens that the selection's filter lets through, read page by page."""
        return ManyFiltered(self._inventory, selection)

    def _permissions(
        self, verb: Verb, target_arn: str, resolved: ResolvedSelection, selection: Selection
    ) -> tuple[str, ...]:
        """Return what KMS would refuse for a part of the tokens, or doesn't say.

        Raises MissingPermissionError if it would refuse for all of them.
        """
        if resolved.tally is None:
            page = next(self._store.pages(resolved.scope, size=SAMPLES), [])
        else:
            page = self._sample(self.filtered(selection), FORMATS[verb])
        if not page:
            return ()
        sources = self._sources(page, resolved.source_key_arn)
        try:
            context = {} if verb is Verb.REWRAP else version_of(self._write_format).context_for(page[0].ref)
        except InvalidReferenceError:
            context = {}  # that token will be told by itself
        found = self._preflight.for_run(target_arn, sources, operation=verb.operation, context=context)
        refused = [p for p in found if p.allowed is False]
        # One of several sources that can't be opened does not keep the others from being written.
        of_all = [p for p in refused if p.action != DECRYPT or len(sources) == 1 or p.key == target_arn]
        if of_all:
            raise MissingPermissionError(
                " ".join(f"{p.action} on {p.key} is refused: {p.reason}" for p in of_all),
                remedy=of_all[0].remedy,
            )
        told = [f"{p.action} on {p.key} is refused: {p.reason}" for p in refused]
        return (*told, *(f"{p.action} on {p.key}: {p.reason}" for p in found if p.allowed is None))

    def _sample(self, found: ManyFiltered, formats: frozenset[Format]) -> list[StoredToken]:
        for one in found.picked(formats):
            with connected(self._engine) as connection:
                ids = connection.scalars(one.ids.limit(SAMPLES + len(one.but))).all()
            refs = [
                TokenRef(one.column.table, one.column.column, str(i)) for i in ids if str(i) not in one.but
            ]
            if refs:
                return self._store.read_many(refs[:SAMPLES])
        return []

    def _sources(
        self, page: Sequence[StoredToken], source_key_arn: str | None
    ) -> dict[str, WrappedSample | None]:
        """The keys that some tokens are under, each with one of their encrypted data keys.

        Where a group's key is not known yet, KMS is asked about one token of it, as for a census.
        """
        known = self._known()
        asked: dict[bytes | None, str] = {}
        sources: dict[str, WrappedSample | None] = {}
        for token in page:
            if not token.format.protected:
                continue
            try:
                envelope = parse(token.value.reveal())
                context = envelope.context_for(token.ref)
            except (EnvelopeError, InvalidReferenceError):
                continue
            wrappings = known.get(envelope.edk_prefix, frozenset()) if envelope.edk_prefix else frozenset()
            told = next(iter(wrappings))[0] if len(wrappings) == 1 else envelope.named_key
            arn = source_key_arn or told or asked.get(envelope.edk_prefix)
            if arn is None and len(asked) < QUESTIONS:
                arn = asked[envelope.edk_prefix] = self._key_of(token)
            if arn and arn not in sources:
                sources[arn] = WrappedSample(envelope.encrypted_data_key, context)
        return sources

    def _key_of(self, token: StoredToken) -> str:
        """The key that a token is under, as KMS says or as its refusal names it; "" where neither does."""
        probe = self._attributor.ask([token])[0]
        if probe.answer is not None:
            return probe.answer.key_arn or ""
        return probe.failure.key if probe.failure is not None else ""

    def _format_warnings(
        self, verb: Verb, by_format: Mapping[Format, int], *, allow_downgrade: bool
    ) -> tuple[str, ...]:
        if verb is Verb.REWRAP:
            return ()
        new = self._write_format
        if new is not Format.V1:
            return (f"New envelopes are {new}: the platform must read {new} before the first is written.",)
        if not allow_downgrade:
            return ()
        return tuple(
            f"{counted(number, f'{format_} envelope')} will be {new}: no longer bound to the row."
            for format_, number in by_format.items()
            if format_.binds_row and number
        )

    def _warnings(self, verb: Verb, key: KeyState | None, named: str, target_arn: str) -> tuple[str, ...]:
        warnings = [_NO_RECOVERY] if verb is Verb.REWRAP else []
        names = {named, target_arn, *(key.aliases if key else ())}
        if not any(t in names or same_key(t, target_arn) for t in self._trusted):
            warnings.append(
                f"{target_arn} is neither TOKEN_ENCRYPTION_KEY_ID nor trusted: make sure that whoever reads "
                "these tokens may Decrypt under it, or the platform goes dark."
            )
        return tuple(warnings)

    def _gaps(self, selection: Selection) -> tuple[str, ...]:
        """What can't be seen of the selection; named references are seen, or refused one by one."""
        return () if selection.references else self._catalogue().gaps

    def resolve(
        self,
        verb: Verb,
        selection: Selection,
        target_arn: str,
        *,
        many: bool = False,
        cancelled: Event | None = None,
    ) -> ResolvedSelection:
        """Return what the selection means now; for tokens under a key, KMS is asked as for a census."""
        formats = FORMATS[verb]
        if selection.references:
            return self._references(selection.references, verb, target_arn)
        if selection.filter is not None:
            tally = self.filtered(selection).tally(cancelled=cancelled) if many else {}
            if sum(sum(by_format.values()) for by_format in tally.values()) > LISTED:
                return _unlisted(verb, tally)
            return self._filtered(selection, verb, target_arn, cancelled)
        if selection.under_key:
            return self._under_key(selection.under_key, formats, cancelled)
        if selection.unprotected and verb is not Verb.ENCRYPT:
            raise RefusedError("Only encrypt in place takes tokens stored in plaintext.")
        return ResolvedSelection(TokenScope(formats), None, (), ())

    def _references(
        self, references: tuple[TokenRef | RowRef, ...], verb: Verb, target_arn: str
    ) -> ResolvedSelection:
        wanted: list[TokenRef] = []
        refused: list[Unwritten] = []
        for reference in dict.fromkeys(references):
            refs = self._catalogue().references(reference)
            found = self._store.read_many(refs)
            if not found:
                refused.append(Unwritten(str(reference), "there is no such row, or it holds no token"))
            _sort_out(verb, target_arn, found, wanted, refused)
        return ResolvedSelection(
            TokenScope(FORMATS[verb], references=tuple(wanted)), None, tuple(refused), ()
        )

    def _filtered(
        self, selection: Selection, verb: Verb, target_arn: str, cancelled: Event | None
    ) -> ResolvedSelection:
        wanted: list[TokenRef] = []
        refused: list[Unwritten] = []
        for page in filtered(self._inventory, selection, more=_MORE):
            for first in range(0, len(page), READ):
                stop_if(cancelled)
                found = self._store.read_many(page[first : first + READ])
                _sort_out(verb, target_arn, found, wanted, refused)
        return ResolvedSelection(
            TokenScope(FORMATS[verb], references=tuple(wanted)), None, tuple(refused), ()
        )

    def _under_key(self, name: str, formats: frozenset[Format], cancelled: Event | None) -> ResolvedSelection:
        source_arn = self._arn_of(name)
        census = take_census(self._engine, self._catalogue, self._answers, cancelled=cancelled)
        attribution = self._attributor.attribute(census, cancelled=cancelled)
        for count in attribution.counts:
            if _is_under(count, source_arn) and count.note:
                raise RefusedError(
                    f"{counted(count.tokens, 'token')} under {source_arn} can't be opened: {count.note}",
                    remedy="Make the key usable for this identity first.",
                ) from attribution.failure
        self._must_open(source_arn, sum(c.tokens for c in attribution.counts if _is_under(c, source_arn)))
        known = self._known()
        prefixes = tuple(
            prefix
            for prefix, wrappings in known.items()
            if any(same_key(arn, source_arn) for arn, _ in wrappings)
        )
        told = {c.wrapping[0] for c in attribution.counts if c.wrapping}
        arns = frozenset({source_arn, *(arn for arn in told if same_key(arn, source_arn))})
        scope = TokenScope(formats, key_arns=arns, edk_prefixes=prefixes)
        return ResolvedSelection(scope, source_arn, (), attribution.gaps, attribution.failure)

    def _known(self) -> dict[bytes, frozenset[tuple[str, str | None]]]:
        with connected(self._engine) as connection:
            return self._answers.by_group(connection)

    def _arn_of(self, name: str) -> str:
        try:
            return self._keys.describe(name).key_arn
        except KmsError:
            # A key that KMS no longer describes can still be named by its ARN.
            if parse_key_name(name).is_key_arn:
                return name
            raise

    def _must_open(self, source_arn: str, tokens: int) -> None:
        """Raise RefusedError if the state of the key to empty keeps KMS from opening anything under it."""
        try:
            state = self._keys.describe(source_arn).state
        except KmsError:
            return
        if tokens and state not in (None, "Enabled"):
            raise RefusedError(
                f"{counted(tokens, 'token')} under {source_arn} can't be opened: the key is {state}.",
                remedy="Enable it (cancel its deletion first, if that is pending), then run this again.",
            )

    def _target(self, name: str) -> tuple[KeyState | None, str]:
        try:
            key = self._keys.describe(name)
        except KmsAccessDeniedError:
            if parse_key_name(name).is_key_arn:
                return None, name
            raise
        if not key.usable:
            raise RefusedError(
                f"Target key {key.key_arn} is {key.state}.",
                remedy="Enable it, or name another key with --to.",
            )
        if key.spec != "SYMMETRIC_DEFAULT":
            raise RefusedError(
                f"Target key {key.key_arn} is {key.spec}: it can't wrap data keys.",
                remedy="Name a symmetric key with --to.",
            )
        return key, key.key_arn

    def _must_be_writable(self, by_column: dict[str, int]) -> None:
        blocked = {str(c): grant for c, grant in self._catalogue().unwritable.items() if str(c) in by_column}
        if blocked:
            raise RefusedError(
                f"This database role may not write {', '.join(blocked)}.",
                remedy=f"Needed: {'; '.join(blocked.values())}",
            )


def _unlisted(verb: Verb, tally: Tally) -> ResolvedSelection:
    """More tokens than are listed: what the verb does not take is told by its format."""
    formats = FORMATS[verb]
    others = Counter[Format]()
    for by_format in tally.values():
        others.update({f: number for f, number in by_format.items() if f not in formats})
    refused = tuple(
        Unwritten(f"{counted(others[f], 'token')} of format {f.value}", _NOT_TAKEN[f])
        for f in Format
        if others[f]
    )
    # No token is in this scope: those that a job writes are on the lists of its chunks.
    nothing = TokenScope(formats, references=())
    return ResolvedSelection(nothing, None, refused, (), tally=of_formats(tally, formats))


def _sort_out(
    verb: Verb,
    target_arn: str,
    found: Iterable[StoredToken],
    wanted: list[TokenRef],
    refused: list[Unwritten],
) -> None:
    for token in found:
        reason = _not_taken(verb, token, target_arn)
        if reason:
            refused.append(Unwritten(str(token.ref), reason))
        else:
            wanted.append(token.ref)


def _not_taken(verb: Verb, token: StoredToken, target_arn: str) -> str:
    """Why a token is left as it is, "" if it is taken."""
    if token.format not in FORMATS[verb]:
        return _NOT_TAKEN[token.format]
    if verb is Verb.REWRAP:
        try:
            named = parse(token.value.reveal()).named_key
        except EnvelopeError as error:
            return error.message
        if named not in (None, target_arn):
            return "a v2 envelope is bound to the key that it names; re-encrypt it instead"
    return ""


def _is_under(count: KeyCount, key_arn: str) -> bool:
    return count.wrapping is not None and same_key(count.wrapping[0], key_arn)
