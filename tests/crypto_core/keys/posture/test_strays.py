"""Copied envelopes, old versions among new and other providers' plaintext are counted, named and weighed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.tokens import strays
from crypto_core.database.tokens.strays import NAMED, Copies, find_copies
from crypto_core.envelope import Format
from crypto_core.findings.finding import Finding, Severity
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.lists.paging import Query
from crypto_core.values.references import TokenRef
from tests.conftest import Ran
from tests.platform_rows import put

Keydeck = Callable[..., Ran]
Stored = Callable[[TokenRef], str]
HOSTILE = "[/red]\x1b]0;owned\x07\u202e"
STRAY = "xoxb-made-up-and-never-shown"
RULES = ("tokens-copied", "tokens-downgraded", "tokens-foreign")


def found(services: Container, rule: str) -> tuple[Finding, ...]:
    return tuple(f for f in services.services.posture.examine_keys().findings if f.rule == rule)


def copies(services: Container) -> tuple[Copies, ...]:
    return find_copies(services.engine, services.catalogue())


def problems(services: Container, word: str) -> tuple[Finding, ...]:
    return tuple(p for p in services.status.take_census().problems if word in p.title)


def add(platform: Engine, provider: str, document: dict[str, str]) -> str:
    """Add a connector; returns its row id."""
    values = {"p": provider, "s": json.dumps(document).encode()}
    statement = text(
        "INSERT INTO connectors (user_id, provider, name, secret_json, created_at) "
        "VALUES ('user-a', :p, 'Slack', :s, now()) RETURNING CAST(id AS text)"
    )
    with platform.begin() as connection:
        return str(connection.execute(statement, values).scalar_one())


def single(world: World, table: str) -> list[TokenRef]:
    """Rows whose token is a sound envelope of the platform's current key."""
    return [ref for ref in world.sealed_under(world.current_key) if ref.table == table]


def test_what_is_generated_has_no_strays(services: Container) -> None:
    posture = services.services.posture.examine_keys()
    assert not [f for f in posture.findings if f.rule in RULES]
    assert copies(services) == ()


def test_an_envelope_in_several_places_is_high_and_names_them(
    services: Container, world: World, platform: Engine, stored: Stored
) -> None:
    first, second = single(world, "gh_connection")[:2]
    slack = single(world, "slack_connection")[0]
    envelope = stored(first)
    put(platform, second, envelope)
    put(platform, slack, envelope)
    row = add(platform, "slack", {"a": envelope, HOSTILE: envelope})
    (finding,) = found(services, "tokens-copied")
    assert finding.severity is Severity.HIGH
    assert finding.title == "1 v1 envelope stored in 5 places"
    for ref in (first, second, slack, TokenRef("connectors", "secret_json", row, "a")):
        assert str(ref) in finding.evidence
    assert "\x1b" not in finding.evidence
    assert envelope not in str(finding.as_json())
    (copied,) = copies(services)
    assert (copied.envelopes, copied.places) == (1, 5)
    assert TokenRef("connectors", "secret_json", row, HOSTILE) in copied.named[0]


