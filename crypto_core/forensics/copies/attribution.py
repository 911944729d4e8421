"""Which keys the envelopes of copies are under, and how those keys stand: few questions to KMS.

As the census does: envelopes whose encrypted data keys begin alike are one group, and KMS is asked about one
of each that it was never asked about. A copy doesn't say which rows its envelopes belong to, so that only v1
can be asked about; the later formats name their key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event

from crypto_core.database.tokens.attribution import lasting_silence
from crypto_core.database.tokens.attribution_cache import Wrapping
from crypto_core.database.tokens.decoys import ReadDecoys, no_decoys
from crypto_core.forensics.copies.report import GONE, CopyReport, Exposed, KeyEvidence, KeyNeed, ScanReport
from crypto_core.forensics.copies.scan import ScanOfCopy
from crypto_core.forensics.copies.tally import MOST_DISTINCT, OTHERS, CopyGroup, GroupKey
from crypto_core.keys.state import KeyState
from crypto_core.lists.coverage import Coverage
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import InvalidCiphertextError, KeyNotFoundError, KmsError
from crypto_core.values.key_names import is_multi_region, same_key

NO_HEADER = "its encrypted data keys don't begin as those of KMS do"
NOT_ASKED = "KMS was not asked"
TOO_MANY = "the copies have more key materials than are told apart"
MOST_DECOYS = 1_000
"""A key material with more envelopes in a copy than this is that of no tripwire: see the list's own limit."""
MOST_ASKED = 300
"""Questions to KMS for one report: whoever wrote a copy decides how many key materials are in it."""


Known = Mapping[bytes, frozenset[Wrapping]]


@dataclass(frozen=True, slots=True)
class _GroupKeys:
    """What is known of a group: wrappings, several for a conflict, none where it isn't known."""

    wrappings: frozenset[Wrapping] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Standing:
    state: CleanText | None = None
    alias: CleanText | None = None
    note: str = ""


@dataclass(eq=False)
class CopyAttribution:
    """Tells keys. `known` are remembered answers of KMS; without `ask` and `describe` nobody is asked."""

    known: Callable[[], Known]
    ask: Callable[[bytes], Wrapping] | None = None
    """Asks KMS which key and material wrapped an encrypted data key. Raises KmsError."""
    describe: Callable[[str], KeyState] | None = None
    """Returns a key as KMS has it now. Raises KmsError."""
    gaps: list[str] = field(default_factory=list)
    decoys: ReadDecoys = no_decoys
    """The decoys of tripwires, about which KMS is never asked: that would trip them."""

    def report(
        self, scans: Iterable[ScanOfCopy], now: datetime, cancelled: Event | None = None
    ) -> ScanReport:
        """Return what was scanned, with the keys of its envelopes. Trouble with KMS is part of it."""
        asking = _Asking(self, dict(self.known()), cancelled)
        copies = tuple(asking.copy_of(scan) for scan in scans)
        return ScanReport(now, copies, offline=self.ask is None)

    def known_needs(self, needs: Sequence[KeyNeed], known: Known) -> tuple[KeyNeed, ...]:
        return tuple(_known_now(need, known) for need in needs)

    def standing(self, needs: Sequence[KeyNeed]) -> tuple[KeyNeed, ...]:
        asking = _Asking(self, {}, None)
        return tuple(asking.as_it_stands(need) for need in needs)


