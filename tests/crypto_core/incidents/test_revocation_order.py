"""The order of revocation: worst first, dead last, and what isn't known is never taken for harmless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.envelope import Format
from crypto_core.incidents.revocation_order import (
    DAMAGE,
    EXPOSURE,
    Certainty,
    Exposure,
    ExposureSearch,
    RankedToken,
    Suspicion,
    ranked,
)
from crypto_core.providers.abilities import Ability, NotKnown, Repositories, TokenAbilities
from crypto_core.providers.answers import Liveness
from crypto_core.trail.use.service import OpenedTokens
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import TokenRef

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
REFS = tuple(TokenRef("t", "c", str(number)) for number in range(6))
SAFE = Exposure()
THIEF = clean("arn:aws:iam::111122223333:user/thief")
KNOWN = {
    Ability.ADMIN: "admin",
    Ability.WRITES: "writes",
    Ability.READS_PRIVATE: "reads_private",
    Ability.PLACES: "places_whole",
    Ability.EXPIRY: "expires",
    Ability.REPOSITORIES: "repositories",
}

ABILITIES = st.builds(
    TokenAbilities,
    st.just(REFS[0]),
    st.just("github"),
    st.just(NOW),
    st.just(Liveness.ALIVE),
    admin=st.booleans(),
    writes=st.booleans(),
    reads_private=st.booleans(),
    places=st.lists(st.sampled_from(["a", "b", "c"]), max_size=12).map(tuple),
    places_whole=st.just(True),
    repositories=st.none() | st.builds(Repositories, st.integers(0, 2_000), st.integers(0, 2_000)),
    expires=st.sampled_from([NOW + timedelta(hours=1), NOW + timedelta(days=90)]),
    lasts=st.just("until then"),
)


def token(number: int = 0, **fields: Any) -> TokenAbilities:
    known = {"admin": False, "writes": False, "reads_private": False, "places_whole": True, "lasts": "never"}
    return TokenAbilities(REFS[number], "github", NOW, Liveness.ALIVE, **{**known, **fields})


def only(told: TokenAbilities | None, exposure: Exposure = SAFE) -> RankedToken:
    (found,) = ranked(REFS[:1], {REFS[0]: told} if told else {}, {REFS[0]: exposure}, NOW)
    return found


@settings(max_examples=150, deadline=None)
@given(told=ABILITIES, lost=st.sets(st.sampled_from(sorted(KNOWN)), min_size=1))
def test_to_know_less_never_lowers_a_token(told: TokenAbilities, lost: set[Ability]) -> None:
    less: dict[str, Any] = {KNOWN[ability]: None for ability in lost}
    if Ability.PLACES in lost:
        less |= {"places_whole": False, "places": told.places[:1]}
    if Ability.EXPIRY in lost:
        less["lasts"] = ""
    if Ability.REPOSITORIES in lost:
        less["reads_private"] = None
    ignorant = replace(told, **less, not_known=tuple(NotKnown(ability, "silence") for ability in lost))
    assert only(ignorant).score >= only(told).score
    assert only(None).score >= only(ignorant).score


@settings(max_examples=40, deadline=None)
@given(st.permutations(REFS))
def test_the_order_is_the_same_however_it_is_asked(refs: list[TokenRef]) -> None:
    abilities = {ref: token(number, admin=number % 2 == 0) for number, ref in enumerate(REFS)}
    exposures = {ref: Exposure(opened=(THIEF,)) if number < 3 else SAFE for number, ref in enumerate(REFS)}
    assert ranked(refs, abilities, exposures, NOW) == ranked(REFS, abilities, exposures, NOW)


def test_worst_first_dead_last_each_point_with_its_sentence() -> None:
    abilities = {
        REFS[0]: replace(token(0, admin=True), liveness=Liveness.DEAD),
        REFS[1]: token(1, writes=True, repositories=Repositories(2, 130)),
        REFS[2]: token(2),
        REFS[3]: token(3, admin=True, writes=True),
    }
    exposures = {
        REFS[0]: Exposure(opened=(THIEF,)),
        REFS[1]: Exposure(opened=(THIEF,)),
        REFS[2]: Exposure(could=(THIEF,), unsealed=Format.PLAINTEXT),
        REFS[3]: SAFE,
    }
    found = ranked(REFS[:5], abilities, exposures, NOW)
    scores = {one.ref: one.score for one in found}
    assert scores[REFS[1]] == (25 + 15 + 10) * (1 + 9)
    assert scores[REFS[2]] == 10 * (1 + 4 + 6)
    assert scores[REFS[3]] == 40 + 25 + 10
    assert scores[REFS[4]] == 100 * (1 + 4)
    assert [one.ref for one in found] == [REFS[1], REFS[4], REFS[2], REFS[3], REFS[0]]
    assert (found[-1].dead, found[-1].score, found[-1].why) == (True, 0, "Its provider refuses it: dead.")
    certainties = {
        reason.sentence: reason.certainty for one in found for reason in (*one.damage, *one.exposure)
    }
    assert certainties[f"{THIEF} opened it: CloudTrail names the row."] is Certainty.FACT
    assert {c for s, c in certainties.items() if "could have opened it" in s} == {Certainty.POSSIBILITY}
    assert {c for s, c in certainties.items() if "counted as everything" in s} == {Certainty.UNKNOWN}
    assert certainties["It reads 130 private repositories."] is Certainty.FACT


def test_the_weights_of_what_is_not_known_are_the_most_of_their_kind() -> None:
    for unknown, kinds in {
        "admin unknown": ("admin",),
        "writes unknown": ("writes",),
        "private unknown": (
            "private",
            "private repositories",
            "very many private repositories",
            "private in part",
        ),
        "places unknown": ("one place", "several places", "many places"),
        "end unknown": ("lasts", "lasts for ever", "ends soon"),
    }.items():
        assert DAMAGE[unknown].points == max(DAMAGE[kind].points for kind in kinds)
    most = sum(DAMAGE[name].points for name in DAMAGE if name.endswith(" unknown"))
    assert DAMAGE["never asked"].points == most == 100
    assert EXPOSURE["opening unknown"].points >= EXPOSURE["could have been opened"].points


def test_what_suspects_opened_is_a_fact_and_what_they_could_have_a_possibility() -> None:
    named, receipted, possible = REFS[:3]

    class Use:
        def tokens_opened(self, principal: str, **_: object) -> OpenedTokens:
            if principal == "too-many":
                raise RefusedError("Too many.")
            return OpenedTokens(clean(principal), None, (named,), (receipted,), (possible,), ())

    class Rows:
        def rows(self, refs: Sequence[TokenRef]) -> tuple[SimpleNamespace, ...]:
            return tuple(
                SimpleNamespace(ref=ref, format=Format.DEV if ref is possible else Format.V1) for ref in refs
            )

    search = ExposureSearch(Use(), Rows())  # type: ignore[arg-type]
    found = search.exposure_of(REFS[:4], Suspicion((THIEF,)))
    assert found[named] == Exposure(opened=(THIEF,))
    assert found[receipted] == Exposure(receipted=(THIEF,))
    assert found[possible] == Exposure(could=(THIEF,), unsealed=Format.DEV)
    assert found[REFS[3]] == Exposure()
    for suspicion, why in (
        (Suspicion(("too-many",)), "too-many: Too many."),
        (Suspicion(), "nobody is suspected yet"),
        (Suspicion((THIEF,) * 11), "only what the first 10 suspects opened was looked at"),
        (Suspicion((THIEF,), gaps=("a gap",)), "a gap"),
    ):
        assert search.exposure_of(REFS[3:4], suspicion)[REFS[3]].not_known == why


def test_foreign_words_stay_words() -> None:
    worst = "[/red]\x1b[31m{why}{0.__class__}"
    told = token(0, admin=None, not_known=(NotKnown(Ability.ADMIN, worst),), places=(worst,))
    shown = repr(only(told, Exposure(opened=(clean(worst),))).as_json())
    assert "\x1b" not in shown
    assert "{0.__class__}" in shown