@pytest.mark.deep
@pytest.mark.parametrize("few", [0, 1_000])
def test_many_copies_are_counted_and_some_are_named(
    services: Container,
    world: World,
    platform: Engine,
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    monkeypatch.setattr(strays, "FEW", few)
    refs = single(world, "gh_connection")[:16]
    for own, other in zip(refs[:8], refs[8:], strict=True):
        put(platform, other, stored(own))
    (copied,) = copies(services)
    assert (copied.format, copied.envelopes, copied.places, len(copied.named)) == (Format.V1, 8, 16, NAMED)
    (finding,) = found(services, "tokens-copied")
    assert "and 3 more envelopes" in finding.evidence


def test_a_copied_v2_envelope_opens_in_one_place_alone_and_is_medium(
    services: Container, world: World, platform: Engine
) -> None:
    own, other = single(world, "gh_connection")[:2]
    cipher = TokenCipher(services.keyring, write_format=Format.V2)
    for ref in (own, other):
        put(platform, ref, cipher.encrypt("gho_made_up", world.current_key.arn, ref=own).stored)
    assert copies(services) == ()  # two encryptions of one token are two envelopes
    envelope = cipher.encrypt("gho_made_up", world.current_key.arn, ref=own).stored
    put(platform, own, envelope)
    put(platform, other, envelope)
    (finding,) = found(services, "tokens-copied")
    assert (finding.severity, finding.subject) == (Severity.MEDIUM, "v2 envelopes")


def test_a_v1_envelope_among_v2_ones_is_told_in_findings_and_status(
    services: Container, world: World, platform: Engine, superuser: Engine, keydeck: Keydeck
) -> None:
    cipher = TokenCipher(services.keyring, write_format=Format.V2)
    assert found(services, "tokens-downgraded") == ()
    stray, *others = single(world, "slack_connection")
    with superuser.begin() as connection:
        kept = [int(ref.row_id) for ref in (stray, *others[:2])]
        connection.execute(text("DELETE FROM slack_connection WHERE id <> ALL(:kept)"), {"kept": kept})
    for ref in others[:2]:
        put(platform, ref, cipher.encrypt("xoxb-made-up", world.current_key.arn, ref=ref).stored)
    (finding,) = found(services, "tokens-downgraded")
    assert (finding.severity, finding.subject) == (Severity.MEDIUM, "slack_connection.bot_token")
    assert finding.evidence.startswith(f"{stray};")
    (problem,) = problems(services, "v1 envelope")
    assert problem.evidence == str(stray)
    assert "most of which are v2" in keydeck("status").stdout
    assert services.services.inventory.count(Query(problem.rows)) == 1


def test_a_plaintext_of_another_provider_is_told_with_both(
    services: Container, world: World, platform: Engine, keydeck: Keydeck
) -> None:
    github = single(world, "gh_connection")[0]
    jira = single(world, "jira_connection")[0]
    put(platform, jira, "ATATT3made-up-its-own")
    assert found(services, "tokens-foreign") == ()
    put(platform, github, STRAY)
    for provider in ("Jira", "slack", HOSTILE):
        add(platform, provider, {HOSTILE: STRAY})
    ours, theirs = found(services, "tokens-foreign")
    assert {f.severity for f in (ours, theirs)} == {Severity.HIGH}
    assert ours.title == "1 plaintext token of slack in connectors.secret_json, in rows of jira"
    assert theirs.title == "1 plaintext token of slack in gh_connection.access_token, in rows of github"
    assert (theirs.evidence, "\x1b" in ours.evidence) == (str(github), False)
    assert len(problems(services, "of slack in")) == 2
    for arguments in (("status",), ("findings", "--json"), ("check", "--json")):
        ran = keydeck(*arguments)
        assert "in rows of github" in ran.stdout
        assert STRAY not in ran.stdout
        assert "\x1b]" not in ran.stdout


def test_where_v2_is_demanded_every_v1_envelope_is_high(
    services: Container, keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_LEAST_FORMAT", "v2")
    refused = keydeck("status")
    assert (refused.exit_code, "v1 is written (KEYDECK_WRITE_FORMAT)" in refused.stderr) == (2, True)
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", "v2")
    status = keydeck("status", "--json").json
    findings = keydeck("findings", "--json").json["findings"]
    told = {f["subject"]: f["severity"] for f in findings if f["rule"] == "tokens-downgraded"}
    holding = {c["column"] for c in status["by_column"] if c["by_format"]["v1"]}
    assert told == dict.fromkeys(holding, Severity.HIGH.value)
    rows = {s["name"]: s for s in keydeck("settings", "--json").json["settings"]}
    assert (rows["least_format"]["value"], rows["least_format"]["origin"]) == ("v2", "the environment")
    monkeypatch.setenv("KEYDECK_LEAST_FORMAT", "v9")
    assert keydeck("status").exit_code == 2


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_listed(keydeck: Keydeck, rule: str) -> None:
    assert rule in keydeck("findings", "rules").stdout
