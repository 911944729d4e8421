"""Are we all right? What is wrong, worst first, and only then that all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core import encrypt_token
from crypto_core.database.state.incidents import IncidentStore
from crypto_core.database.tokens.census import Census
from crypto_core.envelope import Format
from crypto_core.findings.finding import Finding, Severity
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import IncidentScope
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys import service as keys_service
from crypto_core.keys.status import ProblemKind, Status
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Selection, Verb
from tests.platform_rows import connect_slack, put


@pytest.fixture
def store_under(services: Container, platform: Engine) -> Callable[[str, int], None]:
    """Leaves only connections whose tokens are under one key."""

    def fill(key: str, tokens: int) -> None:
        cipher = TokenCipher(services.keyring.trusting(key))
        connect_slack(platform, *(cipher.encrypt(f"xoxb-{n}", key).stored for n in range(tokens)), alone=True)

    return fill


def taken(**options: Any) -> Status:
    """The status of services over settings as they are now."""
    container = Container(load(options).settings)
    status = container.services.status.take_census()
    container.close()
    return status


def about(status: Status, key_arn: str) -> dict[str, Finding]:
    return {p.title: p for p in status.problems if p.subject == key_arn}


def test_every_token_under_a_trusted_enabled_key_is_well(
    services: Container, store_under: Callable[[str, int], None], world: World
) -> None:
    store_under(world.current_key.arn, 4)
    status = services.services.status.take_census()
    assert status.well
    assert status.problems == ()
    assert (status.tokens, status.protected) == (4, 4)
    (share,) = status.keys
    assert (share.alias, share.key_state, share.trusted) == ("alias/tokens", "Enabled", True)


def test_the_totals_of_columns_formats_and_keys_agree(services: Container, world: World) -> None:
    status = services.services.status.take_census()
    assert status.tokens == sum(status.by_format.values()) == sum(c.tokens for c in status.by_column)
    assert dict(status.by_format) == world.by_format
    for column in status.by_column:
        assert column.tokens == sum(column.by_format.values())
        assert {f: n for f, n in column.by_format.items() if n} == world.by_column.get(column.column, {})
    assert sum(s.tokens for s in status.keys) == world.by_format[Format.V1] == status.protected
    under = [status.tokens_under(key.arn) for key in (world.old_key, world.current_key)]
    assert sum(under) + sum(s.tokens for s in status.keys if not s.key_arn) == status.protected


def test_the_worst_problem_is_first_and_each_leads_to_its_rows(services: Container, world: World) -> None:
    services.services.work.verify_tokens(Selection(everything=True))
    status = services.services.status.take_census()
    ranks = [problem.severity.rank for problem in status.problems]
    assert ranks == sorted(ranks)
    assert ranks[0] == Severity.CRITICAL.rank
    assert not status.well
    by_filter: dict[str, int] = {}
    for problem in status.problems:
        assert problem.remedy
        if problem.rows:
            by_filter[problem.rows] = by_filter.get(problem.rows, 0) + problem.tokens
    assert {"format:plaintext", "format:dev", "format:unrecognised", "format:empty"} <= set(by_filter)
    for filter_, tokens in by_filter.items():
        assert services.services.inventory.count(Query(filter_)) == tokens, filter_


def test_a_problem_says_where_its_tokens_are(services: Container, world: World) -> None:
    status = services.services.status.take_census()
    plaintext = next(p for p in status.problems if p.rows == "format:plaintext")
    for column, formats in world.by_column.items():
        if formats.get(Format.PLAINTEXT):
            assert f"{column} {formats[Format.PLAINTEXT]}" in plaintext.evidence


def test_tokens_under_a_key_pending_deletion_are_critical(
    services: Container, store_under: Callable[[str, int], None], new_key: Callable[[], str], kms: Any
) -> None:
    key = new_key()
    store_under(key, 3)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    status = services.services.status.take_census()
    (share,) = status.keys
    assert (share.key_arn, share.tokens, share.key_state) == (key, 3, "PendingDeletion")
    problem = next(p for t, p in about(status, key).items() if "pending deletion" in t)
    assert (problem.severity, problem.tokens) == (Severity.CRITICAL, 3)
    assert "Cancel the deletion" in problem.remedy
    assert not status.well


def test_tokens_under_a_disabled_key_are_a_high_problem(
    services: Container, store_under: Callable[[str, int], None], new_key: Callable[[], str], kms: Any
) -> None:
    key = new_key()
    store_under(key, 3)
    services.services.status.take_census()
    kms.disable_key(KeyId=key)
    status = services.services.status.take_census()
    problem = next(p for t, p in about(status, key).items() if "not enabled" in t)
    assert (problem.severity, problem.tokens, problem.evidence) == (Severity.HIGH, 3, "Disabled")
    assert not status.well


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("state", "kind", "severity", "remedy"),
    [
        ("PendingImport", ProblemKind.KEY_NOT_ENABLED, Severity.HIGH, "Bring the key back"),
        ("Unavailable", ProblemKind.KEY_NOT_ENABLED, Severity.HIGH, "Bring the key back"),
        ("PendingReplicaDeletion", ProblemKind.KEY_PENDING_DELETION, Severity.CRITICAL, "Cancel the del"),
        ("NotFound", ProblemKind.KEY_NOT_ENABLED, Severity.CRITICAL, "Look for the key"),
    ],
)
def test_any_other_state_that_does_not_open_is_a_problem_with_its_own_remedy(
    services: Container,
    store_under: Callable[[str, int], None],
    new_key: Callable[[], str],
    sandbox: Sandbox,
    state: str,
    kind: ProblemKind,
    severity: Severity,
    remedy: str,
) -> None:
    key = new_key()
    store_under(key, 2)
    services.services.status.take_census()
    if state == "NotFound":
        sandbox.control.add_fault(Fault("DescribeKey", "NotFoundException", message=f"No key '{key}'"))
    else:
        sandbox.control.set_key_state(key, state)
    status = services.services.status.take_census()
    problem = next(p for p in about(status, key).values() if p.rule == kind)
    assert (problem.severity, problem.evidence) == (severity, state)
    assert problem.remedy.startswith(remedy)
    assert not any(key in reason for reason in status.coverage.reasons)


def test_tokens_under_a_key_that_is_not_trusted_are_a_high_problem(
    services: Container, store_under: Callable[[str, int], None], new_key: Callable[[], str]
) -> None:
    key = new_key()
    store_under(key, 2)
    status = services.services.status.take_census()
    (share,) = status.keys
    assert not share.trusted
    problem = next(p for t, p in about(status, key).items() if "not trusted" in t)
    assert (problem.severity, problem.tokens) == (Severity.HIGH, 2)
    assert "KEYDECK_TRUSTED_KEYS" in problem.remedy
    assert taken(trusted_keys=(key,)).well


def test_a_key_that_an_incident_calls_its_own_is_named_with_it_and_trusted_no_more(
    services: Container, store_under: Callable[[str, int], None], new_key: Callable[[], str]
) -> None:
    """Whoever may write Keydeck's tables could have written that."""
    incidents = services.services.incidents
    assert incidents is not None
    key, scope = new_key(), IncidentScope(key=services.keyring.trusted[0])
    number = incidents.declare("key-compromise", scope)
    store_under(key, 2)
    with IncidentStore(services.state_engine, services.journal).change(number, "eve") as change:
        change.know({"new_key": key})
    status = services.services.status.take_census()
    (share,) = status.keys
    assert not share.trusted
    problem = next(p for t, p in about(status, key).items() if "not trusted here yet" in t)
    assert problem.severity is Severity.HIGH
    assert f"the new key of INC-{number}," in problem.title
    trusted = [name for name in services.keyring.trusted if name != services.keyring.write_key]
    assert f"set KEYDECK_TRUSTED_KEYS={','.join([*trusted, key])};" in problem.remedy
    services.keyring.trust(key)
    assert not about(services.services.status.take_census(), key)


