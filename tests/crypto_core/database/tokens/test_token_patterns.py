"""Patterns: a token is known wherever it stands, and nothing else is taken for one."""

from __future__ import annotations

import base64
import json
import re

import pytest

from crypto_core.database.tokens.token_patterns import ANY_TOKEN, BEGINS_AS_TOKEN, PATTERNS

V1 = base64.b64encode(b"v1|" + b"|".join(base64.b64encode(bytes([n]) * 60) for n in (255, 251, 3))).decode()
V2 = base64.b64encode(b"v2|" + b"|".join(base64.b64encode(bytes([n]) * 60) for n in (1, 2, 3, 4))).decode()
DEV = base64.b64encode(b"dev|gAAAAA" + b"Bx_-" * 20).decode()


@pytest.mark.parametrize(("kind", "value"), [("v1", V1), ("v2", V2), ("dev", DEV)], ids=["v1", "v2", "dev"])
@pytest.mark.parametrize(
    "spelt",
    [
        lambda value: value,
        lambda value: json.dumps({"name": value}),
        lambda value: json.dumps({"name": value}).replace("/", "\\/"),
        lambda value: json.dumps({"name": f"\\u{ord(value[0]):04x}{value[1:]}"}).replace("\\\\", "\\"),
        lambda value: json.dumps([json.dumps("".join(f"\\u{ord(letter):04X}" for letter in value))]),
        lambda value: value.encode().hex(),
        lambda value: value.encode().hex().upper(),
        lambda value: value.replace("+", "-").replace("/", "_"),
        lambda value: f"the token is {value}, keep it",
        lambda value: "\n".join(re.findall(".{1,76}", value)),
        lambda value: base64.b64decode(value).decode(),
    ],
)
def test_a_stored_token_is_known_however_it_is_spelt(kind: str, value: str, spelt: object) -> None:
    told = spelt(value)  # type: ignore[operator]
    assert [name for name, pattern in PATTERNS.items() if re.search(pattern, told)] == [kind]
    assert re.search(ANY_TOKEN, told)


@pytest.mark.parametrize(
    ("provider", "value"),
    [
        ("github", "ghp_" + "a1B2" * 9),
        ("github", "github_pat_" + "a1B2" * 20),
        ("slack", "xoxb-123456789012-abcdef"),
        ("slack", "xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4"),
        ("atlassian", "ATATT3xFfGF0abcdefghijk"),
    ],
)
def test_a_providers_token_is_known_at_its_beginning_and_inside(provider: str, value: str) -> None:
    for told in (value, json.dumps([value]), f"token={value}", f"{{{value}}}"):
        assert [name for name, pattern in PATTERNS.items() if re.search(pattern, told)] == [provider]
    assert re.search(BEGINS_AS_TOKEN, value)
    assert not re.search(BEGINS_AS_TOKEN, json.dumps([value]))


@pytest.mark.parametrize(
    "value",
    ["", "djF8", "djF8 is how an envelope begins", "ZGV2f", "v1|v2|dev|", "ghp_", "prefixghp_abcdefghijklm",
     "xoxb-", "646a4638", "https://example.com/v1/ab", "ghp_short"],
)  # fmt: skip
def test_what_only_looks_a_little_like_it_is_none(value: str) -> None:
    assert not re.search(ANY_TOKEN, value)
