"""Generated tokens: the same from the same seed, counted as SQL counts them, and really sealed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest
from sqlalchemy import Engine, column, select, table

from console.sandbox import access_keys, traffic
from console.sandbox.corruption import Corruption
from console.sandbox.generator import generate
from console.sandbox.platform import create_tables, metadata
from console.sandbox.postgres import PLATFORM
from console.sandbox.provider_tokens import MARKER, Style
from console.sandbox.sandbox import Sandbox, create_keys
from console.sandbox.timeline import TOKENS_CREATED, TOKENS_ROTATED
from console.sandbox.world import GeneratedToken, World, WorldKey
from crypto_core.database.connection.engine import open_engine
from crypto_core.envelope import Format, classify, edk_prefix, open_dev, open_envelope, parse
from crypto_core.values.errors import EnvelopeError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey

NOW = datetime(2026, 5, 20, 9, 30, tzinfo=UTC)
_numbers = count(1)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(data=False) as started:
        yield started


@pytest.fixture(scope="module")
def keys(sandbox: Sandbox) -> tuple[WorldKey, WorldKey]:
    return create_keys(sandbox.client("kms"), sandbox.control, NOW)


@pytest.fixture(scope="module")
def made(sandbox: Sandbox, keys: tuple[WorldKey, WorldKey]) -> Iterator[dict[int, tuple[World, Engine]]]:
    """One world of 20 connections and one of 2,000, each in a database of its own."""
    worlds = {size: make(sandbox, keys, connections=size) for size in (20, 2000)}
    yield worlds
    for _, engine in worlds.values():
        engine.dispose()


def make(
    sandbox: Sandbox, keys: tuple[WorldKey, WorldKey], *, connections: int, secrets: int = 0, seed: int = 7
) -> tuple[World, Engine]:
    name = f"world_{next(_numbers)}"
    sandbox.postgres.create_database(name)
    engine = open_engine(sandbox.postgres.url(PLATFORM, name))
    create_tables(engine)
    current, old = keys
    world = generate(
        sandbox.control,
        engine,
        current=current,
        old=old,
        now=NOW,
        connections=connections,
        secrets=secrets,
        seed=seed,
    )
    return world, engine


def stored_values(engine: Engine) -> dict[TokenRef, str]:
    found: dict[TokenRef, str] = {}
    with engine.connect() as connection:
        for name in metadata.tables:
            for token_column in ("access_token", "refresh_token", "bot_token"):
                if token_column in metadata.tables[name].columns:
                    query: Any = select(column("id"), column(token_column)).select_from(table(name))
                    for row_id, value in connection.execute(query):
                        if value is not None:
                            found[TokenRef(name, token_column, str(row_id))] = value
    return found


def other_columns(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            name: [
                {key: value for key, value in row._mapping.items() if not key.endswith("_token")}
                for row in connection.execute(select(held).order_by(held.c.id))
            ]
            for name, held in metadata.tables.items()
        }


@pytest.fixture(scope="module")
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms", access_keys.PLATFORM)


def opened(kms: Any, stored: str) -> tuple[str, str, str]:
    """Open an envelope as the platform does; return the token, the key's ARN and its material."""
    envelope = parse(stored)
    answer = kms.decrypt(CiphertextBlob=envelope.encrypted_data_key)
    token = open_envelope(envelope, DataKey(answer["Plaintext"])).reveal()
    return token, answer["KeyId"], answer["KeyMaterialId"]


@pytest.mark.deep
def test_the_same_seed_makes_the_same_world(sandbox: Sandbox, keys: tuple[WorldKey, WorldKey]) -> None:
    (first, one), (second, two) = (make(sandbox, keys, connections=200) for _ in range(2))
    assert first == second
    assert other_columns(one) == other_columns(two)
    assert [first.token_for(ref) for ref in first.tokens] == [second.token_for(ref) for ref in second.tokens]
    same, differing = stored_values(one), stored_values(two)
    assert same.keys() == differing.keys()
    sealed = first.sealed_under(first.current_key)
    assert not any(same[ref] == differing[ref] for ref in sealed), "data keys and nonces are random"
    one.dispose()
    two.dispose()


def test_another_seed_makes_another_world(sandbox: Sandbox, keys: tuple[WorldKey, WorldKey]) -> None:
    (first, one), (second, two) = (make(sandbox, keys, connections=200, seed=seed) for seed in (7, 8))
    assert other_columns(one) != other_columns(two)
    shared = first.tokens.keys() & second.tokens.keys()
    assert shared
    assert not any(first.token_for(ref) == second.token_for(ref) for ref in shared)
    one.dispose()
    two.dispose()


