"""Tokens that stand where they don't belong, and token columns that anything can be written into."""

from __future__ import annotations

from crypto_core.database.column_guards.model import GuardState
from crypto_core.database.tokens.strays import Copies, named_words
from crypto_core.findings.finding import Finding, Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.standards import AT_REST, DATA_INVENTORY, INPUT, INTEGRITY
from crypto_core.keys.posture.facts import Estate
from crypto_core.values.counts import counted


@rule(
    "tokens-undeclared",
    "Tokens in columns that no inventory knows",
    Severity.HIGH,
    Facts.KEYS,
    about="a sweep of the database has found them; they are in no count, and no re-encryption reaches them",
    controls=(DATA_INVENTORY,),
)
def tokens_undeclared(estate: Estate) -> Said:
    sweep = estate.sweep
    if sweep is None:
        return
    for table, column in sweep.places():
        place = table.place_of(column)
        yield Finding(
            "",
            Severity.HIGH,
            place,
            f"{place} holds tokens and is in no inventory",
            f"{column.words}, as looked at on {sweep.taken_at:%Y-%m-%d %H:%M} UTC",
            "Describe the column in the settings file (keydeck discover proposes the entry), or delete what "
            "is in it. Until then no count of tokens under a key is complete.",
        )


@rule(
    "tokens-copied",
    "One envelope in several places",
    Severity.HIGH,
    Facts.KEYS,
    about="high where it opens in each of them, medium where it is bound to one and opens nowhere else",
    controls=(INTEGRITY, AT_REST),
)
def tokens_copied(estate: Estate) -> Said:
    for copies in estate.copies:
        bound = copies.format.binds_row
        means = (
            "bound to one place, it opens in no other: who owns the other is without a token"
            if bound
            else "it opens in each place: whoever owns one uses the token of the other's owner"
        )
        yield Finding(
            "",
            Severity.MEDIUM if bound else Severity.HIGH,
            f"{copies.format} envelopes",
            f"{counted(copies.envelopes, f'{copies.format} envelope')} stored in "
            f"{counted(copies.places, 'place')}",
            f"No two encryptions give the same envelope: somebody copied it. {_alike(copies)}; {means}",
            "Find out who wrote the copies, then have the owners of all but the right row connect again. "
            "v2 envelopes open in their own row only.",
        )


@rule(
    "tokens-downgraded",
    "Older envelopes where newer ones are expected",
    Severity.HIGH,
    Facts.KEYS,
    about="high where KEYDECK_LEAST_FORMAT demands the newer version, medium where most have it",
    controls=(INTEGRITY,),
)
def tokens_downgraded(estate: Estate) -> Said:
    for old in estate.strays.old:
        yield Finding(
            "",
            Severity.HIGH if old.demanded else Severity.MEDIUM,
            str(old.column),
            old.words,
            f"{named_words(old.named, old.tokens)}; a {old.format} envelope may have been put there from "
            "elsewhere, or a program writes that has not been updated",
            f"Find out who wrote them; if they belong there, re-encrypt them with KEYDECK_WRITE_FORMAT="
            f"{old.expected}.",
        )


@rule(
    "tokens-foreign",
    "Plaintext tokens of another provider than their row's",
    Severity.HIGH,
    Facts.KEYS,
    about="by their prefix; they are never sent to the provider of the row",
    controls=(INPUT,),
)
def tokens_foreign(estate: Estate) -> Said:
    for foreign in estate.strays.foreign:
        yield Finding(
            "",
            Severity.HIGH,
            str(foreign.column),
            foreign.words,
            named_words(foreign.named, foreign.tokens),
            "Find out which program wrote them, have the owners connect again, and revoke these tokens at "
            f"{foreign.theirs}: they are readable, and nobody looks for them here.",
        )


def _alike(copies: Copies) -> str:
    groups = "; ".join(" = ".join(map(str, refs)) for refs in copies.named)
    more = copies.envelopes - len(copies.named)
    return groups + (f" and {counted(more, 'more envelope')}" if more else "")


SUBJECT = "token columns"


@rule(
    "columns-unguarded",
    "Token columns that accept what is no envelope",
    Severity.MEDIUM,
    Facts.KEYS,
    about="medium where somebody changed a guard, low where there is none",
    controls=(INPUT, AT_REST),
)
def unguarded(estate: Estate) -> Said:
    open_ = [guard for guard in estate.guards if not guard.guards]
    if not open_:
        return
    changed = [guard for guard in open_ if guard.state is GuardState.CHANGED]
    accepts = "accepts" if len(open_) == 1 else "accept"
    yield Finding(
        "",
        Severity.MEDIUM if changed else Severity.LOW,
        SUBJECT,
        f"{counted(len(open_), 'token column')} {accepts} what is no envelope",
        "; ".join(f"{guard.column}: {guard.obstacle or guard.state.value}" for guard in open_),
        "See what a guard would refuse with keydeck guard, encrypt it in place, then: keydeck guard --apply.",
    )
