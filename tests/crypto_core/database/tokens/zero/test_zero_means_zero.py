"""Whatever mixture is drawn, either nothing is left under a key, or Keydeck doesn't say that nothing is.

Keydeck works as a role with the printed rights alone; what is left is counted with all rights, in every
table, by looking for the very envelopes that are under the key. The deep lane draws 15 databases, the long
one 1,050; `ZERO_DRAWS=10000 pytest -m "deep or long" -n auto <this file>` draws so many, and
`ZERO_SEED=<n>` others.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from console.container import Container
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import WorldKey
from console.settings import Settings, load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.role_grants import role_grants
from crypto_core.envelope import DataKey, EnvelopeV1, Format, serialise
from crypto_core.guard.consent import Consent
from crypto_core.guard.operations import KeydeckRole
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import KeydeckError
from crypto_core.values.secret import Secret
from tests.conftest import Databases, point_at
from tests.crypto_core.database.tokens.zero.drawing import Draw, drawn
from tests.crypto_core.reencryption.jobs.working import jobs_of
from tests.lanes import examples

DRAWS = int(os.environ.get("ZERO_DRAWS") or examples(1_200, deep=120))
SEED = os.environ.get("ZERO_SEED", "1")
MOVED = 0.85
"""The share of draws in which the tokens have been moved before: they cost a quarter of the others."""
PARTS = 8
"""Tests that the draws are parted into, for several processes."""
ROWS = 3
"""Of each of the platform's tables with plain columns, beside what is drawn."""
_KEPT = ("gh_connection", "jira_connection", "slack_connection", "confluence_connection")
_HOLDERS = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm')
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'keydeck', 'pg_toast')
"""


def as_(url: str, database: str, role: str = "", password: str = "") -> str:
    changed = make_url(url).set(database=database)
    if role:
        changed = changed.set(username=role, password=password)
    return changed.render_as_string(hide_password=False)


@dataclass
class Bench:
    """The databases that draws are made of, and who asks in them.

    `before` has tokens under the key; in `after` all of them were moved to another.
    """

    sandbox: Sandbox
    databases: Databases
    before: str
    after: str
    settings: Settings
    role: str
    password: str
    old: list[str]
    new: list[str]
    under: list[str] = field(default_factory=list)
    """Every envelope under the key: those of the base, and those that are drawn."""


def sealed(sandbox: Sandbox, key: WorldKey, number: int) -> list[str]:
    """Envelopes under each of a key's materials, of tokens that nobody issued."""
    found = []
    for material in key.material_ids:
        for issued in sandbox.control.data_keys(key.arn, number, material=material):
            token, blob = Secret.of(f"gho_{uuid4().hex}"), issued.ciphertext_blob
            found.append(serialise(EnvelopeV1.seal(token, DataKey(issued.plaintext), blob)))
    return found


