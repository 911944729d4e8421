"""Tests of the census: are all tokens protected, under which keys, and is every one counted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from crypto_core.compliance.answer import ControlAnswer, answer, not_assessed
from crypto_core.compliance.control_test import ControlTest
from crypto_core.compliance.facts import SettingFacts, TokenFacts
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.database.column_guards.model import GuardState
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.keys.status import ProblemKind
from crypto_core.text.counting import counted

_ALGORITHMS = {
    **dict.fromkeys(ENVELOPE_FORMATS, "AES-256-GCM"),
    Format.DEV: "Fernet (AES-128-CBC, HMAC-SHA-256) under a published key",
    Format.PLAINTEXT: "none",
    Format.UNRECOGNISED: "not known: plaintext or corrupt",
}
"""Of every format that holds a token."""

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


def _problems(facts: TokenFacts, kinds: Iterable[ProblemKind]) -> list[str]:
    wanted = set(kinds)
    return [
        f"{one.title}: {one.where}" if not one.tokens else f"{_of(one.tokens)} {one.title}: {one.where}"
        for one in facts.problems
        if one.kind in wanted
    ]


def _encrypted(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    held = _held(facts)
    if not held:
        return not_assessed(_NO_TOKENS)
    bad = [
        f"{facts.by_format[kind]:,} of {_of(facts.tokens)} in format {kind}"
        for kind in (Format.PLAINTEXT, Format.DEV, Format.UNRECOGNISED)
        if facts.by_format.get(kind)
    ]
    if not bad and facts.protected < held:
        bad = [f"{held - facts.protected:,} of {_of(facts.tokens)} unprotected"]
    share = f"{facts.protected:,} of {_of(facts.tokens)} in an envelope that only KMS opens"
    return answer([share], bad=bad, open_=_uncounted(facts))


def _algorithms(facts: TokenFacts) -> dict[Format, str]:
    return {
        kind: f"{_of(facts.by_format[kind])} in format {kind}: {algorithm}"
        for kind, algorithm in _ALGORITHMS.items()
        if facts.by_format.get(kind)
    }


def _authenticated(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    """The answer about what is encrypted; what isn't is left open."""
    lines = _algorithms(facts)
    good = [line for kind, line in lines.items() if kind in ENVELOPE_FORMATS]
    bad = [line for kind, line in lines.items() if kind is Format.DEV]
    if not good and not bad:
        return not_assessed("no token is encrypted" if lines else _NO_TOKENS)
    left = [line for line in lines.values() if line not in (*good, *bad)]
    return answer(good, bad=bad, open_=[*left, *_uncounted(facts)])


def _algorithms_known(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    lines = _algorithms(facts)
    if not lines:
        return not_assessed(_NO_TOKENS)
    good = [line for kind, line in lines.items() if kind is not Format.UNRECOGNISED]
    left = [line for kind, line in lines.items() if kind is Format.UNRECOGNISED]
    return answer(good, open_=[*left, *_uncounted(facts)])


def _trusted_keys(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    if not facts.protected:
        return not_assessed("no token is under a KMS key")
    good = [f"{_of(facts.protected)} under KMS keys"]
    left = [*_problems(facts, _OPEN_PROBLEMS), *_uncounted(facts)]
    return answer(good, bad=_problems(facts, _KEY_PROBLEMS), open_=left)


def _counted_all(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    bad = _problems(facts, (ProblemKind.UNDECLARED, ProblemKind.STRAY))
    open_ = _uncounted(facts)
    if not facts.swept:
        open_.append("The rest of the database was not searched for tokens")
    good = [f"{_of(facts.tokens)} in {counted(len(facts.columns), 'declared column')}"]
    return answer(good, bad=bad, open_=open_)


def _guarded(_now: datetime, facts: TokenFacts) -> ControlAnswer:
    held = [column for column in facts.columns if column.tokens]
    if not held:
        return not_assessed(_NO_TOKENS)
    if not any(column.guard for column in held):
        return not_assessed("the constraints of token columns could not be read")
    by_state = {
        state: [column.column for column in held if column.guard == state]
        for state in dict.fromkeys(column.guard for column in held)
    }
    lines = {state: f"{', '.join(columns)}: {state or 'not read'}" for state, columns in by_state.items()}
    good = [line for state, line in lines.items() if state == GuardState.VALIDATED]
    left = [line for state, line in lines.items() if state in (GuardState.NOT_VALIDATED, None)]
    bad = [line for line in lines.values() if line not in (*good, *left)]
    return answer(good, bad=bad, open_=left)


def _least_format(_now: datetime, facts: TokenFacts, settings: SettingFacts) -> ControlAnswer:
    if not facts.protected:
        return not_assessed("no token is in an envelope")
    least = ENVELOPE_FORMATS.index(settings.least_format)
    older = [kind for kind in ENVELOPE_FORMATS[:least] if facts.by_format.get(kind)]
    bad = [f"{_of(facts.by_format[kind])} in {kind}, older than expected" for kind in older]
    good = [
        f"Oldest format expected: {settings.least_format}; written: {settings.written_format}",
        *(f"{_of(facts.by_format[k])} in {k}" for k in ENVELOPE_FORMATS if facts.by_format.get(k)),
    ]
    return answer(good, bad=bad, open_=_uncounted(facts))


TESTS = (
    ControlTest(
        "tokens-encrypted",
        "Every stored token is in an envelope that only KMS opens; dev format counts as unprotected.",
        (SnapshotPart.TOKENS,),
        _encrypted,
    ),
    ControlTest(
        "tokens-authenticated",
        "Whatever is encrypted is so by AES-256-GCM under a data key of its own; none under a published key.",
        (SnapshotPart.TOKENS,),
        _authenticated,
    ),
    ControlTest(
        "algorithms-known",
        "Of every stored token the algorithm is known that protects it, or that none does.",
        (SnapshotPart.TOKENS,),
        _algorithms_known,
    ),
    ControlTest(
        "tokens-under-trusted-keys",
        "Every envelope is under a KMS key that the settings trust and that is enabled.",
        (SnapshotPart.TOKENS,),
        _trusted_keys,
    ),
    ControlTest(
        "tokens-all-counted",
        "Every column that holds tokens is declared, every row is counted, and a search of the other columns "
        "found no token.",
        (SnapshotPart.TOKENS,),
        _counted_all,
    ),
    ControlTest(
        "columns-guarded",
        "PostgreSQL refuses to store in a token column what is no envelope, and has checked what is there.",
        (SnapshotPart.TOKENS,),
        _guarded,
    ),
    ControlTest(
        "least-format-kept",
        "No envelope is in an older format than KEYDECK_LEAST_FORMAT.",
        (SnapshotPart.TOKENS, SnapshotPart.SETTINGS),
        _least_format,
    ),
)
