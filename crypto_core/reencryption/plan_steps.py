"""The steps from what was read to a plan: sort, check, plan. Pure: neither the database nor KMS is asked.

`Planner` reads, and hands each step plain values. Sorting says which tokens the verb takes, and why it leaves
the others; checking refuses; planning puts the frozen Plan together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from crypto_core.database.tokens.attached_code import AttachedCode
from crypto_core.database.tokens.attribution_cache import Wrapping
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.database.tokens.store import StoredToken, TokenScope
from crypto_core.envelope import ENVELOPE_FORMATS, Envelope, Format, parse
from crypto_core.keyring.preflight import DECRYPT, Permission, WrappedSample
from crypto_core.keys.state import KeyState
from crypto_core.lists.coverage import Coverage
from crypto_core.reencryption.filter_selection import Tally, of_formats
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.values import errors
from crypto_core.values.counts import counted
from crypto_core.values.key_names import same_key
from crypto_core.values.references import TokenRef

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
class TargetKey:
    """The key to write under: as the operator named it, its ARN, and its state where KMS may be asked."""

    named: str
    arn: str
    state: KeyState | None


@dataclass(frozen=True, slots=True)
class SourceKey:
    """The key to be emptied, as KMS and a fresh proof have it. `state` is None where KMS does not tell."""

    arn: str
    state: str | None
    proof: FreshProof


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """A selection as the database has it now. `failure` is as for Attribution: then some may be missing."""

    scope: TokenScope
    source_key_arn: str | None = None
    refused: tuple[Unwritten, ...] = ()
    gaps: tuple[str, ...] = ()
    failure: errors.KmsError | None = None
    tally: Tally | None = None
    """Of more tokens than are listed: how many they are. The scope has none of them then."""


# Sort.


def sort_tokens(
    verb: Verb, target_arn: str, tokens: Iterable[StoredToken]
) -> tuple[list[TokenRef], list[Unwritten]]:
    """Return the tokens that the verb takes, and those that it leaves as they are, each with the reason."""
    wanted: list[TokenRef] = []
    refused: list[Unwritten] = []
    for token in tokens:
        reason = _not_taken(verb, token, target_arn)
        if reason:
            refused.append(Unwritten(str(token.ref), reason))
        else:
            wanted.append(token.ref)
    return wanted, refused


def sort_formats(verb: Verb, tally: Tally) -> ResolvedSelection:
    """Return more tokens than are listed: what the verb does not take is told by its format."""
    others = by_format(tally)
    refused = tuple(
        Unwritten(f"{counted(others[f], 'token')} of format {f.value}", _NOT_TAKEN[f])
        for f in Format
        if others[f] and f not in verb.formats
    )
    # No token is in this scope: those that a job writes are on the lists of its chunks.
    nothing = TokenScope(verb.formats, references=())
    return ResolvedSelection(nothing, refused=refused, tally=of_formats(tally, verb.formats))


def sort_under_key(verb: Verb, source: SourceKey) -> ResolvedSelection:
    """Return the tokens that are under a key by a fresh proof; what is remembered leaves none of them out."""
    proof = source.proof
    scope = proof.scope_under(source.arn, verb.formats)
    return ResolvedSelection(scope, source.arn, gaps=proof.gaps, failure=proof.failure)


def by_format(tally: Tally) -> Counter[Format]:
    found = Counter[Format]()
    for formats in tally.values():
        found.update(formats)
    return found


def by_column(tally: Tally) -> dict[str, int]:
    return {column: sum(formats.values()) for column, formats in tally.items()}


def envelopes_of(tokens: Iterable[StoredToken]) -> list[tuple[StoredToken, Envelope, WrappedSample]]:
    """Return those of some tokens that are intact envelopes, each parsed, and as a sample for KMS."""
    found = []
    for token in tokens:
        if not token.format.protected:
            continue
        try:
            envelope = parse(token.value.reveal())
            # What KMS permits is asked of the envelope as it is, whichever database it was sealed for.
            context = envelope.opening_context(token.ref, envelope.named_database)
        except (errors.EnvelopeError, errors.InvalidReferenceError):
            continue
        found.append((token, envelope, WrappedSample(envelope.encrypted_data_key, context)))
    return found


def known_key(envelope: Envelope, groups: Mapping[bytes, frozenset[Wrapping]]) -> str | None:
    """Return the key that an envelope is under, by its group if that is no conflict, else as it names it."""
    wrappings = groups.get(envelope.edk_prefix, frozenset()) if envelope.edk_prefix else frozenset()
    return next(iter(wrappings))[0] if len(wrappings) == 1 else envelope.named_key


# Check.


def check_catalogue(catalogue: Catalogue) -> None:
    if not catalogue.tables:
        raise errors.RefusedError("No tokens to write.", remedy=" ".join(catalogue.gaps))


def check_target(target: TargetKey, setting: str = "--to") -> None:
    """Raise RefusedError for a key that can't wrap data keys, as far as KMS describes it."""
    key = target.state
    if key is None:
        return
    if not key.usable:
        raise errors.RefusedError(
            f"Target key {key.key_arn} is {key.state}.",
            remedy=f"Enable it, or name another key with {setting}.",
        )
    if key.unfit:
        raise errors.RefusedError(f"Target key {key.unfit}", remedy=f"Name a symmetric key with {setting}.")


def check_selection(verb: Verb, selection: Selection) -> None:
    if selection.unprotected and verb is not Verb.ENCRYPT:
        raise errors.RefusedError("Only encrypt in place takes tokens stored in plaintext.")