@pytest.mark.parametrize("size", [20, 2000])
def test_the_worlds_numbers_are_those_of_the_database(
    made: dict[int, tuple[World, Engine]], size: int
) -> None:
    world, engine = made[size]
    values = stored_values(engine)
    assert values.keys() == world.tokens.keys()
    formats = {ref: classify(value).format for ref, value in values.items()}
    assert formats == {ref: token.format for ref, token in world.tokens.items()}
    assert sum(world.rows.values()) == size
    assert {name: len(rows) for name, rows in other_columns(engine).items()} == world.rows
    assert sum(world.by_format.values()) == len(values)
    assert sum(sum(formats.values()) for formats in world.by_column.values()) == len(values)
    assert set(world.by_column) == {f"{ref.table}.{ref.column}" for ref in values}
    assert sum(world.by_key.values()) == world.by_format[Format.V1]


@pytest.mark.parametrize("size", [20, 2000])
def test_every_kind_of_token_occurs(made: dict[int, tuple[World, Engine]], size: int) -> None:
    world, _ = made[size]
    assert set(world.corrupt.values()) == set(Corruption)
    assert len({ref.table for ref in world.corrupt}) == 4
    assert all(world.by_format[f] for f in Format if not f.binds_row)
    assert {ref.table for ref in world.plaintext_refs} == {"slack_connection", "confluence_connection"}
    assert {ref.table for ref in world.dev_refs} == {"gh_connection"}
    for material in world.current_key.material_ids:
        assert world.sealed_under(world.current_key, material)
    assert world.sealed_under(world.old_key)
    assert {"gh_connection.refresh_token", "jira_connection.refresh_token"} < world.by_column.keys()


def test_the_shares_are_as_promised(made: dict[int, tuple[World, Engine]]) -> None:
    world, _ = made[2000]
    total = len(world.tokens)
    older, newer = world.current_key.material_ids
    under_current = len(world.sealed_under(world.current_key))
    assert len(world.sealed_under(world.old_key)) / total == pytest.approx(0.14, abs=0.01)
    assert len(world.sealed_under(world.current_key, older)) / under_current == pytest.approx(0.33, abs=0.02)
    assert under_current == sum(len(world.sealed_under(world.current_key, m)) for m in (older, newer))
    assert world.by_column["slack_connection.bot_token"][Format.PLAINTEXT] / 300 == pytest.approx(
        0.6, abs=0.01
    )
    assert world.by_column["gh_connection.access_token"][Format.DEV] == 15
    assert world.rows == {
        "gh_connection": 1000,
        "jira_connection": 500,
        "slack_connection": 300,
        "confluence_connection": 200,
        "connectors": 0,
        "mcp_servers": 0,
    }


def test_secrets_are_documents_of_sealed_tokens(
    sandbox: Sandbox, keys: tuple[WorldKey, WorldKey], kms: Any
) -> None:
    world, engine = make(sandbox, keys, connections=20, secrets=60)
    assert (world.rows["connectors"], world.rows["mcp_servers"]) == (40, 20)
    documents = {}
    with engine.connect() as connection:
        for name in ("connectors", "mcp_servers"):
            query: Any = select(column("id"), column("secret_json")).select_from(table(name))
            documents |= {(name, str(i)): json.loads(bytes(d)) for i, d in connection.execute(query)}
    members = {
        TokenRef(name, "secret_json", i, m): v for (name, i), d in documents.items() for m, v in d.items()
    }
    generated = {ref for ref in world.tokens if ref.member is not None}
    assert set(members) == generated
    assert any(len(document) > 1 for document in documents.values())
    assert Style.CLIENT_SECRET in {world.tokens[ref].style for ref in generated}
    for ref in sorted(generated)[::9]:
        assert opened(kms, members[ref])[0] == world.token_for(ref)


def test_sealed_tokens_open_under_the_key_that_the_world_names(
    kms: Any, made: dict[int, tuple[World, Engine]]
) -> None:
    for size, step in ((20, 1), (2000, 90)):
        world, engine = made[size]
        values = stored_values(engine)
        sealed = [*world.sealed_under(world.current_key), *world.sealed_under(world.old_key)][::step]
        for ref in sealed:
            token = world.tokens[ref]
            expected = (world.token_for(ref), token.key_arn, token.key_material_id)
            assert opened(kms, values[ref]) == expected


