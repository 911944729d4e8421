"""The encryption context, its encoding and the binding: no two rows or keys look alike to a v2 envelope."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from crypto_core.envelope import EnvelopeV1, EnvelopeV2, open_envelope
from crypto_core.envelope.encryption_context import (
    MAX_NAME_BYTES,
    MAX_ROW_ID_BYTES,
    encode,
    encryption_context,
    prefixed,
)
from crypto_core.values.errors import AuthenticationFailedError, InvalidReferenceError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey
from tests.crypto_core.envelope.samples import DATA_KEY, KEY_ARN, REF, TOKEN, sealed_v2
from tests.lanes import examples

texts = st.text(max_size=40) | st.text("ab|:\0\1\2", max_size=6)
contexts = st.dictionaries(texts, texts, max_size=5)
names = st.text("ab|\0\1", min_size=1, max_size=4)
refs = st.builds(TokenRef, names, names, names)


def decoded(encoding: bytes) -> dict[str, str]:
    """The pairs that an encoding holds. That it can be read back is what makes the encoding injective."""

    def taken(count: int) -> bytes:
        nonlocal encoding
        assert len(encoding) >= count
        head, encoding = encoding[:count], encoding[count:]
        return head

    pairs = {}
    for _ in range(int.from_bytes(taken(2))):
        key = taken(int.from_bytes(taken(2))).decode()
        assert key not in pairs
        pairs[key] = taken(int.from_bytes(taken(2))).decode()
    assert not encoding
    return pairs


@given(contexts)
def test_an_encoding_can_be_read_back_so_no_two_contexts_encode_alike(context: dict[str, str]) -> None:
    assert decoded(encode(context)) == context


@given(contexts, contexts)
@example({"a": "bc"}, {"ab": "c"})
@example({"a": "b", "c": "d"}, {"a": "bcd"})
@example({"": "a"}, {"a": ""})
@example({}, {"": ""})
def test_two_contexts_encode_alike_only_if_they_are_equal(one: dict[str, str], other: dict[str, str]) -> None:
    assert (encode(one) == encode(other)) is (one == other)


@given(st.data(), contexts)
def test_the_order_of_the_pairs_does_not_matter(data: st.DataObject, context: dict[str, str]) -> None:
    shuffled = dict(data.draw(st.permutations(list(context.items()))))
    assert encode(shuffled) == encode(context)


def test_the_pairs_are_sorted_by_the_bytes_of_the_key() -> None:
    """By UTF-16 code units the second key would come first."""
    first, second = "\uffff", "\U00010000"
    assert encode({second: "2", first: "1"}) == (
        b"\0\2" + b"\0\3" + first.encode() + b"\0\x011" + b"\0\4" + second.encode() + b"\0\x012"
    )


def test_a_length_stands_before_what_it_measures() -> None:
    assert prefixed(b"abc") == b"\0\3abc"
    assert prefixed(b"") == b"\0\0"
    assert prefixed(bytes(65_535))[:2] == b"\xff\xff"
    with pytest.raises(ValueError, match="65,536 bytes"):
        prefixed(bytes(65_536))
    with pytest.raises(ValueError, match="65,536 bytes"):
        encode({"key": "x" * 65_536})


def test_kms_is_told_table_column_and_row_id_and_nothing_else() -> None:
    expected = {
        "keydeck:table": "gh_connection",
        "keydeck:column": "access_token",
        "keydeck:id": "gh-42",
    }
    assert encryption_context(REF) == expected
    assert EnvelopeV2.context_for(REF) == expected
    assert EnvelopeV1.context_for(REF) == {}
    assert EnvelopeV1.context_for(None) == {}


@pytest.mark.parametrize(
    ("part", "limit"), [("table", MAX_NAME_BYTES), ("column", MAX_NAME_BYTES), ("row id", MAX_ROW_ID_BYTES)]
)
def test_a_part_has_at_least_a_byte_and_at_most_its_limit(part: str, limit: int) -> None:
    def ref(text: str) -> TokenRef:
        return TokenRef(*(text if name == part else "x" for name in ("table", "column", "row id")))

    for fits in ("é" * (limit // 2), "x" * limit, "x", " "):
        assert fits in encryption_context(ref(fits)).values()
    for unfit in ("", "x" * (limit + 1), "é" * (limit // 2 + 1), "\ud800"):
        with pytest.raises(InvalidReferenceError, match=part):
            encryption_context(ref(unfit))


def test_the_limits_are_those_of_postgresql_and_of_the_format() -> None:
    assert (MAX_NAME_BYTES, MAX_ROW_ID_BYTES) == (63, 1024)


@settings(max_examples=examples(300))
@given(refs, refs)
@example(TokenRef("a", "bc", "d"), TokenRef("ab", "c", "d"))
@example(TokenRef("a|b", "c", "d"), TokenRef("a", "b|c", "d"))
@example(TokenRef("a", "b", "cd"), TokenRef("a", "bc", "d"))
def test_what_is_sealed_for_one_row_opens_for_no_other(one: TokenRef, other: TokenRef) -> None:
    assume(one != other)
    envelope, data_key = sealed_v2(ref=one), DataKey(DATA_KEY)
    assert open_envelope(envelope, data_key, one).reveal() == TOKEN
    with pytest.raises(AuthenticationFailedError, match="sealed for another row"):
        open_envelope(envelope, data_key, other)


@pytest.mark.parametrize("text", ["abcdefg", "a|b|c|d", "a:b.c:d", "\0\1a\0\1b", "éaéaéa"])
def test_wherever_a_text_is_cut_into_table_column_and_id_the_binding_differs(text: str) -> None:
    cuts = [
        TokenRef(text[:first], text[first:second], text[second:])
        for first, second in itertools.combinations(range(1, len(text)), 2)
    ]
    assert len(cuts) >= 10
    assert len({EnvelopeV2._bound(KEY_ARN, ref, None) for ref in cuts}) == len(cuts)
    envelope, data_key = sealed_v2(ref=cuts[0]), DataKey(DATA_KEY)
    for ref in cuts[1:]:
        with pytest.raises(AuthenticationFailedError, match="sealed for another row"):
            open_envelope(envelope, data_key, ref)


def test_the_binding_tells_key_arns_apart() -> None:
    arns = [
        KEY_ARN,
        KEY_ARN.replace("aws:", "aws-cn:"),
        KEY_ARN.replace("west-1:1", "west-11:"),
        KEY_ARN[:-1],
    ]
    assert len({EnvelopeV2._bound(arn, REF, None) for arn in arns}) == len(arns)


@pytest.mark.parametrize(
    ("sealed_for", "read_as"),
    [
        ("42", "042"),
        ("42", "42 "),
        ("42", "+42"),
        ("42", "٤٢"),
        ("gh-42", "GH-42"),
        ("0b7f4c1e-1111-4222-8333-4444abcd9f2c", "0B7F4C1E-1111-4222-8333-4444ABCD9F2C"),
        ("0b7f4c1e-1111-4222-8333-4444abcd9f2c", "0b7f4c1e1111422283334444abcd9f2c"),
        (unicodedata.normalize("NFC", "zoë"), unicodedata.normalize("NFD", "zoë")),
    ],
)
def test_an_id_is_the_text_that_the_database_prints_and_no_other_spelling(
    sealed_for: str, read_as: str
) -> None:
    assert sealed_for != read_as
    envelope, data_key = sealed_v2(ref=TokenRef("t", "c", sealed_for)), DataKey(DATA_KEY)
    with pytest.raises(AuthenticationFailedError):
        open_envelope(envelope, data_key, TokenRef("t", "c", read_as))
