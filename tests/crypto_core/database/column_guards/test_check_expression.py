"""What the check lets through is what is read as an envelope, of every type that a column can have."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, make_url

from console.sandbox.sandbox import Sandbox
from crypto_core import envelope
from crypto_core.database.column_guards.check_expression import SHORTEST, TEXT_TYPES, TYPES, check_expression
from crypto_core.database.connection.engine import open_engine
from crypto_core.envelope.fields import decode
from crypto_core.values.errors import EnvelopeError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.lanes import examples

ARN = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
Passes = Callable[..., list[bool | None]]


def v1(edk: bytes = b"e" * 184, sealed: bytes = b"s" * 60) -> str:
    return envelope.serialise(envelope.EnvelopeV1(edk, bytes(range(12)), sealed))


def v2(edk: bytes = b"e" * 184, binding: str | None = None) -> str:
    ref = TokenRef("gh_connection", "access_token", "gh-1")
    token, data_key, format_ = (
        Secret.of("made up"),
        DataKey(os.urandom(32)),
        envelope.bound_format(envelope.Format.V2, binding),
    )
    return envelope.serialise(
        envelope.seal(token, data_key, edk, format_=format_, key_arn=ARN, ref=ref, binding=binding)
    )


def inside(fields: bytes) -> str:
    return base64.b64encode(fields).decode()


@pytest.fixture(scope="module")
def passes(sandbox: Sandbox) -> Iterator[Passes]:
    """Evaluate the check over values of a type, in a session that may write nothing."""
    url = make_url(sandbox.superuser_url).set(database="postgres")
    engine = open_engine(url.render_as_string(hide_password=False), read_only=True)
    yield lambda values, type_="text", least=envelope.Format.V1, **more: evaluated(
        engine, values, type_, least, **more
    )
    engine.dispose()


def evaluated(
    engine: Engine,
    values: Sequence[Any],
    type_: str,
    least: envelope.Format,
    *,
    document: bool = False,
    size: int | None = None,
) -> list[bool | None]:
    check = check_expression("stored", type_, least, document=document)
    sent = "bytea" if type_ == "bytea" else "text"
    wide = f"({size})" if size else ""
    statement = f"SELECT {check} FROM (SELECT %s::{sent}::{type_}{wide} AS stored) AS given"
    found = []
    with engine.connect() as connection, connection.connection.cursor() as cursor:
        for value in values:
            cursor.execute(statement, (value,))
            found.append(cursor.fetchone()[0])
    return found


def shaped(value: str) -> bool:
    """Whether a value is an envelope by its mark, its base64 and its fields, whatever their lengths."""
    format_ = envelope.classify(value).format
    if format_ not in envelope.VERSIONS or len(value) > envelope.MAX_STORED_CHARACTERS:
        return False
    names = envelope.VERSIONS[format_].field_names
    try:
        version, *fields = decode(value.encode("ascii", "replace"), "envelope").split(b"|")
        decoded = [decode(field, "field") for field in fields]
    except EnvelopeError:
        return False
    return (
        version == format_.encode()
        and len(decoded) == len(names)
        and all(map(len, decoded))
        and len(decoded[names.index("nonce")]) == 12
    )


GOOD = v1()
BROKEN = [
    GOOD[:-4],
    GOOD[: len(GOOD) // 8 * 4],
    GOOD.rstrip("="),
    GOOD + "=",
    GOOD + "\n",
    GOOD + " ",
    "\n" + GOOD,
    "\ufeff" + GOOD,
    GOOD + "\u200b",
    GOOD[:40] + "А" + GOOD[41:],  # Cyrillic
    GOOD[:40] + "\n" + GOOD[40:],
    GOOD[:40] + "*" + GOOD[41:],
    GOOD[:40] + "-_" + GOOD[42:],
    GOOD + GOOD,
    f'"{GOOD}"',
    inside(GOOD.encode()),
    "djF8",
    "djJ8",
    "djF8" + "A" * 64,
    "djF8" + "A" * 128,
    "djf8" + GOOD[4:],
    "DJF8" + GOOD[4:],
    "djJ8" + GOOD[4:],
    inside(b"v1|ghp_1234567890123456789012345678901234567890"),
    inside(b"v1|" + b"QUJD|" * 2 + b"QUJD" * 10),
    inside(b"v1|QUJD|QUJDQUJDQUJDQUJD|QUJDQUJDQUJDQUJDQUJDQUJD|QUJDQUJDQUJDQUJD"),
    inside(b"v1|QUJD|QUJDQUJDQUJDQUI=|QUJDQUJDQUJDQUJDQUJDQUJDQUJD"),
    inside(b"v1|QUJD|QUJDQUJDQUJDQUJD|QUJDQUJDQUJDQUJDQUJDQUJDQUJ="),
    inside(b"v1|QUJE|QUJDQUJDQUJDQUJD|ghp_12345678901234567890123456789012"),
    inside(b"v1|" + bytes(range(256))),
    inside(b"v1|\\\\|" + b"QUJD" * 20),
    inside(b"dev|gAAAAABk" + b"A" * 100),
    "ZGV2fGdBQUFBQUJr",
    "ghp_" + "a" * 36,
    "github_pat_'; DROP TABLE gh_connection; --",
    "xoxb-1-2-3",
    "ATATT3xFfGF0",
    "[object Object]",
    "null",
    " ",
    "\t",
    "😀" * 40,
    "djF8" + "😀" * 80,
    "djF8" + "A" * 10_000_000,
    "ghp_" + "a" * 10_000_000,
    "(" * 200_000,
]
READ = [
    "",
    GOOD,
    v1(b"e", b"s" * 17),
    v1(b"e" * envelope.MAX_EDK_BYTES, b"t" * (envelope.MAX_TOKEN_BYTES + 16)),
    *(v1(b"e" * n, b"t" * (20 + n)) for n in range(1, 8)),
    v2(),
    v2(b"e" * envelope.MAX_EDK_BYTES),
]


def test_every_envelope_passes_and_empty_is_no_token(passes: Passes) -> None:
    assert passes(READ) == [True] * len(READ)


def test_null_is_not_refused(passes: Passes) -> None:
    for type_ in TYPES:
        assert passes([None], type_) == [True]


@pytest.mark.parametrize("value", BROKEN, ids=[f"{n}" for n in range(len(BROKEN))])
def test_what_is_no_envelope_is_refused_and_fails_no_statement(passes: Passes, value: str) -> None:
    assert passes([value]) == [False]


def test_the_shortest_envelope_is_as_long_as_is_demanded() -> None:
    assert len(v1(b"e", b"t" * 17)) == SHORTEST


def test_v1_is_refused_where_v2_is_demanded(passes: Passes) -> None:
    assert passes([GOOD, v2(), v2(binding="acme"), ""], least=envelope.Format.V2) == [False, True, True, True]
    relabelled = inside(base64.b64decode(v2()).replace(b"v2|", b"vb|", 1))
    found = [GOOD, v2(), v2(binding="acme"), v2(binding="x" * 64), relabelled]
    assert passes(found, least=envelope.Format.V2_BOUND) == [False, False, True, True, False]
    assert passes(found) == [True, True, True, True, False]


@pytest.mark.parametrize("type_", ["character varying", "bytea"])
def test_a_value_of_any_type_is_told_as_text_is(passes: Passes, type_: str) -> None:
    small = [value for value in (*READ, *BROKEN) if len(value) < 20_000]
    values: list[Any] = [value.encode() for value in small] if type_ == "bytea" else small
    assert passes(values, type_) == passes(small)


def test_the_blanks_that_fill_a_column_of_fixed_length_are_not_looked_at(passes: Passes) -> None:
    values = ["", GOOD, GOOD[:-4], "ghp_1"]
    assert passes(values, "character", size=600) == [True, True, False, False]


def test_bytes_that_are_no_text_are_refused(passes: Passes) -> None:
    assert (
        passes([b"\xff\xfe", b"\x00", GOOD.encode() + b"\x00", b"\\" + GOOD.encode()], "bytea") == [False] * 4
    )


def test_a_type_without_a_check_is_said() -> None:
    with pytest.raises(ValueError, match="integer"):
        check_expression("stored", "integer", envelope.Format.V1)


def test_the_marks_are_those_by_which_the_census_counts() -> None:
    check = check_expression("stored", "text", envelope.Format.V1)
    for format_, mark in envelope.STORED_PREFIXES.items():
        assert (mark in check) is (format_ in envelope.ENVELOPE_FORMATS)


def test_only_immutable_functions_are_called(sandbox: Sandbox) -> None:
    called = set()
    for type_ in TYPES:
        for document in (False, True):
            check = check_expression("stored", type_, envelope.Format.V1, document=document)
            called |= set(re.findall(r"\b([a-z_]+)\(", re.sub(r"'[^']*'|\$re\$.*?\$re\$", "", check)))
    engine = open_engine(
        make_url(sandbox.superuser_url).set(database="postgres").render_as_string(hide_password=False)
    )
    with engine.connect() as connection:
        for name in called:
            found = connection.exec_driver_sql(
                "SELECT DISTINCT provolatile::text FROM pg_proc WHERE proname = %s", (name,)
            )
            assert set(found.scalars()) == {"i"}, name
    engine.dispose()
    assert called == {"encode", "decode", "octet_length", "replace", "repeat", "chr", "btrim"}


pieces = st.sampled_from(
    [GOOD, GOOD[:60], GOOD[60:], v2(), "djF8", "djJ8", "=", "==", "\n", "A", "QUJD", "|", "ghp_", "é", " "]
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.one_of(pieces, st.text(max_size=12)), max_size=6).map("".join))
@example(GOOD)
def test_any_value_passes_if_it_is_read_and_only_if_it_is_shaped_like_it(passes: Passes, value: str) -> None:
    value = "".join(c for c in value if c != "\x00" and not "\ud800" <= c <= "\udfff")
    (passed,) = passes([value])
    try:
        read = bool(value and envelope.parse_strictly(value))
    except EnvelopeError:
        read = False
    assert passed or not (read or value == "")
    assert not passed or value == "" or shaped(value)


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(32, 126))
def test_a_changed_character_passes_only_if_it_is_still_shaped_like_an_envelope(
    passes: Passes, place: int, character: int
) -> None:
    value = f"{GOOD[:place]}{chr(character)}{GOOD[place + 1 :]}"
    (passed,) = passes([value])
    assert passed is shaped(value)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from([b"|", b"QUJD", b"QUJDQUJDQUJDQUJD", b"v1", b"QQ==", b"QR==", b"QUI="]),
        ),
        max_size=8,
    ).map(b"".join)
)
def test_whatever_stands_within_passes_only_if_it_is_shaped_like_it(passes: Passes, fields: bytes) -> None:
    value = inside(b"v1|" + fields + b"|" + b"QUJD" * 16)
    (passed,) = passes([value])
    assert passed is (shaped(value) and len(value) >= SHORTEST)


ENVELOPES = {"bot_token": GOOD, "refresh": v2()}
GOOD_DOCUMENTS: list[Any] = [
    None,
    {},
    ENVELOPES,
    {"token": ""},
    {"token": None, "expires": 3600, "shared": True, "factor": -1.5e10},
    {'naïve " \\ \n key': GOOD, "😀": GOOD, "": GOOD},
]
BAD_DOCUMENTS: list[Any] = [
    {"token": "ghp_" + "a" * 36},
    {**ENVELOPES, "third": "xoxb-1"},
    {"token": "djF8"},
    {"token": GOOD + "\n"},
    {"token": GOOD + '","x":"ghp_1'},
    {"token": "é"},
    {"token": "\\"},
    {"token": " "},
    {"outer": {"token": "ghp_1"}},
    {"outer": [GOOD]},
    [GOOD],
    GOOD,
    "ghp_1",
    42,
]
DOCUMENTED = [*TEXT_TYPES[:2], "bytea", "json", "jsonb"]


@pytest.mark.parametrize("type_", DOCUMENTED)
@pytest.mark.parametrize("ascii_", [True, False])
@pytest.mark.parametrize("separators", [None, (",", ":"), (" ,\n", "\t: ")])
def test_a_document_passes_if_every_string_of_it_is_an_envelope(
    passes: Passes, type_: str, ascii_: bool, separators: tuple[str, str] | None
) -> None:
    def stored(document: Any) -> Any:
        text = json.dumps(document, ensure_ascii=ascii_, separators=separators)
        return text.encode() if type_ == "bytea" else text

    assert passes(map(stored, GOOD_DOCUMENTS), type_, document=True) == [True] * len(GOOD_DOCUMENTS)
    assert passes(map(stored, BAD_DOCUMENTS), type_, document=True) == [False] * len(BAD_DOCUMENTS)


@pytest.mark.parametrize("type_", DOCUMENTED)
def test_v1_within_a_document_is_refused_where_v2_is_demanded(passes: Passes, type_: str) -> None:
    def stored(document: Any) -> Any:
        return json.dumps(document).encode() if type_ == "bytea" else json.dumps(document)

    documents = map(stored, (ENVELOPES, {"token": v2()}))
    assert passes(documents, type_, least=envelope.Format.V2, document=True) == [False, True]


@pytest.mark.parametrize("type_", ["text", "json", "bytea"])
def test_of_a_name_that_stands_twice_both_are_looked_at(passes: Passes, type_: str) -> None:
    twice = f'{{"token": "ghp_1", "token": "{GOOD}"}}'
    stored: Any = twice.encode() if type_ == "bytea" else twice
    assert passes([stored], type_, document=True) == [False]


@pytest.mark.parametrize(
    "text", ["", "{", "}", '{"a"}', '{"a":}', "{,}", '{"a": "b', "{}x", "{} {}", '{"a" 1}']
)
def test_what_is_no_document_is_refused_unless_it_is_empty(passes: Passes, text: str) -> None:
    assert passes([text], document=True) == [not text]
    assert passes([text.encode()], "bytea", document=True) == [not text]


members = st.dictionaries(
    st.text(max_size=8).map(lambda t: t.replace("\x00", "")),
    st.one_of(pieces, st.text(max_size=6), st.none(), st.integers(), st.booleans()),
    max_size=4,
)


@settings(max_examples=examples(150), deadline=None)
@given(members, st.booleans())
def test_any_document_of_texts_passes_only_if_all_are_shaped_like_envelopes(
    passes: Passes, document: dict[str, Any], ascii_: bool
) -> None:
    def fits(value: Any) -> bool:
        if not isinstance(value, str) or value == "":
            return True
        mark = value.startswith(tuple(envelope.STORED_PREFIXES[f] for f in envelope.ENVELOPE_FORMATS))
        try:
            return mark and len(decode(value.encode("utf-8", "surrogatepass"), "value")) > 3
        except EnvelopeError:
            return False

    try:
        stored = json.dumps(document, ensure_ascii=ascii_).encode()
    except UnicodeEncodeError:
        return
    assert passes([stored], "bytea", document=True) == [all(map(fits, document.values()))]