def test_no_corrupt_token_opens(kms: Any, made: dict[int, tuple[World, Engine]]) -> None:
    for world, engine in made.values():
        values = stored_values(engine)
        for ref, corruption in world.corrupt.items():
            with pytest.raises(EnvelopeError):
                pytest.fail(f"{corruption} opened: {opened(kms, values[ref])[1]}")


def test_tokens_under_one_material_share_their_prefix(made: dict[int, tuple[World, Engine]]) -> None:
    world, engine = made[2000]
    values = stored_values(engine)
    prefixes: dict[tuple[str | None, str | None], set[bytes | None]] = {}
    for token in world.tokens.values():
        if token.format is Format.V1 and token.corruption is None:
            prefix = edk_prefix(parse(values[token.ref]).encrypted_data_key)
            prefixes.setdefault((token.key_arn, token.key_material_id), set()).add(prefix)
    assert len(prefixes) == 3
    assert all(len(group) == 1 and None not in group for group in prefixes.values())


def test_plaintext_and_dev_tokens_are_as_issued(made: dict[int, tuple[World, Engine]]) -> None:
    for world, engine in made.values():
        values = stored_values(engine)
        for ref in world.plaintext_refs:
            assert values[ref] == world.token_for(ref)
        for ref in world.dev_refs:
            assert open_dev(values[ref]).reveal() == world.token_for(ref)


SHAPES = {
    Style.GITHUB_OAUTH: r"gho_[A-Za-z0-9]{36}",
    Style.GITHUB_USER: r"ghu_[A-Za-z0-9]{36}",
    Style.GITHUB_INSTALLATION: r"ghs_[A-Za-z0-9]{36}",
    Style.GITHUB_PERSONAL: r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
    Style.GITHUB_REFRESH: r"ghr_[A-Za-z0-9]{76}",
    Style.ATLASSIAN_OAUTH: r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{342}",
    Style.ATLASSIAN_REFRESH: r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{342}",
    Style.ATLASSIAN_API: r"ATATT3[\w-]{177}=[0-9A-F]{8}",
    Style.SLACK_BOT: r"xoxb-\d{12}-\d{13}-[A-Za-z0-9]{24}",
}


@pytest.mark.deep
def test_tokens_look_like_their_providers_and_carry_the_marker(made: dict[int, tuple[World, Engine]]) -> None:
    world, _ = made[2000]
    tokens = {ref: world.token_for(ref) for ref in world.tokens}
    assert {token.style for token in world.tokens.values()} == set(Style) - {Style.CLIENT_SECRET}
    assert len(set(tokens.values())) == len(tokens)
    for ref, plaintext in tokens.items():
        assert re.fullmatch(SHAPES[world.tokens[ref].style], plaintext, re.ASCII)
        assert MARKER in plaintext


def test_the_world_holds_no_plaintext(made: dict[int, tuple[World, Engine]]) -> None:
    world, _ = made[20]
    assert MARKER not in repr(world)
    assert MARKER not in repr(list(world.tokens.values()))


def test_every_row_is_as_old_as_the_key_material_it_is_sealed_under(
    made: dict[int, tuple[World, Engine]],
) -> None:
    world, engine = made[2000]
    rows = other_columns(engine)
    older, newer = world.current_key.material_ids
    for token in world.tokens.values():
        if token.corruption is not None or token.key_arn is None:
            continue
        [row] = [r for r in rows[token.ref.table] if str(r["id"]) == token.ref.row_id]
        age = NOW - row.get("updated_at", row["created_at"])
        assert timedelta() < age < timedelta(days=1096)
        assert expected_key(world, age) == (token.key_arn, token.key_material_id), token
    assert older != newer


def expected_key(world: World, age: timedelta) -> tuple[str, str]:
    if age > TOKENS_CREATED:
        return world.old_key.arn, world.old_key.material_ids[0]
    return world.current_key.arn, world.current_key.material_ids[0 if age > TOKENS_ROTATED else 1]


def test_the_platform_goes_on_inserting_behind_the_generated_rows(
    made: dict[int, tuple[World, Engine]],
) -> None:
    _, engine = made[20]
    held = metadata.tables["slack_connection"]
    row = {"org_id": "org-a", "team_id": "T0", "bot_token": "", "created_at": NOW, "updated_at": NOW}
    with engine.connect() as connection:
        assert connection.execute(held.insert().returning(held.c.id), row).scalar_one() == 4


