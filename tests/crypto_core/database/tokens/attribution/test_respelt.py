"""What the platform's own reader opens counts under its key, however it is spelt and wherever it stands."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.envelope import Format, classify, is_respelt, parse, serialise
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes.key_reader import proven_at_risk
from crypto_core.keys.status import ProblemKind
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.references import TokenRef
from tests.crypto_core.database.tokens.attribution.scene import only
from tests.crypto_core.envelope.spellings import published_fields, respelt_value, stored_text
from tests.crypto_core.statements import scalar
from tests.platform_rows import connect_github

TOKENS = 19
INSERT = (
    "INSERT INTO connectors (user_id, provider, name, secret_json, created_at) "
    "VALUES ('u', 'slack', 'n', :content, now())"
)


def _inner(stored: str) -> bytes:
    return base64.b64decode(stored)


def _folded(stored: str, width: int, end: str = "\n") -> str:
    return end.join(stored[n : n + width] for n in range(0, len(stored), width))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "encodebytes": lambda stored: base64.encodebytes(_inner(stored)).decode(),
    "wrapped at 38": lambda stored: _folded(stored, 38),
    "wrapped at 4 with CRLF": lambda stored: _folded(stored, 4, "\r\n"),
    "a space": lambda stored: stored[:100] + " " + stored[100:],
    "a space in front": lambda stored: " " + stored,
    "four foreign characters": lambda stored: stored[:20] + "-_.\t" + stored[20:],
    "v0": lambda stored: base64.b64encode(b"v0" + _inner(stored)[2:]).decode(),
    "no version word": lambda stored: base64.b64encode(_inner(stored)[2:]).decode(),
    "the word of v2": lambda stored: base64.b64encode(b"v2" + _inner(stored)[2:]).decode(),
    "a provider's prefix": lambda stored: (
        "ghp_" + base64.b64encode(base64.b64decode("ghpA") + _inner(stored)[2:]).decode()[3:]
    ),
    "a field wrapped": lambda stored: base64.b64encode(
        _inner(stored)[:9] + b"\n" + _inner(stored)[9:]
    ).decode(),
    "something behind padding": lambda stored: stored.rstrip("=") + "=" * stored.count("=") + "=AAAA",
}
"""All of these the published reader opens."""


@pytest.fixture(autouse=True)
def key(services: Container, world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key that everything here is sealed under."""
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", world.old_key.arn)
    return world.old_key.arn


@pytest.mark.quick(2)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_value_that_only_the_platforms_reader_opens_counts_under_its_key_and_is_rewritten(
    services: Container, platform: Engine, world: World, key: str, spelling: str
) -> None:
    only(platform)
    respelt = {}
    for number in range(TOKENS):
        stored = encrypt_token(f"gho_{number:0{10 + number % 3}}")
        respelt[f"gh-{number}"] = SPELLINGS[spelling](stored)
        assert parse(respelt[f"gh-{number}"]) == parse(stored)
        connect_github(platform, f"gh-{number}", respelt[f"gh-{number}"])
    proof = services.status.prove()
    assert (proof.tokens_under(key), proof.doubtful, proof.complete) == (TOKENS, 0, True)
    status = services.status.take_census()
    assert status.tokens_under(key) == TOKENS
    respelt_there = sum(column.respelt for column in status.by_column)
    assert respelt_there <= TOKENS
    # Those of v1's mark and of a length that strict base64 has are not decoded to be counted.
    if spelling in ("a space", "v0", "no version word", "the word of v2", "a provider's prefix"):
        assert respelt_there == TOKENS
        assert [p.tokens for p in status.problems if p.rule == ProblemKind.RESPELT] == [TOKENS]
    inspection = services.inspector.inspect_token(TokenRef("gh_connection", "access_token", "gh-0"))
    assert "spelt otherwise" in dict(inspection.fields)
    scope = proof.scope_under(key)
    assert sum(services.store.count(scope).values()) == TOKENS
    assert {token.value.reveal() for page in services.store.pages(scope) for token in page} == set(
        respelt.values()
    )
    plan = services.tokens.work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=key), world.current_key.arn
    )
    assert services.tokens.work.run_plan(plan, Consent.by_option(plan)).done == TOKENS
    with platform.connect() as connection:
        rows = dict(connection.execute(text("SELECT id, access_token FROM gh_connection")).all())
    assert rows.keys() == respelt.keys()
    for row_id, stored in rows.items():
        assert stored == serialise(parse(stored))
        assert parse(stored) != parse(respelt[row_id])


HIDING: dict[str, Callable[[str], bytes]] = {
    "a document in UTF-16": lambda stored: json.dumps({"t": stored}).encode("utf-16"),
    "a document in UTF-16 without mark": lambda stored: json.dumps({"t": stored}).encode("utf-16-le"),
    "a document in UTF-32": lambda stored: json.dumps({"t": stored}).encode("utf-32"),
    "a document behind a byte order mark": lambda stored: json.dumps({"t": stored}).encode("utf-8-sig"),
    "an envelope as the name of a member": lambda stored: json.dumps({stored: "x"}).encode(),
    "a wrapped envelope as the name of a number": lambda stored: json.dumps(
        {_folded(stored, 38): 1}
    ).encode(),
    "an array": lambda stored: json.dumps([_folded(stored, 38)]).encode(),
    "a nested object": lambda stored: json.dumps({"a": {"b": [{"c": _folded(stored, 38)}]}}).encode(),
    "a document in a string": lambda stored: json.dumps(
        {"a": json.dumps({"b": _folded(stored, 38)})}
    ).encode(),
    "base64 of a document": lambda stored: base64.b64encode(json.dumps({"t": stored}).encode()),
    "base64 of a document in a member": lambda stored: json.dumps(
        {"t": base64.b64encode(json.dumps({"t": _folded(stored, 38)}).encode()).decode()}
    ).encode(),
    "a compressed document": lambda stored: gzip.compress(json.dumps({"t": stored}).encode()),
    "a document that has no end": lambda stored: json.dumps({"t": _folded(stored, 76)})[:-1].encode(),
}