@pytest.fixture(scope="module")
def bench(
    sandbox: Sandbox, databases: Databases, installed: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    world, base = sandbox.world, f"zero_{uuid4().hex[:12]}"
    after = f"{base}_after"
    role, password = f"responder_{uuid4().hex[:8]}", uuid4().hex
    databases.copy(installed, base)
    superuser = open_engine(as_(sandbox.superuser_url, base))
    old = [ref for ref in world.sealed_under(world.old_key) if ref not in world.corrupt]
    kept = {table: [r.row_id for r in old if r.table == table][:ROWS] for table in _KEPT}
    patch = pytest.MonkeyPatch()
    point_at(sandbox, as_(sandbox.database_url, base), tmp_path_factory.mktemp("zero"), patch)
    settings = load().settings
    container = Container(settings)
    with superuser.begin() as connection:
        for table in _KEPT:
            connection.execute(
                text(f"DELETE FROM {table} WHERE id::text <> ALL (:ids)"), {"ids": kept[table]}
            )
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
        tables = container.catalogue.refresh().tables
        for statement in role_grants(container.engine, tables, KeydeckRole.RESPONDER, role):
            connection.execute(text(statement))
    container.close()
    # The tokens of one table name their key and their row.
    in_v2 = Container(settings.model_copy(update={"write_format": Format.V2}))
    moved = Selection(filter="table:slack_connection")
    plan = in_v2.services.work.plan_reencryption(Verb.REENCRYPT, moved, world.old_key.arn)
    assert in_v2.services.work.run_plan(plan, Consent.by_option(plan)).done == len(kept["slack_connection"])
    in_v2.close()
    under = []
    with superuser.connect() as connection:
        for ref in old:
            if ref.row_id in kept.get(ref.table, ()):
                statement = text(f"SELECT {ref.column} FROM {ref.table} WHERE id::text = :id")
                under.append(str(connection.scalar(statement, {"id": ref.row_id})))
    superuser.dispose()
    databases.copy(base, after)
    moving = Container(settings.model_copy(update={"database_url": as_(sandbox.database_url, after)}))
    plan = moving.services.work.plan_reencryption(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn
    )
    assert moving.services.work.run_plan(plan, Consent.by_option(plan)).done == len(under)
    moving.close()
    drawn_old, drawn_new = (sealed(sandbox, key, 3) for key in (world.old_key, world.current_key))
    yield Bench(
        sandbox, databases, base, after, settings, role, password, drawn_old, drawn_new, [*under, *drawn_old]
    )
    patch.undo()
    databases.drop(base)
    databases.drop(after)
    with databases.admin.connect() as connection:
        connection.execute(text(f"DROP ROLE {role}"))


def left(superuser: Engine, under: list[str]) -> list[str]:
    """The tables that have one of these envelopes, and how many of their values."""
    found = []
    with superuser.connect() as connection:
        connection.execute(text("SET bytea_output = 'escape'"))
        for table in connection.scalars(text(_HOLDERS)).all():
            told = connection.scalar(text(f"SELECT string_agg(t::text, ' ') FROM ONLY {table} AS t")) or ""
            told = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), told)
            if number := sum(envelope in told for envelope in under):
                found.append(f"{number} in {table}")
    return found


@dataclass
class Asked:
    """What was done in a drawn database, and which of its answers say that nothing is left."""

    acts: list[str] = field(default_factory=list)
    zeros: list[str] = field(default_factory=list)
    refused: str = ""


def lie(superuser: Engine, random: Random, key_arn: str) -> str:
    """Forge what is remembered, as somebody can who writes into Keydeck's tables."""
    forged = random.choice(("answers", "sweep", "answers to come", "all"))
    with superuser.begin() as connection:
        if forged in ("answers", "all"):
            connection.execute(text("UPDATE keydeck.key_answer SET key_arn = :arn"), {"arn": key_arn})
        if forged in ("sweep", "all"):
            for table in connection.scalars(
                text("SELECT relname FROM pg_class WHERE relname LIKE '%sweep%' AND relkind = 'r'")
            ).all():
                connection.execute(text(f"DELETE FROM keydeck.{table}"))
        if forged in ("answers to come", "all"):
            connection.execute(
                text(
                    "CREATE FUNCTION keydeck.forged() RETURNS trigger LANGUAGE plpgsql AS "
                    f"$$ BEGIN NEW.key_arn := '{key_arn}'; RETURN NEW; END $$"
                )
            )
            connection.execute(
                text(
                    "CREATE TRIGGER forged BEFORE INSERT OR UPDATE ON keydeck.key_answer "
                    "FOR EACH ROW EXECUTE FUNCTION keydeck.forged()"
                )
            )
    return forged