@dataclass(eq=False)
class _Asking:
    """One report: nothing is asked twice, and nothing more once KMS doesn't answer."""

    by: CopyAttribution
    told: dict[bytes, frozenset[Wrapping]]
    cancelled: Event | None
    _groups: dict[bytes, _GroupKeys] = field(default_factory=dict)
    _standings: dict[str, _Standing] = field(default_factory=dict)
    _silent: KmsError | None = None
    _asked_so_far: int = 0

    def copy_of(self, scan: ScanOfCopy) -> CopyReport:
        tally = scan.tally
        groups = sorted(tally.groups.items(), key=lambda item: -item[1].envelopes)
        needs = [self.need_of(key, group) for key, group in groups]
        exposed = [Exposed("dev", tally.dev, tally.dev_distinct)] if tally.dev else []
        exposed += [
            Exposed(provider, count, tally.plaintext_distinct[provider])
            for provider, count in sorted(tally.plaintext.items())
        ]
        places = [f"damaged: {place}" for place in tally.damaged_places]
        places += [f"open to anybody: {place}" for place in tally.exposed_places]
        return CopyReport(
            clean(scan.path, 1_000),
            tally.files,
            tally.size,
            _merged(needs),
            tuple(exposed),
            tally.damaged,
            tuple(places),
            (*scan.problems, *_further(scan)),
            Coverage(
                tuple(dict.fromkeys((*self.by.gaps, *scan.problems, *scan.limits, *_gaps(scan, needs))))
            ),
        )

    def need_of(self, key: GroupKey, group: CopyGroup) -> KeyNeed:
        told = self._told(key, group)
        arn, material, note = None, None, told.note
        if key.named_key is not None:
            arn, evidence, note = key.named_key, KeyEvidence.NAMED, ""
            material = next((m for other, m in told.wrappings if same_key(other, arn)), None)
        elif len(told.wrappings) == 1:
            ((arn, material),), evidence = told.wrappings, KeyEvidence.INFERRED
        else:
            evidence = KeyEvidence.CONFLICT if told.wrappings else KeyEvidence.UNKNOWN
        counts = {key.format.value: group.envelopes}
        prefix = (key.edk_prefix or b"").hex()
        need = KeyNeed(arn, material, group.envelopes, group.distinct, counts, evidence, prefix, note=note)
        return self.as_it_stands(need)

    def as_it_stands(self, need: KeyNeed) -> KeyNeed:
        if need.key_arn is None:
            return need
        standing = self._standing(need.key_arn)
        return replace(
            need,
            alias=standing.alias or need.alias,
            key_state=standing.state,
            note=standing.note or need.note,
        )

    def _told(self, key: GroupKey, group: CopyGroup) -> _GroupKeys:
        prefix = key.edk_prefix
        if not prefix:
            return _GroupKeys(note=TOO_MANY if prefix == OTHERS else NO_HEADER)
        if prefix not in self._groups:
            known = self.told.get(prefix)
            if known:
                names = " or ".join(sorted(arn for arn, _ in known))
                note = f"KMS named {names}" if len(known) > 1 else ""
                self._groups[prefix] = _GroupKeys(known, note)
            elif key.named_key is not None:
                return _GroupKeys()
            else:
                self._groups[prefix] = self._asked(group)
        return self._groups[prefix]

    def _asked(self, group: CopyGroup) -> _GroupKeys:
        if self.by.ask is None:
            return _GroupKeys(note=NOT_ASKED)
        if (decoy := self._decoy(group)) is not None:
            return decoy
        why = ""
        for sample in group.samples:
            if why_not := self._why_not():
                return _GroupKeys(note=why_not)
            try:
                return _GroupKeys(frozenset({self.by.ask(sample.encrypted_data_key)}))
            except InvalidCiphertextError as error:
                why = error.message  # another one of the group may be whole
            except KmsError as error:
                self._silent = lasting_silence(error)
                return _GroupKeys(note=error.message)
        return _GroupKeys(note=why)

    def _decoy(self, group: CopyGroup) -> _GroupKeys | None:
        """What is told of envelopes that are decoys, or may be those of a tripwire that nobody has a list of.

        What a scan writes says no word of tripwires: it is kept where a thief of the database finds it.
        """
        decoys = self.by.decoys()
        keys = {token.digest: decoy.key_arn for decoy in decoys.rows for token in decoy.tokens}
        for sample in group.samples:
            if sample.digest in keys:
                return _GroupKeys(frozenset({(keys[sample.digest], None)}))
        in_doubt = (decoys.former or decoys.unreadable) and group.distinct <= MOST_DECOYS
        return _GroupKeys(note=NOT_ASKED) if in_doubt else None

    def _why_not(self) -> str:
        """Why KMS is not asked another question; "" if it is."""
        stop_if(self.cancelled)
        if self._silent is not None:
            return self._silent.message
        self._asked_so_far += 1
        return TOO_MANY if self._asked_so_far > MOST_ASKED else ""

    def _standing(self, key_arn: str) -> _Standing:
        if key_arn not in self._standings:
            self._standings[key_arn] = self._described(key_arn)
        return self._standings[key_arn]

    def _described(self, key_arn: str) -> _Standing:
        if self.by.describe is None:
            return _Standing(note=NOT_ASKED)
        if why_not := self._why_not():
            return _Standing(note=why_not)
        try:
            state = self.by.describe(key_arn)
        except KeyNotFoundError:
            if is_multi_region(key_arn):
                return _Standing(note="this replica is gone; others, if there are any, still open it")
            return _Standing(clean(GONE))
        except KmsError as error:
            self._silent = lasting_silence(error)
            return _Standing(note=error.message)
        return _Standing(state.state or None, next(iter(state.aliases), None))


def _known_now(need: KeyNeed, known: Known) -> KeyNeed:
    told = known.get(bytes.fromhex(need.edk_prefix), frozenset()) if need.key_arn is None else frozenset()
    if len(told) != 1:
        return need
    ((arn, material),) = told
    return replace(need, key_arn=arn, key_material_id=material, evidence=KeyEvidence.INFERRED, note="")


def _merged(needs: Sequence[KeyNeed]) -> tuple[KeyNeed, ...]:
    merged: dict[tuple[object, ...], KeyNeed] = {}
    for need in needs:
        of = (need.key_arn, need.key_material_id, need.evidence, need.edk_prefix)
        merged[of] = _together(merged[of], need) if of in merged else need
    return tuple(sorted(merged.values(), key=lambda need: (-need.envelopes, str(need.key_arn))))


def _together(one: KeyNeed, other: KeyNeed) -> KeyNeed:
    return replace(
        one,
        envelopes=one.envelopes + other.envelopes,
        distinct=one.distinct + other.distinct,
        by_format=dict(Counter(one.by_format) + Counter(other.by_format)),
    )


def _further(scan: ScanOfCopy) -> tuple[str, ...]:
    return (f"{scan.further_problems:,} more could not be read",) if scan.further_problems else ()


def _gaps(scan: ScanOfCopy, needs: Sequence[KeyNeed]) -> tuple[str, ...]:
    unknown = sum(need.envelopes for need in needs if need.key_arn is None)
    why = "; ".join(dict.fromkeys(need.note for need in needs if need.key_arn is None and need.note))
    gaps = [*_further(scan)]
    if unknown:
        gaps.append(f"The key of {unknown:,} envelopes is not known: {why}")
    gaps += [f"State of {n.key_arn} is not known: {n.note}" for n in needs if n.key_arn and not n.key_state]
    if scan.tally.uncounted:
        gaps.append(f"Of more than {MOST_DISTINCT:,} values, distinct ones are no longer counted.")
    return tuple(gaps)
