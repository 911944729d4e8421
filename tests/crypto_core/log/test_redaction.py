"""What is taken out of foreign text before it is logged, and what stays readable."""

from __future__ import annotations

import base64
import json
import re
import string
import time
import urllib.parse
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet
from hypothesis import assume, example, given
from hypothesis import strategies as st

from crypto_core.envelope.formats import PROVIDER_PREFIXES
from crypto_core.log.redaction import redacted

PREFIXES = [prefix for prefixes in PROVIDER_PREFIXES.values() for prefix in prefixes]
SECRETS = [prefix + "0123CANARYcanary0123456789" for prefix in PREFIXES]
around = st.text(max_size=40)
tokens = st.builds(
    str.__add__,
    st.sampled_from(PREFIXES),
    st.text(string.ascii_letters + string.digits, min_size=16, max_size=80),
)
"""What a provider could have issued."""


def assert_hidden(secret: str, text: str) -> None:
    assert secret not in text
    assert secret[-8:] not in text


@given(tokens, around, around)
def test_a_providers_token_is_hidden_wherever_it_stands(token: str, before: str, after: str) -> None:
    assume(token[-8:] not in before + after)
    assert_hidden(token, redacted(before + token + after))


@given(
    tokens,
    st.integers(1, 30),
    st.sampled_from(["\x1b", "\x00", "\u200b", "\u202e", "\x1b[31m", "\x9b0m", "\xad"]),
)
def test_a_token_cut_by_control_bytes_is_put_together_and_hidden(token: str, place: int, cut: str) -> None:
    place = min(place, len(token) - 1)
    assert_hidden(token, redacted(f"said {token[:place]}{cut}{token[place:]} twice"))


@pytest.mark.parametrize(
    "encode",
    [
        urllib.parse.quote,
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
        lambda text: f"%{ord(text[0]):02x}{text[1:]}",
        lambda text: "".join(f"%25{byte:02X}" for byte in text.encode()),
    ],
)
@given(token=tokens)
def test_a_percent_encoded_token_is_hidden(encode: Callable[[str], str], token: str) -> None:
    encoded = encode(token)
    assert_hidden(encoded, redacted(f"GET https://example.com/find?q={encoded}&page=2"))


@given(tokens, st.integers(0, 2), st.booleans())
def test_a_token_in_base64_or_hexadecimal_is_hidden(token: str, offset: int, url_safe: bool) -> None:
    token = token.ljust(30, "x") + "y"
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    encoded = encode(b"\xff" * offset + token.encode()).decode()
    assert_hidden(encoded, redacted(f"<{encoded}>"))
    in_hex = (token + "12").encode().hex()
    assert_hidden(in_hex, redacted(f"<{in_hex}>"))


@given(st.binary(min_size=32, max_size=400))
def test_random_bytes_in_base64_are_hidden(content: bytes) -> None:
    assume(len(set(content)) > 16)
    for encoded in (base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode()):
        assert_hidden(encoded, redacted(f"got {encoded} back"))
        assert_hidden(encoded, redacted(f"arn:aws:iam::123456789012:role/{encoded}"))


@given(st.sampled_from([b"v1|", b"v2|", b"dev|"]), st.binary(min_size=6, max_size=300))
def test_a_stored_envelope_is_hidden_also_a_short_or_broken_one(version: bytes, content: bytes) -> None:
    stored = base64.b64encode(version + b"x" + content).decode()
    assert_hidden(stored, redacted(f"row=({stored},1)"))
    assert_hidden(stored[:-1], redacted(stored[:-1]))


def test_wrapped_base64_is_hidden_to_its_last_line() -> None:
    wrapped = base64.encodebytes(bytes(range(190))).decode()
    last = wrapped.strip().splitlines()[-1]
    assert len(last) < 40
    assert redacted(f"blob:\n{wrapped}") == "blob:\n[hidden-base64]\n"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://operator:p-a/s:s@w%40rd@db.example:5432/tokens", "s@w%40rd"),
        ("redis://:hunter22@cache", "hunter22"),
        ("dsn host=db password=hunter22 user=x", "hunter22"),
        ("connect(password='hunter 22 \"x')", 'hunter 22 "x'),
        ('{"password": "hunter22", "user": "x"}', "hunter22"),
        ("PGPASSWORD=hunter22 psql", "hunter22"),
        ("aws_secret_access_key = wJalrXUtnFEMI", "wJalrXUtnFEMI"),
        (
            "{'SecretAccessKey': 'wJalrXUtnFEMI/K7MDENG', 'SessionToken': 'FwoGZXIvYXdzEBY'}",
            "FwoGZXIvYXdzEBY",
        ),
        ("{'SecretAccessKey': 'wJalrXUtnFEMI/K7MDENG', 'SessionToken': 'FwoGZXIvYXdzEBY'}", "wJalrXUtnFEMI"),
        ("secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY used", "bPxRfiCYEXAMPLEKEY"),
        ("Authorization: Basic b3BlcmF0b3I6aHVudGVyMjI=", "b3BlcmF0b3I6aHVudGVyMjI"),
        ("{'Authorization': 'Bearer hunter22', 'Accept': '*/*'}", "hunter22"),
        ("authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=" + "a1" * 32, "a1a1"),
        ("sent Bearer abcdefghijklmnopqrst to it", "abcdefghijklmnopqrst"),
        ("?X-Amz-Security-Token=IQoJb3JpZ2lu&X-Amz-Signature=" + "b2" * 32, "b2b2"),
        ("?access_token=hunter22&x=1", "hunter22"),
        ('{"refresh_token": "hunter22"}', "hunter22"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nshort\n-----END RSA PRIVATE KEY-----\nnext", "short"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\ncut off", "cut off"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "c2ln"),
    ],
)
def test_what_names_itself_a_secret_is_hidden(text: str, secret: str) -> None:
    assert secret not in redacted(text)
    assert "[hidden-" in redacted(text)