@pytest.mark.parametrize("name", ["arn", "key_id", "alias"])
def test_a_key_may_be_trusted_by_any_of_its_names(
    services: Container, store_under: Callable[[str, int], None], world: World, name: str
) -> None:
    key = world.old_key
    store_under(key.arn, 2)
    status = taken(trusted_keys=(getattr(key, name),), write_key=world.current_key.arn)
    assert [s.trusted for s in status.keys] == [True]
    assert status.well


def test_a_trusted_alias_that_cannot_be_resolved_is_told(
    services: Container, store_under: Callable[[str, int], None], world: World
) -> None:
    store_under(world.current_key.arn, 1)
    status = taken(trusted_keys=("alias/not-there",))
    assert not status.well
    assert any("alias/not-there is trusted" in reason for reason in status.coverage.reasons)


def test_a_write_key_that_is_disabled_is_a_high_problem(
    services: Container,
    store_under: Callable[[str, int], None],
    new_key: Callable[[], str],
    kms: Any,
    world: World,
) -> None:
    key = new_key()
    store_under(world.current_key.arn, 1)
    kms.disable_key(KeyId=key)
    status = taken(write_key=key, trusted_keys=(world.current_key.arn,))
    (problem,) = about(status, key).values()
    assert problem.severity is Severity.HIGH
    assert "key to write under is Disabled" in problem.title
    kms.enable_key(KeyId=key)
    assert taken(write_key=key, trusted_keys=(world.current_key.arn,)).well


