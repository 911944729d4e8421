"""Tokens are found in whatever they leaked in, each once with its lines; nothing is shown of them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json

import pytest

from crypto_core.forensics.token_search.leak_reader import LeakedTokens, read_leak
from crypto_core.forensics.token_search.target_tokens import WantedToken
from crypto_core.values.errors import InvalidTokenError
from crypto_core.values.secret import Secret
from tests.crypto_core.canary import CANARY, assert_tells_nothing, chain_of

PAT = "github_pat_" + "A1" * 11 + "_" + "b2" * 29 + "c"
INSTALLATION = "ghs_12345_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0abcdef.sig-nature_0123456789"
SLACK = "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx"
ROTATED = "xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4OTAxMi0x"
API = "ATATT3xFfGF0" + "x-y_" * 40 + "=0A1B2C3D"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
ALL = (CANARY, PAT, INSTALLATION, SLACK, ROTATED, API, JWT)
OPAQUE = "Zm9vYmFyYmF6cXV4Zm9vYmFy-0123456789"
HASH = base64.b64encode(hashlib.sha256(b"ghp_another").digest()).decode()


def read(text: str | bytes) -> LeakedTokens:
    return read_leak(Secret(text.encode() if isinstance(text, str) else text))


def likeliest(leak: LeakedTokens) -> list[WantedToken]:
    """Of each place that a token stands in the first reading."""
    return list({one.number: one for one in reversed(leak.wanted)}.values())[::-1]


def found(text: str | bytes) -> dict[str, tuple[int, ...]]:
    return {
        one.token.reveal() if one.token is not None else base64.b64encode(one.sha256).decode(): one.lines
        for one in likeliest(read(text))
    }


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04X}" for letter in text)


def in_csv(rows: list[list[str]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


def test_a_list_has_one_token_a_line_whatever_it_begins_with() -> None:
    text = "\ufeff" + "\r\n".join([CANARY, "", f"  {OPAQUE} ", SLACK, CANARY, HASH])
    leak = read(text)
    assert (leak.is_list, leak.silent_lines) == (True, 0)
    assert found(text) == {CANARY: (1, 5), OPAQUE: (3,), SLACK: (4,), HASH: (6,)}
    assert [one.issuer for one in likeliest(leak)] == ["github", "", "slack", ""]
    assert [one.place for one in likeliest(leak)] == ["Lines 1, 5", "Line 3", "Line 4", "Line 6"]
    assert [one.mask for one in likeliest(leak)] == [
        "github ghp, 26 characters",
        "35 characters",
        "slack xoxb, 56 characters",
        "44 characters: a token, or a hashed_token of GitHub's",
    ]
    assert_tells_nothing(repr(leak).replace("github ghp", ""))
    assert found(text.encode("utf-16")) == found(text)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (HASH, HASH),
        (f'"{HASH}"', HASH),
        (json.dumps({"Secret": HASH}), HASH),
        (f'hashed_token:"{HASH}"', None),
        (json.dumps({"hashed_token": HASH}), None),
    ],
)
def test_only_what_says_so_is_a_hash_alone(text: str, token: str | None) -> None:
    (one,) = read(text).wanted
    assert (one.token and one.token.reveal(), one.sha256) == (token, base64.b64decode(HASH))
    assert one.issuer == ("" if token else "github")


@pytest.mark.parametrize("token", ALL)
def test_a_token_is_found_wherever_it_stands(token: str) -> None:
    inner = json.dumps({"text": f'curl -H "Authorization: Bearer {token}"\nexit'})
    texts = (
        f"2026-01-02 ERROR token={token}, retrying",
        f"https://x.example/?a=1&access_token={token}&b=2",
        f"https://x.example/?q=t%3D{token}",
        f"INSERT INTO t VALUES (1, '{token}', NULL);",
        in_csv([["generic-api-key", "abc123", "a.env", f"key: {token}", token, '"x"']]),
        json.dumps([{"RuleID": "x", "Match": f"K={token}", "Secret": token, "StartLine": 3}]),
        json.dumps({"SourceMetadata": {}, "Raw": token, "RawV2": f"{token}:more", "Redacted": token[:6]}),
        json.dumps({"log": json.dumps({"body": inner})}),
        json.dumps({"message": "x" + "\n" + token}),
        f'{{"secret": "{escaped(token)}", "secret_type": "a"}}',
        escaped(json.dumps({"a": token})),
        f"b'\\x41={token}\\n'",
        f"<a>{token}</a>",
    )
    for number, text in enumerate(texts):
        assert found(f"# head\n{text}\n").get(token) == (2,), number


def test_a_report_of_many_names_each_token_once_with_its_lines() -> None:
    alerts = [{"number": n, "secret": token} for n, token in enumerate((*ALL, CANARY), 1)]
    text = "\n".join(map(json.dumps, alerts))
    assert found(text) == {token: (n, 8) if n == 1 else (n,) for n, token in enumerate(ALL, 1)}
    pretty = json.dumps(alerts, indent=1)
    assert set(found(pretty)) == set(ALL)
    assert read(pretty).silent_lines == len(pretty.split("\n")) - len(alerts)
    assert not read(pretty).is_list


def basic(token: str) -> str:
    return base64.b64encode(f"user:{token}".encode()).decode()


LEAKS = {
    "an assignment": "GITHUB_TOKEN={}",
    "an export": "export TOKEN={}\nexport DEBUG=1",
    "in quotes": "TOKEN='{}'",
    "an answer of OAuth": "access_token={}&scope=repo&token_type=bearer",
    "a refresh": "refresh={}",
    "one word": "token{}",
    "written on to": "{}_backup_2026",
    "a file's name": "{}.bak.txt",
    "a path": "/srv/keys/{}/x",
    "an address": "https://{}:x-oauth-basic@example.org/a.git",
    "a user's": "https://user:{}@example.org/a.git",
    "a netrc": "machine example.org\nlogin me\npassword {}",
    "a setting of INI": "[remote]\n\ttoken = {}",
    "YAML": "token: {}\nother: [1, 2]",
    "a here-document": "cat <<EOF\n{}\nEOF",
    "an option": "docker run -e TOKEN={} image",
    "a header": "> Authorization: Bearer {}\r",
    "a cookie": "Cookie: a=b; token={}; c=d",
    "a sentence": "The token is {}.",
    "Markdown": "| token | `{}` |",
    "XML": '<add key="token" value="{}"/>',
    "a comment": "# {}\n// nothing",
    "a diff": "+TOKEN={}\n-TOKEN=",
    "a list of two": "{}\nanother-0123456789abcdef",
}
HIDDEN = {
    "basic": lambda token: f"Authorization: Basic {basic(token)}",
    "a secret of Kubernetes": lambda token: f"data:\n  token: {base64.b64encode(token.encode()).decode()}",
    "a URL": lambda token: "q=" + "".join(f"%{ord(c):02X}" if not c.isalnum() else c for c in token),
    "HTML": lambda token: "".join(f"&#{ord(c)};" if not c.isalnum() else c for c in token),
    "quoted-printable": lambda token: f"The token is {token[:20]}=\r\n{token[20:]} and more",
    "continued": lambda token: f"TOKEN={token[:20]}\\\n{token[20:]}\nX='1'",
    "mail": lambda token: f"> x {token}".replace("=", "=3D"),
    "quoted": lambda token: f"> {token[:20]}\n> {token[20:]} x",
    "in colours": lambda token: f"x: {token[:18]}\x1b[0m{token[18:]}",
    "with soft hyphens": lambda token: f"x: {token[:18]}&shy;{token[18:]}",
    "before many words": lambda token: f"x: {token}_prod_eu_west_1_key",
    "folded": lambda token: f'"{token[:18]}"\n  "{token[18:]}"',
}


BROKEN = ("quoted-printable", "continued", "folded", "quoted")
"""What is broken off within its beginning is not recognised."""


@pytest.mark.parametrize("token", [*ALL, "atl-0123456789ABCDEFGHIJ"])
def test_no_way_of_leaking_makes_a_token_pass_for_read(token: str) -> None:
    leaks = {name: text.format(token) for name, text in LEAKS.items()}
    leaks |= {name: write(token) for name, write in HIDDEN.items()}
    for name, text in leaks.items():
        for written in (text, f"{text}\nexit 0", f'"x": 1\n{text}'):
            leak = read_all(written)
            looked_for = {one.token.reveal() for one in leak.wanted if one.token is not None}
            if token in ALL and name not in BROKEN:
                assert token in looked_for, (name, written)
            elif token in ALL or name != "one word":
                assert token in looked_for or leak.unread, (name, written)


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        (f"{CANARY}\nOTHER={SLACK}\n{PAT}\nsecret=xQ-{'9' * 20}\n{HASH}", 0),
        (f"{CANARY}\n{SLACK[9:]}", 1),
        (f"A={CANARY} B='{OPAQUE}'", 1),
        (f"x,{CANARY},{OPAQUE}\nx,{CANARY},none", 2),
        (f"'{CANARY}'\nZ\0m\0\x009\0v", 2),
        (f"{CANARY[:20]}\n{CANARY[20:]}", 1),
        (f"access_token={CANARY}&other={OPAQUE}", 1),
        *((f"{before}{OPAQUE}", 1) for before in ("alice|", "a@example.org/", "a=b=", "prod.")),
        (base64.b64encode(f"alice:{OPAQUE}".encode()).decode(), 1),
        (f"{CANARY}{'_a' * 20}", 1),
        (f"{CANARY}\n&#{'1' * 5_000};", 2),
    ],
)
def test_what_else_in_a_text_may_be_a_token_is_counted(text: str, unread: int) -> None:
    assert read(text).unread_lines == unread


def test_each_value_of_a_line_is_a_place_of_its_own() -> None:
    leak = read(f"one={OPAQUE}&two={OPAQUE[::-1]}")
    assert [one.token and one.token.reveal() for one in likeliest(leak)] == [OPAQUE, OPAQUE[::-1]]


def read_all(text: str) -> LeakedTokens:
    """`read`; a text in which no token is recognised counts as unread."""
    try:
        return read(text)
    except InvalidTokenError:
        return LeakedTokens((), False, 1, 1)


def test_fields_of_scanners_and_audit_logs_name_what_no_beginning_tells() -> None:
    text = "\n".join(
        [
            json.dumps({"Secret": OPAQUE, "File": "a"}),
            json.dumps({"action": "git.clone", "hashed_token": HASH, "actor": "x"}),
            json.dumps({"Secret": "REDACTED"}),
            json.dumps({"secret": "has white space and more"}),
            json.dumps({"digest": HASH}),
        ]
    )
    assert found(text) == {OPAQUE: (1,), HASH: (2,)}
    assert read(text).silent_lines == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t\r\n",
        "[/red]\x1b[2J\u202e of nothing",
        "djF8" + "A" * 200,
        "short",
        "\x00\x01",
        '{"a": 1}',
    ],
)
def test_where_there_is_no_token_that_is_told(text: str) -> None:
    with pytest.raises(InvalidTokenError, match="nothing in it that begins like"):
        read(text)


def test_what_was_not_looked_for_and_of_what_kind_is_kept() -> None:
    short = read(f"{CANARY}\nhunter2\nhashed_token:{HASH}")
    assert (short.is_list, short.remark) == (
        True,
        "1 line not looked for: 10 characters or fewer are no token.",
    )
    assert short.found_by("x") == f"leaked tokens: x. {short.remark} {short.unread}"
    assert read(f"hashed_token:{HASH}").found_by("x") == "GitHub's hashed_token: x"


def test_too_many_are_refused_and_no_error_repeats_one() -> None:
    for between in ("\n", ", "):
        with pytest.raises(InvalidTokenError, match="more than 10,000") as refused:
            read(between.join(f"{CANARY}{n}" for n in range(10_001)))
        assert_tells_nothing(chain_of(refused.value))


@pytest.mark.parametrize(
    "unit",
    [
        "A",
        "ghp_aaaaaaaaaa, ",
        "-eyJaaaaaaaaaa",
        "xoxb-",
        "\\u005c",
        "ghs_aaaaaaaaaa.",
        '"raw":"aaaaaaaaaaaaaaaaaaa',
        "eyJ_",
        "\\\\",
    ],
)
def test_hostile_text_is_read_to_its_end(unit: str) -> None:
    size = 2_000_000
    text = unit * (size // len(unit)) + f"\n{PAT}"
    assert PAT in found(text)
