"""What the providers' logs say of an incident's tokens is kept, and a time that they don't cover is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.audit_logs import AUDIT_TOKEN
from console.sandbox.provider_traffic import ProviderAction, provider_uses
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.forensics.provider_logs.incident_tools import ProviderUse
from crypto_core.forensics.provider_logs.puller import LogPuller
from crypto_core.forensics.provider_logs.store import STATED, CoverBook
from crypto_core.forensics.provider_logs.token_hashes import TokenHashBook
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import CaptureKind, CheckKind
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import TokenRef, parse_reference
from crypto_core.values.secret import Secret
from tests.crypto_core.incidents.tokens.staging import Stage, build


@pytest.fixture
def stage(services: Container) -> Stage:
    """An incident over the test's own database, with these tools alone."""
    made = build(services)
    return replace(made, tools=ProviderUse(made.parts, services.of(ForensicsServices).token_uses).tools())


@pytest.fixture
def used(world: World) -> dict[str, ProviderAction]:
    uses = sorted(provider_uses(world), key=lambda use: use.time)
    return {use.provider: use for use in uses if use.by == "platform" and "refresh" not in use.ref}


def ref_of(use: ProviderAction) -> TokenRef:
    ref = parse_reference(use.ref)
    assert isinstance(ref, TokenRef)
    return ref


def pull(stage: Stage, provider: str, name: str) -> None:
    uses = stage.container.of(ForensicsServices).token_uses
    puller = LogPuller(uses.log, stage.container.settings.endpoints)
    since = datetime.now(UTC) - timedelta(days=8)
    assert puller.pull(provider, name, Secret.of(AUDIT_TOKEN), since=since).finished


def test_uses_are_kept_with_the_hash_and_a_time_without_logs_is_named(
    stage: Stage, world: World, used: dict[str, ProviderAction]
) -> None:
    refs = [ref_of(use) for use in used.values()]
    stage.about(*refs, since=datetime.now(UTC) - timedelta(days=7))
    first = stage.look(CheckKind.PROVIDER_EVENTS_COVERED)
    assert (first.state, first.lines) == (
        CheckState.NOT_YET,
        ("Capture what the providers' logs say first.",),
    )
    pull(stage, "github", "all")
    told = stage.capture(CaptureKind.PROVIDER_EVENTS)
    github = ref_of(used["github"])
    wanted = [use for use in provider_uses(world) if use.ref == str(github) and use.programmatic]
    (by_token,) = [one for one in told["by_token"] if one["reference"] == str(github)]
    assert by_token["used"] == len(wanted)
    assert told["used"] >= len(wanted)
    assert told["hashes_known"] >= 1
    assert not told["coverage"]["complete"]
    second = stage.look(CheckKind.PROVIDER_EVENTS_COVERED)
    assert second.state is CheckState.NOT_YET
    assert (second.done, second.total) == (1, 3)
    assert any(line.startswith("slack T0") and "are missing" in line for line in second.lines)
    assert any(line.startswith("atlassian ") for line in second.lines)
    assert not any(line.startswith("github") for line in second.lines)
    log = stage.container.of(ForensicsServices).token_uses.log
    # A stated period of another workspace covers nothing of this one's.
    week = datetime.now(UTC) - timedelta(days=9), datetime.now(UTC)
    CoverBook(log.file).note("slack", "T0ANOTHER", *week, STATED)
    assert stage.look(CheckKind.PROVIDER_EVENTS_COVERED).state is CheckState.NOT_YET
    for provider in ("slack", "atlassian"):
        CoverBook(log.file).note(provider, used[provider].place.upper(), *week, STATED)
    passed = stage.look(CheckKind.PROVIDER_EVENTS_COVERED)
    assert passed.state is CheckState.PASSED
    assert passed.lines[0].endswith("on: atlassian, github, slack.")
    assert "organisations whose logs are not here" in passed.lines[1]
    kept = stage.everything_kept()
    for ref in refs:
        assert world.token_for(ref) not in kept
        assert world.token_for(ref).encode() not in log.file.path.read_bytes()


def test_the_queries_are_kept_without_a_token_or_an_envelope(
    stage: Stage, world: World, platform: Engine
) -> None:
    of = {t.column: r for r, t in world.tokens.items() if t.corruption is None and t.format is Format.V1}
    github, jira = of["gh_connection.access_token"], of["jira_connection.access_token"]
    plain = world.plaintext_refs[0]
    stage.about(github, jira, plain)
    queries = stage.capture(CaptureKind.HASHED_QUERY)
    assert [one["reference"] for one in queries["queries"]] == [str(github)]
    assert queries["queries"][0]["query"].startswith('hashed_token:"')
    assert queries["without_query"] == 2
    with platform.connect() as connection:
        envelope = connection.exec_driver_sql(
            "SELECT access_token FROM gh_connection WHERE id = %s", (github.row_id,)
        ).scalar()
    kept = stage.everything_kept()
    for secret in (str(envelope), *(world.token_for(ref) for ref in (github, jira, plain))):
        assert secret not in kept


def test_a_hash_of_the_evidence_is_known_where_another_store_captured_it(
    stage: Stage, used: dict[str, ProviderAction]
) -> None:
    github = ref_of(used["github"])
    stage.about(github)
    queries = stage.capture(CaptureKind.HASHED_QUERY)
    assert datetime.fromisoformat(queries["captured_at"]) <= datetime.now(UTC)
    book = TokenHashBook(stage.container.of(ForensicsServices).token_uses.log.file)
    (known,) = book.known([github])
    assert known.origin == stage.incident.name
    old = json.dumps(
        {**queries, "queries": [{"reference": str(github), "query": f'hashed_token:"{"A" * 43}="'}]}
    )
    stage.kept.append((CaptureKind.HASHED_QUERY.value, old))
    stage.capture(CaptureKind.PROVIDER_EVENTS)
    assert len(book.known([github])) == 2


def test_tokens_of_providers_without_logs_are_named_and_never_passed(stage: Stage, world: World) -> None:
    stage.about()
    with pytest.raises(RefusedError):
        stage.capture(CaptureKind.PROVIDER_EVENTS)
    assert stage.look(CheckKind.PROVIDER_EVENTS_COVERED).state is not CheckState.PASSED