@pytest.mark.quick(5)
@pytest.mark.parametrize("hiding", HIDING)
def test_a_document_that_may_hold_an_envelope_stands_in_the_count_of_every_key(
    services: Container, platform: Engine, hiding: str
) -> None:
    only(platform)
    envelope = encrypt_token("gho_0123456789")
    content = HIDING[hiding](envelope)
    with platform.begin() as connection:
        connection.execute(text("TRUNCATE connectors, mcp_servers"))
        connection.execute(text(INSERT), {"content": content})
    proof = services.status.prove()
    assert proof.doubtful == 1
    assert not proof.complete
    assert any("connectors.secret_json" in gap for gap in proof.gaps)
    assert not services.status.take_census().coverage.complete


PLACES: dict[str, Callable[[str], object]] = {
    "member": lambda value: {"t": value},
    "nested": lambda value: {"a": {"b": [value]}},
    "name": lambda value: {value: "x"},
    "array": lambda value: [value, "x"],
    "string": lambda value: json.dumps({"t": value}),
}


@pytest.mark.quick(2, deep=15)
@pytest.mark.parametrize("seed", range(60))
def test_no_conclusion_about_a_key_leaves_out_what_the_platforms_reader_opens_wherever_it_stands(
    services: Container, platform: Engine, world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)
    only(platform)
    keys = (world.old_key.arn, world.current_key.arn)
    under, within = Counter[str](), Counter[str]()
    documents: list[bytes] = []
    for number in range(40):
        key = random.choice(keys)
        monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", key)
        stored = encrypt_token(f"gho_{number:0{10 + number % 3}}")
        value = respelt_value(random, stored)
        fields = published_fields(value)
        opens = fields is not None and fields[0] == parse(stored).encrypted_data_key
        place = random.choice(("column", "column", *PLACES))
        text_of_it = stored_text(value)
        if text_of_it.startswith("\\x"):
            continue
        if place == "column":
            connect_github(platform, f"gh-{number}", text_of_it)
        else:
            document = PLACES[place](text_of_it)
            coding = random.choice(("utf-8", "utf-8", "utf-16", "utf-32", "utf-8-sig"))
            plain = place == "member" and coding == "utf-8"
            place = "column" if plain else place
            documents.append(json.dumps(document, ensure_ascii=random.random() < 0.5).encode(coding))
        (under if place == "column" else within)[key] += opens
    with platform.begin() as connection:
        connection.execute(text("TRUNCATE connectors, mcp_servers"))
        connection.execute(text(INSERT), [{"content": content} for content in documents])
    proof, status = services.status.prove(), services.status.take_census()
    for key in keys:
        assert proof.tokens_under(key) >= under[key]
        assert status.tokens_under(key) >= under[key]
        assert sum(services.store.count(proof.scope_under(key)).values()) >= under[key]
        risk = proven_at_risk(proof, key, None)
        assert risk.at_most_known >= under[key] + within[key]
        assert risk.none is (not risk.at_most_known and not risk.gaps)
    assert proof.doubtful >= within.total()
    assert not (proof.complete and within.total())
    assert sum(under.values()) + within.total() > 10


def test_documents_without_an_envelope_leave_a_zero_whole(services: Container, platform: Engine) -> None:
    only(platform)
    harmless = [
        json.dumps({"t": "x" * 300}).encode("utf-16"),
        json.dumps({"t": {"u": ["y" * 300, 1, None]}}).encode(),
        json.dumps({"n" * 200: {"u": "z" * 300}}).encode(),
        base64.b64encode(json.dumps({"t": "w" * 300}).encode()),
    ]
    with platform.begin() as connection:
        connection.execute(text("TRUNCATE connectors, mcp_servers"))
        connection.execute(text(INSERT), [{"content": content} for content in harmless])
    proof = services.status.prove()
    assert (proof.doubtful, proof.complete, proof.gaps) == (0, True, ())


def test_a_member_that_is_spelt_otherwise_is_rewritten_and_the_rest_of_its_document_stays(
    services: Container, platform: Engine, world: World, key: str
) -> None:
    only(platform)
    respelt = _folded(encrypt_token("gho_0123456789"), 38)
    document = json.dumps({"a": respelt, "b": {"deep": 1}, "c": "kept"}, indent=1)
    with platform.begin() as connection:
        connection.execute(text("TRUNCATE connectors, mcp_servers"))
        connection.execute(
            text(
                "INSERT INTO connectors (user_id, provider, name, secret_json, created_at) "
                "VALUES ('u', 'slack', 'n', :content, now())"
            ),
            {"content": document.encode()},
        )
    plan = services.tokens.work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=key), world.current_key.arn
    )
    assert services.tokens.work.run_plan(plan, Consent.by_option(plan)).done == 1
    written = bytes(scalar(platform, "SELECT secret_json FROM connectors")).decode()
    new = json.loads(written)["a"]
    assert classify(new).format is Format.V1
    assert not is_respelt(new)
    assert written == document.replace(json.dumps(respelt), json.dumps(new))
