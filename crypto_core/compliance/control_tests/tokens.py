"""Tests of the census: are all tokens protected, under which keys, and is every one counted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from crypto_core.compliance.answer import (
    ControlAnswer,
    answer,
    cause,
    control_test,
    not_assessed,
    without_counts,
)
from crypto_core.compliance.facts import SettingFacts, TokenFacts
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.database.column_guards.model import GuardState
from crypto_core.envelope import ENVELOPE_FORMATS, VERSIONS, Format
from crypto_core.findings.finding import Finding
from crypto_core.keys.status import ProblemKind
from crypto_core.values.counts import counted

_ALGORITHMS = {
    **{format_: version.algorithms[0][0] for format_, version in VERSIONS.items()},
    Format.DEV: "Fernet (AES-128-CBC, HMAC-SHA-256) under a published key",
    Format.PLAINTEXT: "none",
    Format.UNRECOGNISED: "not known: plaintext or corrupt",
}

_NO_TOKENS = "no token was counted"
_KEY_PROBLEMS = (
    ProblemKind.KEY_PENDING_DELETION,
    ProblemKind.KEY_NOT_ENABLED,
    ProblemKind.KEY_NOT_TRUSTED,
    ProblemKind.WRITE_KEY,
)
_OPEN_PROBLEMS = (ProblemKind.KEY_UNKNOWN, ProblemKind.UNREADABLE)


def _held(facts: TokenFacts) -> int:
    """How many values hold a token: an empty one is none."""
    return facts.tokens - facts.by_format.get(Format.EMPTY, 0)


def _of(tokens: int) -> str:
    return counted(tokens, "token")


def _uncounted(facts: TokenFacts) -> list[str]:
    return [f"Not counted: {gap}" for gap in facts.gaps]


def _problems(facts: TokenFacts, kinds: Iterable[ProblemKind]) -> list[Finding]:
    wanted = set(kinds)
    return [
        cause(
            f"tokens-{one.kind}",
            one.key or without_counts(f"{one.title} {one.where}"),
            f"{one.title}: {one.where}" if not one.tokens else f"{_of(one.tokens)} {one.title}: {one.where}",
            one.tokens,
        )
        for one in facts.problems
        if one.kind in wanted
    ]


def _in_format(facts: TokenFacts, kinds: Iterable[Format]) -> list[Finding]:
    """The columns that hold tokens in these formats; without columns, all of a format together."""
    found = [
        cause(f"tokens-{kind}", column.column, f"{_of(number)} in format {kind}: {column.column}", number)
        for kind in kinds
        for column in facts.columns
        if (number := column.by_format.get(kind, 0))
    ]
    told = {one.rule for one in found}
    missed = [kind for kind in kinds if facts.by_format.get(kind) and f"tokens-{kind}" not in told]
    return found + [
        cause(f"tokens-{kind}", "", f"{_of(facts.by_format[kind])} in format {kind}", facts.by_format[kind])
        for kind in missed
    ]


@control_test("tokens-encrypted", SnapshotPart.TOKENS)
def _encrypted(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    """Every stored token is in an envelope that only KMS opens; dev format counts as unprotected."""
    held = _held(facts)
    if not held:
        return not_assessed(_NO_TOKENS)
    open_formats = (Format.PLAINTEXT, Format.DEV, Format.UNRECOGNISED)
    bad = [
        f"{facts.by_format[kind]:,} of {_of(facts.tokens)} in format {kind}"
        for kind in open_formats
        if facts.by_format.get(kind)
    ]
    causes = _in_format(facts, open_formats)
    if not bad and facts.protected < held:
        bad = [f"{held - facts.protected:,} of {_of(facts.tokens)} unprotected"]
        causes = [cause("tokens-unprotected", "", bad[0], held - facts.protected)]
    share = f"{facts.protected:,} of {_of(facts.tokens)} in an envelope that only KMS opens"
    return answer([share], bad=bad, unseen=_uncounted(facts), causes=causes if bad else ())


def _algorithms(facts: TokenFacts) -> dict[Format, str]:
    return {
        kind: f"{_of(facts.by_format[kind])} in format {kind}: {algorithm}"
        for kind, algorithm in _ALGORITHMS.items()
        if facts.by_format.get(kind)
    }


@control_test("tokens-authenticated", SnapshotPart.TOKENS)
def _authenticated(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    """Whatever is encrypted is so by AES-256-GCM under a data key of its own; none under a published key.

    The answer about what is encrypted; what isn't is left open.
    """
    lines = _algorithms(facts)
    good = [line for kind, line in lines.items() if kind in ENVELOPE_FORMATS]
    bad = [line for kind, line in lines.items() if kind is Format.DEV]
    if not good and not bad:
        return not_assessed("no token is encrypted" if lines else _NO_TOKENS)
    left = [line for line in lines.values() if line not in (*good, *bad)]
    causes = _in_format(facts, (Format.DEV,)) if bad else []
    return answer(good, bad=bad, open_=left, unseen=_uncounted(facts), causes=causes)


@control_test("algorithms-known", SnapshotPart.TOKENS)
def _algorithms_known(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    """Of every stored token the algorithm is known that protects it, or that none does."""
    lines = _algorithms(facts)
    if not lines:
        return not_assessed(_NO_TOKENS)
    good = [line for kind, line in lines.items() if kind is not Format.UNRECOGNISED]
    left = [line for kind, line in lines.items() if kind is Format.UNRECOGNISED]
    return answer(good, open_=left, unseen=_uncounted(facts))


@control_test("tokens-under-trusted-keys", SnapshotPart.TOKENS)
def _trusted_keys(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    """Every envelope is under a KMS key that the settings trust and that is enabled."""
    if not facts.protected:
        return not_assessed("no token is under a KMS key")
    good = [f"{_of(facts.protected)} under KMS keys"]
    bad, left = _problems(facts, _KEY_PROBLEMS), _problems(facts, _OPEN_PROBLEMS)
    return answer(good, bad=bad, open_=[one.title for one in left], unseen=_uncounted(facts))


@control_test("tokens-all-counted", SnapshotPart.TOKENS)
def _counted_all(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    """Every column that holds tokens is declared, every row is counted, and a search of the other columns
    found no token.
    """
    bad = _problems(facts, (ProblemKind.UNDECLARED, ProblemKind.STRAY))
    unseen = _uncounted(facts)
    if not facts.swept:
        unseen.append("The rest of the database was not searched for tokens")
    good = [f"{_of(facts.tokens)} in {counted(len(facts.columns), 'declared column')}"]
    return answer(good, bad=bad, unseen=unseen)


@control_test("columns-guarded", SnapshotPart.TOKENS)
def _guarded(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    """PostgreSQL refuses to store in a token column what is no envelope, and has checked what is there."""
    held = [column for column in facts.columns if column.tokens]
    if not held:
        return not_assessed(_NO_TOKENS)
    if not any(column.guard for column in held):
        return not_assessed("the constraints of token columns could not be read")
    by_state = {
        state: [column.column for column in held if column.guard == state]
        for state in dict.fromkeys(column.guard for column in held)
    }
    lines = {
        state: f"{', '.join(columns)}: guard {state or 'not read'}" for state, columns in by_state.items()
    }
    good = [line for state, line in lines.items() if state == GuardState.VALIDATED]
    left = [line for state, line in lines.items() if state in (GuardState.NOT_VALIDATED, None)]
    bad = [line for line in lines.values() if line not in (*good, *left)]
    open_states = [state for state in by_state if lines[state] in bad]
    causes = [
        cause("column-unguarded", column, f"{column}: guard {state}")
        for state in open_states
        for column in by_state[state]
    ]
    unread = [cause("column-unguarded", column) for column in by_state.get(None, ())]
    return answer(good, bad=bad, open_=left, causes=causes, undecided=unread)


@control_test("least-format-kept", SnapshotPart.TOKENS, SnapshotPart.SETTINGS)
def _least_format(_now: datetime, facts: TokenFacts, settings: SettingFacts) -> ControlAnswer:
    """No envelope is in an older format than KEYDECK_LEAST_FORMAT."""
    if not facts.protected:
        return not_assessed("no token is in an envelope")
    least = ENVELOPE_FORMATS.index(settings.least_format)
    older = [kind for kind in ENVELOPE_FORMATS[:least] if facts.by_format.get(kind)]
    bad = [f"{_of(facts.by_format[kind])} in {kind}, older than expected" for kind in older]
    good = [
        f"Oldest format expected: {settings.least_format}; written: {settings.written_format}",
        *(f"{_of(facts.by_format[k])} in {k}" for k in ENVELOPE_FORMATS if facts.by_format.get(k)),
    ]
    return answer(good, bad=bad, unseen=_uncounted(facts), causes=_in_format(facts, older) if bad else ())