def check_source(source: SourceKey) -> None:
    """Raise RefusedError where what is under the key to be emptied can't be opened."""
    under = [c for c in source.proof.counts if c.wrapping and same_key(c.wrapping[0], source.arn)]
    for count in under:
        if count.note:
            raise errors.RefusedError(
                f"{counted(count.tokens, 'token')} under {source.arn} can't be opened: {count.note}",
                remedy="Make the key usable for this identity first.",
            ) from source.proof.failure
    tokens = sum(count.tokens for count in under)
    if tokens and source.state not in (None, "Enabled"):
        raise errors.RefusedError(
            f"{counted(tokens, 'token')} under {source.arn} can't be opened: the key is {source.state}.",
            remedy="Enable it (cancel its deletion first, if that is pending), then run this again.",
        )


def check_keys_differ(source_arn: str | None, target_arn: str) -> None:
    """Raise RefusedError where tokens would stay under the key that they are under."""
    if source_arn and same_key(source_arn, target_arn):
        raise errors.RefusedError(
            f"Source and target are the same key: {target_arn}.", remedy="Name another key with --to."
        )


def check_writable(catalogue: Catalogue, columns: Iterable[str]) -> None:
    """Raise RefusedError for columns that the database role may not write."""
    wanted = set(columns)
    blocked = {str(column): grant for column, grant in catalogue.unwritable.items() if str(column) in wanted}
    if blocked:
        raise errors.RefusedError(
            f"This database role may not write {', '.join(blocked)}.",
            remedy=f"Needed: {'; '.join(blocked.values())}",
        )


def check_permissions(found: Sequence[Permission], target_arn: str, *, sources: int) -> tuple[str, ...]:
    """Return what KMS would refuse for a part of the tokens, or doesn't say.

    `sources` is how many keys the tokens are under. Raises MissingPermissionError if KMS would refuse for all
    of them.
    """
    refused = [p for p in found if p.allowed is False]
    # One of several sources that can't be opened does not keep the others from being written.
    of_all = [p for p in refused if p.action != DECRYPT or sources == 1 or p.key == target_arn]
    if of_all:
        raise errors.MissingPermissionError(
            " ".join(f"{p.action} on {p.key} is refused: {p.reason}" for p in of_all), remedy=of_all[0].remedy
        )
    told = (f"{p.action} on {p.key} is refused: {p.reason}" for p in refused)
    return (*told, *(f"{p.action} on {p.key}: {p.reason}" for p in found if p.allowed is None))


# Plan.


def build_plan(
    verb: Verb,
    selection: Selection,
    target: TargetKey,
    resolved: ResolvedSelection,
    tally: Tally,
    doubts: Sequence[str],
    code: tuple[AttachedCode, ...],
    gaps: Sequence[str],
    *,
    trusted: Iterable[str],
    write_format: Format,
    binding: str | None,
    allow_downgrade: bool,
) -> Plan:
    """Return the plan to write the tokens of a tally.

    `doubts` are what KMS would refuse for some of them, `code` is that of others that runs there, `gaps` what
    can't be seen in the database, `trusted` the keys that the platform is configured with, `binding` the
    name of the database.
    """
    columns, formats = by_column(tally), by_format(tally)
    warnings = [_NO_RECOVERY] if verb is Verb.REWRAP else []
    names = {target.named, target.arn, *(target.state.aliases if target.state else ())}
    if not any(t in names or same_key(t, target.arn) for t in trusted):
        warnings.append(
            f"{target.arn} is neither TOKEN_ENCRYPTION_KEY_ID nor trusted: make sure that every reader of "
            "these tokens may Decrypt under it, or the platform goes dark."
        )
    plan = Plan(
        verb=verb,
        selection=selection,
        target_key_arn=target.arn,
        target_name=target.state.name if target.state else target.named,
        tokens=sum(columns.values()),
        by_column=columns,
        refused=resolved.refused,
        warnings=(),
        coverage=Coverage(tuple(dict.fromkeys((*resolved.gaps, *gaps)))),
        scope=resolved.scope,
        source_key_arn=resolved.source_key_arn,
        write_format=write_format,
        binding=binding,
        allow_downgrade=allow_downgrade,
        by_format=formats,
        unlisted=resolved.tally is not None,
        code=code,
    )
    return replace(plan, warnings=(*warnings, *_format_warnings(plan), *doubts))


def _format_warnings(plan: Plan) -> Iterator[str]:
    if plan.verb is Verb.REWRAP:
        return
    written = {conversion.written for conversion in plan.conversions}
    for new in ENVELOPE_FORMATS:
        if new.binds_database and new in written:
            yield (
                f'New envelopes are {new}, bound to database "{plan.binding}": whoever reads them must have '
                "KEYDECK_BINDING set to that name before the first is written."
            )
        elif new.binds_row and new is plan.write_format:
            yield f"New envelopes are {new}: the platform must read {new} before the first is written."
    for step in plan.conversions:
        lost = [
            what
            for what, is_lost in (
                ("the row", step.source.binds_row and not step.written.binds_row),
                ("the database", step.source.binds_database and not step.written.binds_database),
            )
            if is_lost
        ]
        if lost:
            yield (
                f"{counted(step.tokens, f'{step.source} envelope')} will be {step.written}: no longer bound "
                f"to {' and '.join(lost)}."
            )


def _not_taken(verb: Verb, token: StoredToken, target_arn: str) -> str:
    """Why a token is left as it is, "" if it is taken."""
    if token.format not in verb.formats:
        return _NOT_TAKEN[token.format]
    if verb is Verb.REWRAP:
        try:
            named = parse(token.value.reveal()).named_key
        except errors.EnvelopeError as error:
            return error.message
        if named not in (None, target_arn):
            return f"a {token.format} envelope is bound to the key that it names; re-encrypt it instead"
    return ""