def test_organisations_differ_in_size(made: dict[int, tuple[World, Engine]]) -> None:
    world, engine = made[2000]
    sizes: dict[str, int] = dict.fromkeys(world.organisations, 0)
    for rows in other_columns(engine).values():
        for row in rows:
            sizes[row["org_id"]] += 1
    assert len(sizes) == 40
    assert min(sizes.values()) > 0
    assert max(sizes.values()) > 10 * min(sizes.values())


def test_the_current_key_was_rotated_once_and_the_old_one_never(
    kms: Any, keys: tuple[WorldKey, WorldKey]
) -> None:
    current, old = keys
    [rotation] = kms.list_key_rotations(KeyId=current.arn)["Rotations"]
    assert rotation["RotationDate"] == NOW - TOKENS_ROTATED
    assert kms.describe_key(KeyId=current.alias)["KeyMetadata"]["CreationDate"] == NOW - TOKENS_CREATED
    assert kms.get_key_rotation_status(KeyId=current.arn)["KeyRotationEnabled"]
    assert not kms.get_key_rotation_status(KeyId=old.arn)["KeyRotationEnabled"]
    assert len(current.material_ids) == 2
    assert len(old.material_ids) == 1


@pytest.mark.deep
def test_a_world_too_small_for_every_kind_is_refused(
    sandbox: Sandbox, keys: tuple[WorldKey, WorldKey]
) -> None:
    with pytest.raises(ValueError, match="at least 20 are needed"):
        make(sandbox, keys, connections=19)


def test_a_reference_that_was_not_generated_has_no_token(made: dict[int, tuple[World, Engine]]) -> None:
    world, _ = made[20]
    with pytest.raises(KeyError):
        world.token_for(TokenRef("gh_connection", "access_token", "gh-21"))
    assert isinstance(world.tokens[TokenRef("gh_connection", "access_token", "gh-1")], GeneratedToken)


def test_the_traffic_tells_of_the_intruder(sandbox: Sandbox, made: dict[int, tuple[World, Engine]]) -> None:
    now = datetime.now(UTC)
    world = replace(made[2000][0], now=now)
    traffic.register_principals(sandbox.control)
    kept = sandbox.control.stats().records_kept
    recorded = traffic.record_traffic(sandbox.control, world)
    assert 1400 < recorded < 1600 < traffic.MOST_EVENTS
    assert sandbox.control.stats().records_kept == kept + recorded

    sandbox.control.set_lookup_throttle(None)
    cloudtrail = sandbox.client("cloudtrail")
    attribute = {"AttributeKey": "AccessKeyId", "AttributeValue": access_keys.INTRUDER}
    pages = cloudtrail.get_paginator("lookup_events").paginate(LookupAttributes=[attribute])
    events = [event for page in pages for event in page["Events"]]
    records = [event["CloudTrailEvent"] for event in events]
    assert len(events) >= 50
    assert {event["EventName"] for event in events} > {"Decrypt", "ListKeys"}
    assert all(traffic.INTRUDER_ADDRESS in record for record in records)
    assert sum('"AccessDenied"' in record for record in records) == 3
    begins = traffic.intrusion_begins(now)
    assert min(event["EventTime"] for event in events) == begins
    assert (begins.hour, begins.minute, (now.date() - begins.date()).days) == (3, 12, 2)
    assert max(event["EventTime"] for event in events) < begins + timedelta(minutes=5)


def test_at_whatever_hour_a_small_world_is_made_its_platform_has_written_and_its_analyst_is_known(
    made: dict[int, tuple[World, Engine]],
) -> None:
    world = replace(made[2000][0], rows={"gh_connection": 20})
    told: list[Any] = []

    class Control:
        def history(self, calls: list[Any]) -> int:
            told.extend(calls)
            return len(calls)

    for hour in range(7 * 24):
        now = NOW + timedelta(hours=hour)
        traffic.record_traffic(cast(Any, Control()), replace(world, now=now))
        platform = [c.operation for c in told if c.access_key_id == access_keys.PLATFORM]
        assert platform.count("GenerateDataKey") == 2 < platform.count("Decrypt")
        opened = [c for c in told if c.access_key_id == access_keys.ANALYST and c.operation == "Decrypt"]
        assert all(now - timedelta(days=7) < c.time < now - timedelta(days=1) for c in opened)
        told.clear()
