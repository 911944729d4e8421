"""The steps of a plan, on plain values: what is sorted out and why, what is refused, what the plan says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crypto_core.database.tokens.attribution import KeyCount
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.census import Census
from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.database.tokens.store import StoredToken, TokenScope, digest
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenColumn
from crypto_core.envelope import Format, classify, serialise
from crypto_core.envelope.v1 import EnvelopeV1
from crypto_core.keyring.preflight import DECRYPT, GENERATE, Permission
from crypto_core.keys.state import KeyState
from crypto_core.lists.coverage import Evidence
from crypto_core.reencryption import plan_steps as steps
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.values.errors import KmsThrottledError, MissingPermissionError, RefusedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

OLD = "arn:aws:kms:eu-central-1:111122223333:key/11111111-1111-4111-8111-111111111111"
NEW = "arn:aws:kms:eu-central-1:111122223333:key/22222222-2222-4222-8222-222222222222"
TARGET = steps.TargetKey(
    "alias/new", NEW, KeyState(NEW, "eu-central-1", ("alias/new",), "Enabled", spec="SYMMETRIC_DEFAULT")
)
HEADER = bytes.fromhex("0102030078")
ENVELOPE = serialise(EnvelopeV1(HEADER + bytes(range(60)), bytes(12), bytes(17)))
PREFIX = HEADER + bytes(range(32))


def stored(row_id: str, value: str) -> StoredToken:
    ref = TokenRef("gh_connection", "access_token", row_id)
    return StoredToken(ref, classify(value).format, Secret.of(value), digest(value))


def under_old(*, note: str = "", state: str | None = "Enabled", tokens: int = 3) -> steps.SourceKey:
    count = KeyCount((OLD, "m1"), tokens, 1, Evidence.INFERRED, note)
    groups = {PREFIX: frozenset({(OLD, "m1")}), b"other": frozenset({(NEW, "m2")})}
    single = {b"odd": (OLD, "m1"), b"even": (NEW, "m2")}
    census = Census(datetime.now(UTC), Catalogue((), (), {}), (), {})
    proof = FreshProof(census, (count,), 2, 3, ("a gap",), groups, single)
    return steps.SourceKey(OLD, state, proof)


def planned(verb: Verb = Verb.REENCRYPT, **given: object) -> Plan:
    how: dict[str, object] = {
        "trusted": (NEW,),
        "write_format": Format.V1,
        "binding": None,
        "allow_downgrade": False,
    }
    tally = {"gh_connection.access_token": {Format.V1: 2, Format.V2: 1}}
    resolved = steps.ResolvedSelection(TokenScope(verb.formats), gaps=("one",))
    selection = Selection(everything=True)
    return steps.build_plan(
        verb,
        selection,
        TARGET,
        resolved,
        tally,
        ("a doubt",),
        (),
        ("two",),
        **(how | given),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("verb", "wanted", "reasons"),
    [
        (
            Verb.REENCRYPT,
            ["1"],
            ["it is plaintext; encrypt it in place", "it is not recognised: plaintext or corrupt"],
        ),
        (
            Verb.ENCRYPT,
            ["2"],
            ["it is an envelope already", "it is not recognised: plaintext or corrupt"],
        ),
    ],
)
def test_tokens_are_sorted_into_those_that_the_verb_takes_and_reasons(
    verb: Verb, wanted: list[str], reasons: list[str]
) -> None:
    tokens = [stored("1", ENVELOPE), stored("2", "ghp_0123456789"), stored("3", "what is this")]
    taken, refused = steps.sort_tokens(verb, NEW, tokens)
    assert [ref.row_id for ref in taken] == wanted
    assert [one.reason for one in refused] == reasons
    assert {one.reference for one in refused} == {str(t.ref) for t in tokens} - {str(taken[0])}


def test_a_damaged_envelope_is_left_by_a_rewrap_with_what_is_wrong() -> None:
    taken, (left,) = steps.sort_tokens(Verb.REWRAP, NEW, [stored("1", ENVELOPE[:-8])])
    assert taken == []
    assert left.reason != ""


def test_more_tokens_than_are_listed_are_sorted_by_their_formats() -> None:
    tally = {
        "gh_connection.access_token": {Format.V1: 5, Format.PLAINTEXT: 2},
        "slack_connection.bot_token": {Format.PLAINTEXT: 1},
    }
    found = steps.sort_formats(Verb.REENCRYPT, tally)
    assert found.tally == {"gh_connection.access_token": {Format.V1: 5}}
    assert found.refused == (
        Unwritten("3 tokens of format plaintext", "it is plaintext; encrypt it in place"),
    )
    assert found.scope.references == ()


def test_tokens_under_a_key_are_those_of_its_groups_and_its_own_answers() -> None:
    found = steps.sort_under_key(Verb.REWRAP, under_old())
    assert (found.scope.digests, found.scope.edk_prefixes) == ({b"odd"}, (PREFIX,))
    assert (found.scope.key_arns, found.scope.unasked) == (frozenset(), False)
    assert (found.source_key_arn, found.gaps, found.scope.formats) == (OLD, ("a gap",), Verb.REWRAP.formats)


def test_the_key_of_an_envelope_is_its_groups_unless_that_is_a_conflict() -> None:
    ((_, envelope, sample),) = steps.envelopes_of([stored("1", ENVELOPE), stored("2", "ghp_0123456789")])
    assert sample.encrypted_data_key == envelope.encrypted_data_key
    assert steps.known_key(envelope, {PREFIX: frozenset({(OLD, "m1")})}) == OLD
    assert steps.known_key(envelope, {PREFIX: frozenset({(OLD, "m1"), (NEW, "m2")})}) is None
    assert steps.known_key(envelope, {}) is None


def test_a_source_that_cannot_be_opened_is_refused_with_the_reason_and_its_cause() -> None:
    steps.check_source(under_old())
    steps.check_source(under_old(state="Disabled", tokens=0))
    steps.check_source(under_old(state=None))
    with pytest.raises(
        RefusedError, match=r"^3 tokens under .* can't be opened: the key is Disabled\. Enable"
    ):
        steps.check_source(under_old(state="Disabled"))
    source = under_old(note="kms:Decrypt is not allowed")
    failure = KmsThrottledError("Too many.", operation="Decrypt")
    with pytest.raises(RefusedError, match="can't be opened: kms:Decrypt is not allowed") as caught:
        steps.check_source(replace(source, proof=replace(source.proof, failure=failure)))
    assert caught.value.__cause__ is failure


@pytest.mark.parametrize(
    ("state", "spec", "usage", "words"),
    [
        ("Disabled", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "is Disabled"),
        ("Enabled", "RSA_2048", "ENCRYPT_DECRYPT", "can't wrap data keys"),
        ("Enabled", "SYMMETRIC_DEFAULT", "GENERATE_VERIFY_MAC", "can't wrap data keys"),
    ],
)
def test_a_target_that_cannot_wrap_is_refused(state: str, spec: str, usage: str, words: str) -> None:
    steps.check_target(TARGET)
    steps.check_target(steps.TargetKey(NEW, NEW, None))
    key = KeyState(NEW, "eu-central-1", state=state, spec=spec, usage=usage)
    with pytest.raises(RefusedError, match=words):
        steps.check_target(steps.TargetKey(NEW, NEW, key))


def test_what_may_not_be_written_and_a_move_to_the_same_key_are_refused() -> None:
    blocked = {TokenColumn("gh_connection", "access_token"): "GRANT UPDATE"}
    catalogue = Catalogue(PLATFORM_TABLES, (), blocked)
    steps.check_writable(catalogue, ["slack_connection.bot_token"])
    with pytest.raises(RefusedError, match=r"may not write gh_connection\.access_token") as caught:
        steps.check_writable(catalogue, ["gh_connection.access_token"])
    assert caught.value.remedy == "Needed: GRANT UPDATE"
    steps.check_keys_differ(None, NEW)
    steps.check_keys_differ(OLD, NEW)
    with pytest.raises(RefusedError, match="the same key"):
        steps.check_keys_differ(NEW, NEW)
    steps.check_catalogue(catalogue)
    with pytest.raises(RefusedError, match="No tokens to write"):
        steps.check_catalogue(Catalogue((), (), {}))
    steps.check_selection(Verb.ENCRYPT, Selection(unprotected=True))
    with pytest.raises(RefusedError, match="Only encrypt in place"):
        steps.check_selection(Verb.REWRAP, Selection(unprotected=True))


def test_one_refused_source_of_several_is_a_doubt_and_a_refused_target_ends_it() -> None:
    refused = Permission(DECRYPT, OLD, False, "no")
    unknown = Permission(GENERATE, NEW, None, "who knows")
    assert steps.check_permissions([refused, unknown], NEW, sources=2) == (
        f"kms:Decrypt on {OLD} is refused: no",
        f"kms:GenerateDataKey on {NEW}: who knows",
    )
    with pytest.raises(MissingPermissionError, match="kms:Decrypt"):
        steps.check_permissions([refused], NEW, sources=1)
    with pytest.raises(MissingPermissionError, match="kms:GenerateDataKey") as caught:
        steps.check_permissions([refused, Permission(GENERATE, NEW, False, "no", "ask")], NEW, sources=2)
    assert caught.value.remedy == "ask"


def test_a_plan_counts_what_was_read_and_says_what_is_not_seen() -> None:
    made = planned()
    assert (made.tokens, dict(made.by_column)) == (3, {"gh_connection.access_token": 3})
    assert (made.target_key_arn, made.target_name) == (NEW, "alias/new")
    assert made.coverage.reasons == ("one", "two")
    assert made.warnings == ("a doubt",)


def test_a_plan_warns_of_a_key_that_is_not_trusted_and_of_envelopes_that_change() -> None:
    assert any("the platform goes dark" in w for w in planned(trusted=()).warnings)
    assert planned(trusted=("alias/new",)).warnings == ("a doubt",)
    assert "1 v2 envelope will be v1: no longer bound to the row." in planned(allow_downgrade=True).warnings
    assert any("must read v2" in w for w in planned(write_format=Format.V2).warnings)
    (bound,) = (w for w in planned(binding="acme").warnings if "KEYDECK_BINDING" in w)
    assert bound.startswith('New envelopes are v2-bound, bound to database "acme": ')
    to_bound = planned(binding="acme", write_format=Format.V2_BOUND)
    assert [c.written for c in to_bound.conversions] == [Format.V2_BOUND] * 2
    rewrap = planned(Verb.REWRAP, binding="acme", write_format=Format.V2, allow_downgrade=True).warnings
    assert len(rewrap) == 2
    assert "no recovery" in rewrap[0]
