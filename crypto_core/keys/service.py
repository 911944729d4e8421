"""The status service: census, attribution and keys put together, with what is wrong on top."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from threading import Event

from sqlalchemy import Engine

from crypto_core.database.column_guards.guard_states import read_guards
from crypto_core.database.column_guards.model import ColumnGuard
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attribution import Attributor, KeyCount, lasting_silence
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.census import Census, CensusProgress, take_census
from crypto_core.database.tokens.decoys import DecoyCount
from crypto_core.database.tokens.fresh_proof import FreshProof, FreshProver
from crypto_core.database.tokens.left_tokens import LeftTokens, LeftTokenSearch
from crypto_core.database.tokens.lost_tokens import AcceptedUnderKey, StoredValue
from crypto_core.database.tokens.store import TokenScope
from crypto_core.database.tokens.strays import Copies, Strays, find_copies, find_strays, named_words
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.database.tokens.sweep.service import SweepService
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.findings.finding import FORMAT_SEVERITY, Severity
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.keys.inventory import KeyInventory, undescribed
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.keys.status import ColumnShare, KeyShare, Problem, ProblemKind, Status
from crypto_core.lists.coverage import Coverage, Elsewhere, Evidence
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, KmsError
from crypto_core.values.key_names import parse_key_name, same_key, short_key


@dataclass(eq=False)
class StatusService:
    """Takes the status, by remembered answers too, and fresh proofs. Blocks on SQL and KMS.

    `incident_of` names the incident that calls a key its new one, "" for none: a statement of Keydeck's own
    tables, which is no reason to trust the key.
    """

    engine: Engine
    catalogue: LiveCatalogue
    answers: AttributionCache
    attributor: Attributor
    keys: KeyInventory
    keyring: KmsKeyring
    sweeps: SweepService
    prover: FreshProver
    least_format: Format = Format.V1
    incident_of: Callable[[str], str] = lambda key_arn: ""

    def take_census(
        self, *, cancelled: Event | None = None, progress: Callable[[CensusProgress], None] | None = None
    ) -> Status:
        """Return the status now. Trouble with KMS is part of the coverage, and so is what the sweep found.

        `progress` is called while the tokens are counted, by threads of the census. Raises DatabaseError, and
        InterruptedRunError once `cancelled` is set.
        """
        census = take_census(
            self.engine, self.catalogue, self.answers, cancelled=cancelled, progress=progress
        )
        strays = find_strays(self.engine, census, self.least_format, cancelled=cancelled)
        sweep, unswept = self._sweep(cancelled)
        attribution = self.attributor.attribute_census(census, cancelled=cancelled)
        stop_if(cancelled)
        gaps = (*unswept, *attribution.gaps)
        status = self._status(census, attribution.counts, gaps, attribution.failure, sweep, strays)
        return replace(status, accepted=self._accepted(status))

    def prove(
        self,
        *,
        about: str = "",
        everywhere: bool = True,
        in_full: bool = False,
        cancelled: Event | None = None,
    ) -> FreshProof:
        return self.prover.prove(about=about, everywhere=everywhere, in_full=in_full, cancelled=cancelled)

    def left_under(self, proof: FreshProof, key_arn: str, *, cancelled: Event | None = None) -> LeftTokens:
        """Return what a proof counts as left under a key, by how it opens; see LeftTokenSearch.left_under."""
        search = LeftTokenSearch(self.prover.store, self.keyring)
        return search.left_under(proof, key_arn, cancelled=cancelled)

    def status_by(self, proof: FreshProof) -> Status:
        """Return the status that a fresh proof shows. Trouble with KMS is part of the coverage."""
        strays = find_strays(self.engine, proof.census, self.least_format)
        in_full = proof.sweep is not None and proof.sweep.full
        status = self._status(
            *(proof.census, proof.counts, proof.gaps, proof.failure, proof.sweep, strays), in_full=in_full
        )
        lost = Counter(loss.key_arn for loss in proof.accepted)
        under = {key: number + proof.tokens_under(key) for key, number in lost.items()}
        return replace(status, accepted=AcceptedUnderKey.by_key(proof.accepted, under))

    def _accepted(self, status: Status) -> tuple[AcceptedUnderKey, ...]:
        """What was accepted as lost and is stored so still, beside what the status counts under its key."""
        losses = {loss.value: loss for loss in self.prover.accepted().losses}
        if not losses:
            return ()
        pages = self.prover.store.pages(TokenScope(references=tuple(value.ref for value in losses)))
        still = [losses[v] for v in map(StoredValue.of, chain.from_iterable(pages)) if v in losses]
        with connected(self.engine) as connection:
            groups = self.answers.by_group(connection)
        under: dict[str, int] = {}
        for key in dict.fromkeys(loss.key_arn for loss in still):
            own = [loss.value.ref for loss in still if loss.key_arn == key]
            arns = {key, *(s.key_arn for s in status.keys if s.key_arn and same_key(s.key_arn, key))}
            named = [p for p, told in groups.items() if len(told) == 1 and all(w[0] in arns for w in told)]
            named += [p for p, arn in self.attributor.refused.items() if p not in groups and arn in arns]
            scope = TokenScope(
                frozenset(ENVELOPE_FORMATS),
                references=tuple(own),
                key_arns=frozenset(arns),
                edk_prefixes=tuple(named),
            )
            # What the status counts under the key is there already; what it counts as damaged is not.
            counted_there = self.prover.store.count(scope).total()
            under[key] = status.tokens_under(key) + len(own) - counted_there
        return AcceptedUnderKey.by_key(still, under)

    def _status(
        self,
        census: Census,
        counts: tuple[KeyCount, ...],
        gaps: tuple[str, ...],
        failure: KmsError | None,
        sweep: Sweep | None,
        strays: Strays,
        *,
        in_full: bool = False,
    ) -> Status:
        states, trouble = self._states(counts)
        trusted, untold = self._trusted(states)
        return status_of(
            *(census, counts, states, self.keyring),
            # While a trusted name can't be resolved, no key can be called untrusted.
            trusted=None if untold else trusted,
            reasons=(*gaps, *trouble, *untold),
            failure=failure,
            guards=read_guards(self.engine, census.catalogue),
            incident_of=self.incident_of,
            sweep=sweep,
            strays=strays,
            in_full=in_full,
        )

    def unseen(self, cancelled: Event | None = None) -> tuple[str, ...]:
        """Return what a status would not cover, without KMS: a sentence for each. Raises as `take_census`."""
        census = take_census(self.engine, self.catalogue, None, cancelled=cancelled)
        return tuple(dict.fromkeys((*census.gaps, *self._sweep(cancelled)[1])))

    def find_copies(self, *, cancelled: Event | None = None) -> tuple[Copies, ...]:
        """Return the envelopes that are stored in more than one place: every envelope is read for it.

        Raises DatabaseError, and InterruptedRunError once `cancelled` is set.
        """
        return find_copies(self.engine, self.catalogue(), cancelled=cancelled)

    def _sweep(self, cancelled: Event | None) -> tuple[Sweep | None, tuple[str, ...]]:
        try:
            sweep = self.sweeps.known(cancelled=cancelled)
        except DatabaseError as error:
            return None, (f"Whether other places hold tokens is not known: {error.message}",)
        return sweep, sweep.reasons

    def _states(self, counts: tuple[KeyCount, ...]) -> tuple[dict[str, KeyState], list[str]]:
        names = dict.fromkeys([*(c.wrapping[0] for c in counts if c.wrapping), *self.keyring.trusted], None)
        self.keys.refresh_aliases()
        states: dict[str, KeyState] = {}
        trouble: list[str] = []
        silent: KmsError | None = None
        for name in names:
            if silent is not None:
                trouble.append(f"State of {name} is not known: {silent}")
                continue
            try:
                state = self.keys.describe(name)
            except KmsError as error:
                if parse_key_name(name).is_key_arn:
                    states[name] = undescribed(name, error)
                if name not in states or states[name].state is None:
                    trouble.append(f"State of {name} is not known: {error}")
                # Asking on would only take the time limit again.
                silent = lasting_silence(error)
            else:
                states[state.key_arn] = states[name] = state
        return states, trouble

    def _trusted(self, states: Mapping[str, KeyState]) -> tuple[frozenset[str], list[str]]:
        arns, untold = set(), []
        for name in self.keyring.trusted:
            if parse_key_name(name).is_key_arn:
                arns.add(name)
            elif name in states:
                arns.add(states[name].key_arn)
            else:
                untold.append(f"{name} is trusted, but which key it names could not be found out.")
        return frozenset(arns), untold


def status_of(
    census: Census,
    counts: tuple[KeyCount, ...],
    states: Mapping[str, KeyState],
    keyring: KmsKeyring,
    *,
    trusted: frozenset[str] | None,
    reasons: Iterable[str] = (),
    failure: KmsError | None = None,
    guards: tuple[ColumnGuard, ...] = (),
    incident_of: Callable[[str], str] = lambda key_arn: "",
    sweep: Sweep | None = None,
    strays: Strays | None = None,
    in_full: bool = False,
) -> Status:
    """Return what counts and keys come to. `trusted` are the ARNs of keys, None where they are not known."""
    strays = strays or Strays()
    shares = tuple(_share(count, states, trusted) for count in counts)
    by_format = {f: sum(g.tokens for g in census.groups if g.format is f) for f in Format}
    return Status(
        taken_at=census.taken_at,
        tokens=sum(by_format.values()),
        by_format=by_format,
        by_column=_columns(census),
        keys=shares,
        problems=_problems(census, shares, states, keyring, incident_of, sweep, strays),
        coverage=Coverage(
            tuple(dict.fromkeys((*census.gaps, *reasons))),
            Elsewhere.UNKNOWN if sweep is None else Elsewhere.READ if in_full else Elsewhere.SAMPLED,
            sum(c.tokens - c.asked for c in counts if c.evidence is Evidence.INFERRED),
        ),
        failure=failure,
        guards=guards,
        sweep=sweep,
        strays=strays,
        decoys=census.decoys,
    )


def _columns(census: Census) -> tuple[ColumnShare, ...]:
    shares = []
    for column in census.catalogue.columns:
        groups = [g for g in census.groups if g.column == str(column)]
        by_format = {f: sum(g.tokens for g in groups if g.format is f) for f in Format}
        respelt = sum(g.tokens for g in groups if g.respelt)
        shares.append(ColumnShare(str(column), sum(by_format.values()), by_format, respelt))
    return tuple(shares)


def _share(count: KeyCount, states: Mapping[str, KeyState], trusted: frozenset[str] | None) -> KeyShare:
    if count.wrapping is None:
        return KeyShare(None, None, None, None, count.tokens, count.evidence, count.asked, False, count.note)
    key_arn, material = count.wrapping
    state = states.get(key_arn)
    return KeyShare(
        key_arn=key_arn,
        alias=state.aliases[0] if state and state.aliases else None,
        key_state=state.state if state else None,
        key_material_id=material,
        tokens=count.tokens,
        evidence=count.evidence,
        asked=count.asked,
        trusted=trusted is None or any(same_key(key_arn, t) for t in trusted),
        note=count.note,
        asked_at=count.asked_at,
    )


def _problems(
    census: Census,
    shares: tuple[KeyShare, ...],
    states: Mapping[str, KeyState],
    keyring: KmsKeyring,
    incident_of: Callable[[str], str],
    sweep: Sweep | None,
    strays: Strays,
) -> tuple[Problem, ...]:
    problems = [
        *_format_problems(census),
        *_respelt_problems(census),
        *_key_problems(shares, states, keyring, incident_of),
        *_unknown_problems(shares),
        *_write_key_problems(states, keyring.write_key),
        *_undeclared_problems(sweep),
        *_stray_problems(strays),
        *_decoy_problems(census.decoys),
    ]
    return tuple(sorted(problems, key=lambda p: (p.severity.rank, -p.tokens, p.title, p.evidence)))


def _problem(
    kind: ProblemKind,
    severity: Severity,
    title: str,
    where: str,
    remedy: str,
    tokens: int = 0,
    *,
    rows: str = "",
    key_arn: str = "",
) -> Problem:
    return Problem(kind, severity, key_arn, title, clean(where, 600), remedy, tokens=tokens, rows=rows)


_FORMAT_PROBLEMS = {
    Format.PLAINTEXT: (
        ProblemKind.UNPROTECTED,
        "in plaintext",
        "Encrypt them in place: keydeck encrypt --plaintext --to KEY.",
    ),
    Format.DEV: (
        ProblemKind.UNPROTECTED,
        "in dev format: its key is public",
        "Encrypt them in place: keydeck encrypt --plaintext --to KEY.",
    ),
    Format.UNRECOGNISED: (
        ProblemKind.UNREADABLE,
        "plaintext or corrupt: not recognised",
        "Inspect each; restore it from a backup or ask its owner to connect again.",
    ),
    Format.EMPTY: (ProblemKind.EMPTY, "empty: a row without a token", "Ask its owner to connect again."),
}


def _format_problems(census: Census) -> Iterator[Problem]:
    for format_, (kind, title, remedy) in _FORMAT_PROBLEMS.items():
        where: dict[str, int] = {}
        for group in census.groups:
            if group.format is format_:
                where[group.column] = where.get(group.column, 0) + group.tokens
        if where:
            shown = " · ".join(f"{c} {n:,}" for c, n in sorted(where.items(), key=lambda i: (-i[1], i[0])))
            severity, tokens = FORMAT_SEVERITY[format_], sum(where.values())
            yield _problem(kind, severity, title, shown, remedy, tokens, rows=f"format:{format_.value}")


def _respelt_problems(census: Census) -> Iterator[Problem]:
    shares = [share for share in _columns(census) if share.respelt]
    if shares:
        yield _problem(
            ProblemKind.RESPELT,
            Severity.LOW,
            "v1, spelt otherwise than written: only lenient readers open them",
            " · ".join(f"{share.column} {share.respelt:,}" for share in shares),
            "Rewrap or re-encrypt them: what is written is spelt well.",
            sum(share.respelt for share in shares),
        )


def trusted_keys_line(keyring: KmsKeyring, key_arn: str) -> str:
    """Return the settings line by which other processes trust a key, too, besides those trusted here."""
    names = dict.fromkeys((*(name for name in keyring.trusted if name != keyring.write_key), key_arn))
    return f"KEYDECK_TRUSTED_KEYS={','.join(names)}"


def _key_problems(
    shares: tuple[KeyShare, ...],
    states: Mapping[str, KeyState],
    keyring: KmsKeyring,
    incident_of: Callable[[str], str],
) -> Iterator[Problem]:
    by_key: dict[str, list[KeyShare]] = {}
    for share in shares:
        if share.key_arn:
            by_key.setdefault(share.key_arn, []).append(share)
    for key_arn, parts in by_key.items():
        tokens = sum(p.tokens for p in parts)
        name = f"{parts[0].alias} {short_key(key_arn)}" if parts[0].alias else key_arn
        about_key = partial(_problem, tokens=tokens, rows=f"key:{key_arn}", key_arn=key_arn)
        key = states.get(key_arn)
        if key is not None and key.harm is not None:
            severity, remedy = key.harm
            pending = key.state in PENDING_DELETION
            kind = ProblemKind.KEY_PENDING_DELETION if pending else ProblemKind.KEY_NOT_ENABLED
            title = f"under {name}, which {'is pending deletion' if pending else 'is not enabled'}"
            yield about_key(kind, severity, title, key.state or "", remedy)
        if not parts[0].trusted:
            title = f"under {name}, which is not trusted"
            remedy = "If the key is yours, name it in KEYDECK_TRUSTED_KEYS; else find out who wrote them."
            if incident := incident_of(key_arn):
                title = f"under {name}, the new key of {incident}, which is not trusted here yet"
                line = trusted_keys_line(keyring, key_arn)
                remedy = f"If {incident} is yours, set {line}; else find out who wrote them."
            yield about_key(ProblemKind.KEY_NOT_TRUSTED, Severity.HIGH, title, key_arn, remedy)


def _unknown_problems(shares: tuple[KeyShare, ...]) -> Iterator[Problem]:
    ask = "Ask about every token: keydeck verify --all."
    for share in shares:
        if share.key_arn is not None:
            continue
        title, remedy, kind = "under a key that is not known", ask, ProblemKind.KEY_UNKNOWN
        if share.evidence is Evidence.CONFLICT:
            title, remedy = "KMS's answers about one group disagree", ask
        elif share.asked:
            title = "damaged: the envelope does not open"
            remedy = "Restore it from a backup or ask its owner to connect again."
            kind = ProblemKind.UNREADABLE
        yield _problem(kind, Severity.HIGH, title, share.note, remedy, share.tokens, rows="key:unknown")


def _undeclared_problems(sweep: Sweep | None) -> Iterator[Problem]:
    places = (
        [f"{table.place_of(column)} ({column.words})" for table, column in sweep.places()] if sweep else []
    )
    if places:
        title = f"Tokens outside the inventory, in {counted(len(places), 'column')}"
        remedy = "Describe the columns in the settings file; keydeck discover proposes the entries."
        yield _problem(ProblemKind.UNDECLARED, Severity.HIGH, title, " · ".join(places), remedy)


def _stray_problems(strays: Strays) -> Iterator[Problem]:
    for old in strays.old:
        yield _problem(
            ProblemKind.STRAY,
            Severity.HIGH if old.demanded else Severity.MEDIUM,
            old.words,
            named_words(old.named, old.tokens),
            f"Find out who wrote them; those that belong there are re-encrypted as {old.expected}.",
            rows=f"table:{old.column.table} column:{old.column.column} format:{old.format}",
        )
    for foreign in strays.foreign:
        yield _problem(
            ProblemKind.STRAY,
            Severity.HIGH,
            foreign.words,
            named_words(foreign.named, foreign.tokens),
            f"Find out which program wrote them; revoke them at {foreign.theirs}.",
            rows=f"table:{foreign.column.table} column:{foreign.column.column} leaked:{foreign.theirs}",
        )


def _decoy_problems(decoys: DecoyCount) -> Iterator[Problem]:
    by_tripwire: dict[int, list[str]] = {}
    for decoy in decoys.gone:
        by_tripwire.setdefault(decoy.tripwire, []).append(str(decoy.refs[0]))
    for number, refs in by_tripwire.items():
        yield _problem(
            ProblemKind.DECOY,
            Severity.MEDIUM,
            f"Tripwire {number}: {counted(len(refs), 'decoy')} gone, or changed since",
            ", ".join(refs),
            f"See what is in the rows: keydeck tripwire list. Remove it: keydeck tripwire remove {number}.",
        )


def _write_key_problems(states: Mapping[str, KeyState], write_key: str | None) -> Iterator[Problem]:
    if not write_key:
        title = "No key to write under is configured"
        remedy = "Set TOKEN_ENCRYPTION_KEY_ID to what the platform writes under."
        yield _problem(ProblemKind.WRITE_KEY, Severity.MEDIUM, title, "", remedy)
        return
    state = states.get(write_key)
    if state is not None and state.harm is not None:
        title = f"The key to write under is {state.state}"
        remedy = "Set TOKEN_ENCRYPTION_KEY_ID to an enabled key, in the platform too."
        arn = state.key_arn
        yield _problem(ProblemKind.WRITE_KEY, Severity.HIGH, title, write_key, remedy, key_arn=arn)