def test_fernet_keys_and_tokens_are_hidden() -> None:
    for _ in range(50):
        key = Fernet.generate_key()
        sealed = Fernet(key).encrypt(b"a token").decode()
        assert_hidden(sealed, redacted(f"dev: {sealed}."))
        assert_hidden(key.decode(), redacted(f"key {key.decode()} used"))


KEPT = [
    "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab is disabled",
    "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_AdministratorAccess_0123456789abcdef/a@example.com",
    "arn:aws:iam::123456789012:role/service-role/TokenPlatformProductionEncryptionServiceRole",
    "arn:aws:kms:eu-west-1:123456789012:alias/platform/production/token-encryption-key-2026",
    "key 1234abcd-12ab-34cd-56ef-1234567890ab, material " + "0123456789abcdef" * 4,
    "gh_connection.access_token:gh-42 was re-read; jira_connection.refresh_token: missing",
    "gh_connection.access_token:1234abcd-12ab-34cd-56ef-1234567890ab",
    "AKIAIOSFODNN7EXAMPLE called Decrypt (AccessDeniedException)",
    "crypto_core/database/connection/engine.py:88 in connected",
    "/home/operator/projects/security_console/keydeck/screens/connections/token_list.py",
    "/var/folders/zz/x6csfxvn_n0/T/pytest-of-Ann/keydeck-sandbox-a8Xf3x9z/keydeck.log",
    "KEYDECK_ENVIRONMENT_COLOUR is not one of red, amber",
    "password authentication failed for user operator",
    "https://kms.eu-west-1.amazonaws.com:443/ did not answer",
    "postgresql://operator@db.example:5432/tokens",
    "The bearer of this has basic access; 1,000 of 20,000 tokens (5.0%) done",
    "2026-11-24T20:36:59.123Z event 6cfb8b7e-3b2a-4d0e-a51c-0f0f0f0f0f0f",
    "GRANT SELECT (id, access_token) ON gh_connection TO operator",
    "…9f2c [/red] ● ✖ größer naïve 東京",
]


@pytest.mark.parametrize("text", KEPT)
def test_what_operators_look_for_stays_readable(text: str) -> None:
    assert redacted(text) == text


@given(
    st.from_regex(r"[a-z_]{1,20}\.[a-z_]{1,20}", fullmatch=True),
    st.one_of(st.uuids().map(str), st.integers(0, 2**63).map(str)),
)
def test_token_references_and_key_arns_stay(column: str, row: str) -> None:
    assume(not any(prefix in column for prefix in PREFIXES))
    for text in (f"{column}:{row}", f"arn:aws:kms:eu-west-1:123456789012:key/{row}"):
        assert redacted(text) == text


pieces = st.sampled_from(
    [
        *SECRETS,
        "djF8",
        "djF8QUFBQUFB",
        "://",
        "u:p@h",
        "@",
        ":",
        "=",
        "password=",
        "'",
        '"',
        " ",
        "\n",
        "%67",
        "%25",
        "%",
        "ghp_",
        "Authorization: ",
        "Bearer ",
        "-----BEGIN KEY-----",
        "-----END KEY-----",
        "[hidden-token]",
        "eyJhbGciOiJ9.",
        "\x1b[",
        "\x1b",
        "A" * 39,
        "aB3/" * 12,
        "arn:aws:iam::123456789012:role/",
        "-",
        "_",
        "access_token",
        ": ",
        "\u200b",
    ]
)


@given(st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=12).map("".join))
@example("password=ghp_a b")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redacted(text)
    assert redacted(once) == once


@given(st.text(max_size=200))
def test_text_without_secrets_only_loses_control_and_format_characters(text: str) -> None:
    assume(not re.search(r"[:=@%]|eyJ|\x1b|\x9b|-----", text) and not any(p in text for p in PREFIXES))
    shown = redacted(text)
    assert "".join(c for c in text if c in shown) == shown or len(shown) <= len(text)


@pytest.mark.quick(6)
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "ghp_",
        "://a:",
        'password="',
        "%67",
        "\x1b[",
        "-----BEGIN A-----",
        "eyJ",
        "ab ",
        "aB1-",
        "authorization:",
        "A" * 40 + "\n",
        "arn:aws:x:y:1:",
        "é\x1b",
        "-",
        "pass",
        "aaaa-" * 100 + " ",
        "djF8",
        "@",
        "%25",
    ],
)
def test_a_megabyte_takes_less_than_seconds_whatever_it_is(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    redacted(text)
    assert time.process_time() - started < 3


def test_json_lines_stay_json_where_only_values_were_hidden() -> None:
    document = json.dumps({"message": "opened", "key": "arn:aws:kms:eu-west-1:123456789012:alias/a", "n": 3})
    assert json.loads(redacted(document)) == json.loads(document)