def test_without_a_write_key_that_is_told(
    services: Container,
    store_under: Callable[[str, int], None],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store_under(world.current_key.arn, 1)
    monkeypatch.delenv("TOKEN_ENCRYPTION_KEY_ID")
    status = taken(trusted_keys=(world.current_key.arn,))
    (problem,) = status.problems
    assert (problem.severity, problem.title) == (
        Severity.MEDIUM,
        "No key to write under is configured",
    )
    assert status.well


def test_a_state_that_may_not_be_read_is_told_by_its_action(
    services: Container, sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:DescribeKey", world.old_key.key_id))
    status = services.services.status.take_census()
    sandbox.control.clear()
    share = next(s for s in status.keys if s.key_arn == world.old_key.arn)
    assert share.key_state is None
    assert share.trusted
    (reason,) = status.coverage.reasons
    assert "kms:DescribeKey" in reason
    assert world.old_key.arn in reason
    assert next(s for s in status.keys if s.key_arn == world.current_key.arn).key_state == "Enabled"


def test_aliases_that_may_not_be_read_only_lack_the_alias(
    services: Container, sandbox: Sandbox, world: World, environment: dict[str, str]
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:ListAliases"))
    status = taken()
    sandbox.control.clear()
    assert {s.alias for s in status.keys} == {None}
    assert {s.key_state for s in status.keys if s.key_arn} == {"Enabled"}


@pytest.mark.deep
def test_after_everything_is_put_right_the_status_is_well(
    services: Container, world: World, platform: Engine
) -> None:
    work, key = services.services.work, world.current_key.arn
    for verb, selection in (
        (Verb.ENCRYPT, Selection(unprotected=True)),
        (Verb.REENCRYPT, Selection(under_key=world.old_key.arn)),
    ):
        planned = work.plan_reencryption(verb, selection, key)
        work.run_plan(planned, Consent.by_option(planned))
    assert not services.services.status.take_census().well
    for ref in world.corrupt:
        put(platform, ref, encrypt_token(world.token_for(ref)))
    status = services.services.status.take_census()
    assert status.problems == ()
    assert status.well
    assert status.protected == status.tokens == len(world.tokens)
    assert {s.key_arn for s in status.keys} == {key}


def test_the_status_is_a_json_document_with_every_format(services: Container, world: World) -> None:
    document = services.services.status.take_census().as_json()
    parts = {"tokens", "by_format", "by_column", "keys", "coverage", "accepted_as_unrecoverable", "decoys"}
    assert set(document) == parts | {"protected", "problems"}
    assert document["protected"]["count"] == world.by_format[Format.V1]
    assert document["by_format"] == {f.value: n for f, n in world.by_format.items()}
    assert sum(key["tokens"] for key in document["keys"]) == world.by_format[Format.V1]
    covered = {"complete": True, "reasons": [], "elsewhere": "sampled"}
    assert document["coverage"].items() >= covered.items()
    assert document["coverage"]["answered_by_another_member"] > 0


def test_problems_are_told_alike_in_whatever_order_their_tokens_are_counted(
    services: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is refreshed does not move where nothing has changed."""
    services.status.take_census()  # what KMS says is known from here on
    before = services.status.take_census().problems
    take = keys_service.take_census

    def backwards(*args: Any, **options: Any) -> Census:
        census = take(*args, **options)
        return replace(census, groups=census.groups[::-1])

    monkeypatch.setattr(keys_service, "take_census", backwards)
    assert services.status.take_census().problems == before
    assert any("·" in problem.evidence for problem in before)