def ask(container: Container, superuser: Engine, sandbox: Sandbox, random: Random, *, moved: bool) -> Asked:
    """Do some of what an operator does, and ask at its end whether anything is left."""
    old, new, asked = sandbox.world.old_key.arn, sandbox.world.current_key.arn, Asked()
    honest = True
    if random.random() < 0.2:
        sandbox.control.add_fault(Fault("Decrypt", "another key", message=new))
        container.services.status.take_census()
        sandbox.control.clear()
        asked.acts.append("KMS erred")
        honest = False
    if random.random() < 0.3:
        container.services.status.take_census()
        asked.acts.append("forged " + lie(superuser, random, new))
        honest = False
    if (act := "nothing" if moved else random.choices(("reencrypt", "job"), (9, 1))[0]) != "nothing":
        asked.acts.append(act)
        selection = Selection(under_key=old)
        try:
            if act == "job":
                jobs = jobs_of(container)
                view = jobs.service.join_job(jobs.start(selection, new))
                after = view.census_after or {"coverage": {"complete": False}}
                if view.state is JobState.DONE and is_zero(after, old):
                    asked.zeros.append("job")
            else:
                plan = container.services.work.plan_reencryption(Verb.REENCRYPT, selection, new)
                container.services.work.run_plan(plan, Consent.by_option(plan))
        except KeydeckError as error:
            asked.refused = error.message
    proof = container.services.status.prove(about=old)
    if proof.complete and not proof.doubtful and not proof.tokens_under(old):
        asked.zeros.append("proof")
    if honest and is_zero(container.services.status.take_census().as_json(), old):
        asked.zeros.append("status")
    return asked


def is_zero(census: Mapping[str, Any], key_arn: str) -> bool:
    """True if a census, as it is printed, says that everything was counted and nothing is under a key."""
    under = [share for share in census.get("keys", ()) if share["key_arn"] in (None, key_arn)]
    return census["coverage"]["complete"] and not under


def judged(bench: Bench, seed: str) -> tuple[Draw, Asked, list[str]]:
    """Make one drawn database, ask in it, and count with all rights."""
    random, name = Random(seed), f"drawn_{uuid4().hex[:12]}"
    draw = drawn(random, bench.role, bench.old, bench.new)
    moved = random.random() < MOVED
    bench.databases.copy(bench.after if moved else bench.before, name)
    superuser = open_engine(as_(bench.sandbox.superuser_url, name))
    container: Container | None = None
    try:
        make(superuser, draw.statements)
        url = as_(bench.sandbox.database_url, name, bench.role, bench.password)
        described: dict[str, Any] = {"database_url": url, "tables": tuple(draw.tables)}
        described["write_format"] = random.choice((Format.V1, Format.V2))
        container = Container(bench.settings.model_copy(update=described))
        asked = ask(container, superuser, bench.sandbox, random, moved=moved)
        return draw, asked, left(superuser, bench.under)
    finally:
        bench.sandbox.control.clear()
        if container is not None:
            container.close()
        superuser.dispose()
        bench.databases.drop(name)


def make(superuser: Engine, statements: list[str]) -> None:
    """Run what can be run: what fails leaves another database than was meant, and no worse one."""
    kinds = (
        "CREATE DOMAIN drawn_text AS text",
        "CREATE TYPE drawn_row AS (n int, t text)",
        "CREATE DOMAIN drawn_array AS text[]",
    )
    with superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in (*kinds, *statements):
            try:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            except SQLAlchemyError:
                continue


@pytest.mark.quick(0, deep=1)
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_zero_is_false(bench: Bench, part: int) -> None:
    said: Counter[str] = Counter()
    false: list[object] = []
    for number in range(part, DRAWS, PARTS):
        seed = f"{SEED}/{number}"
        draw, asked, found = judged(bench, seed)
        said["zero" if asked.zeros else "left" if found else "not known"] += 1
        if asked.zeros and found:
            false.append((asked.zeros, found, seed, draw.ways, asked.acts, asked.refused, draw.statements))
    assert not false
    # The draws are no use if all of them end alike.
    assert set(said) >= {"zero", "left"}, said
