"""Small databases in which an adversary was, an operator with the printed grants alone, and the truth.

What is true is held here, by means that share nothing with the product: which tokens there are, what opens
them, what was written in Keydeck's schema by whom.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from console.container import Container
from console.sandbox import access_keys
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.role_grants import role_grants
from crypto_core.guard.operations import KeydeckRole
from tests.adversary.lenient_reader import fields_of, opened, strings_in
from tests.conftest import Databases, Ran, point_at, run_here
from tests.own_path import pinned

ROWS = 2
"""Rows of each of the platform's tables under the old key, and as many under the current one."""
TABLES = ("gh_connection", "jira_connection", "slack_connection", "confluence_connection")
COLUMNS = ("access_token", "refresh_token", "bot_token")
PLANTED = "planted"
"""Stands in everything that an attack writes where only Keydeck may write."""
THIEF = "arn:aws:iam::123456789012:user/intruder"
_PLACES = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm')
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'keydeck', 'pg_toast')
"""
_OWN = ("journal", "envelope_backup", "tripwire", "approval", "journal_checkpoint", "evidence_record")


@dataclass(frozen=True, slots=True)
class Login:
    """A role of the server with its password."""

    name: str
    password: str

    def url(self, url: str, database: str) -> str:
        return _as(url, database, self)


def _as(url: str, database: str, login: Login | None = None) -> str:
    changed = make_url(url).set(database=database)
    if login:
        changed = changed.set(username=login.name, password=login.password)
    return changed.render_as_string(hide_password=False)


@dataclass
class Ground:
    """What every play begins with: `before` has tokens under the old key, in `after` they were moved."""

    sandbox: Sandbox
    databases: Databases
    before: str
    after: str
    folder: Path
    operator: Login
    other: Login
    """Another operator's login, which the adversary has."""
    data_keys: dict[bytes, bytes]
    old_keys: frozenset[bytes]
    """The encrypted data keys under the old key."""
    envelopes: tuple[str, ...]
    """Envelopes under the old key, of tokens that stand in no table."""

    @property
    def old(self) -> str:
        return self.sandbox.world.old_key.arn

    @property
    def new(self) -> str:
        return self.sandbox.world.current_key.arn


@dataclass
class Play:
    """One database, and what is done and said in it."""

    ground: Ground
    name: str
    moved: bool
    superuser: Engine
    platform: Engine
    other: Engine
    patch: pytest.MonkeyPatch
    notes: list[str] = field(default_factory=list)
    sets_its_path: bool = False
    """True if a policy runs on the search path that it sets for itself."""
    log_begins: int = 0
    planted_before: frozenset[str] = frozenset()
    """What attacks planted with the rights that they have, as rows."""
    held: list[Any] = field(default_factory=list)
    """Connections that stay open during the play."""

    def keydeck(self, *arguments: str) -> Ran:
        """Run the command as the operator."""
        with pinned():
            return run_here(*arguments)

    def run(self, engine: Engine, *statements: str) -> int:
        """Run what can be run, each by itself; returns how many statements succeeded."""
        done = 0
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for statement in statements:
                try:
                    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
                    done += 1
                except SQLAlchemyError as error:
                    self.notes.append(str(error).partition("\n")[0][:200])
        return done

    def values(self) -> Iterator[tuple[str, object]]:
        """Yield every value of the database outside Keydeck's schema, with its table."""
        with self.superuser.connect() as connection:
            for place in connection.execute(text(_PLACES)).scalars().all():
                for row in connection.execute(text(f"SELECT * FROM ONLY {place}")):
                    for value in row:
                        yield place, value
            for number in connection.execute(text("SELECT oid FROM pg_largeobject_metadata")).scalars().all():
                yield "large objects", connection.scalar(text(f"SELECT lo_get({number})"))

    def under_old(self) -> list[str]:
        """The places of values that the old key opens, for the platform's reader."""
        found = []
        for place, value in self.values():
            for one in strings_in(value):
                fields = fields_of(one)
                if fields is not None and fields[0] in self.ground.old_keys:
                    found.append(place)
                    break
        return found

    def readable(self) -> dict[str, str]:
        """Every token that the platform's reader opens now, with its place."""
        self._learn_data_keys()
        found: dict[str, str] = {}
        for place, value in self.values():
            for one in strings_in(value):
                token = opened(one, self.ground.data_keys)
                if token is not None:
                    found[token] = place
        return found

    def _learn_data_keys(self) -> None:
        kms = None
        for _, value in self.values():
            for one in strings_in(value):
                fields = fields_of(one)
                if fields is None or fields[0] in self.ground.data_keys or not fields[0]:
                    continue
                kms = kms or self.ground.sandbox.client("kms", access_keys.PLATFORM)
                with suppress(Exception):
                    answer = kms.decrypt(CiphertextBlob=fields[0])
                    self.ground.data_keys[fields[0]] = answer["Plaintext"]

    def planted(self, *, by: str) -> list[str]:
        """Keydeck's tables in which an attack's own words stand, written in the operator's own session.

        Where a table doesn't keep who wrote, all of an attack's words count.
        """
        return sorted({name for name, row in self._planted(by) if row not in self.planted_before})

    def _planted(self, by: str) -> Iterator[tuple[str, str]]:
        with self.superuser.connect() as connection:
            for name in _OWN:
                statement = (
                    f"SELECT row_to_json(t)::text FROM keydeck.{name} t WHERE t::text LIKE '%{PLANTED}%'"
                )
                for row in connection.execute(text(statement)).scalars():
                    if json.loads(row).get("database_role", by) == by:
                        yield name, row

    def kept_backups(self) -> set[str]:
        """The tokens that the backups hold."""
        with self.superuser.connect() as connection:
            kept = connection.execute(
                text("SELECT envelope FROM keydeck.envelope_backup WHERE envelope IS NOT NULL")
            ).scalars()
            return {token for one in kept if (token := opened(one, self.ground.data_keys)) is not None}

    def ran(self) -> list[str]:
        """What attacks attached and ran in a session of the operator's, by the server's log."""
        with self._log.open("rb") as log:
            log.seek(self.log_begins)
            said = log.read().decode("utf-8", "replace")
        who = f"as {self.ground.operator.name} in {self.name}"
        return sorted({m[1] for m in re.finditer(rf"adversary: (.*?) ran {who}", said)})

    @property
    def folder(self) -> Path:
        """A folder of the play's own."""
        return self.ground.folder / self.name

    @property
    def _log(self) -> Path:
        return Path(self.ground.sandbox.postgres._cluster.log)

    def begin(self) -> None:
        """What ran, and what was planted, up to now counts no more."""
        self.log_begins = self._log.stat().st_size
        self.planted_before = frozenset(row for _, row in self._planted(self.ground.operator.name))

    def policy(self) -> str:
        """The old key's policy."""
        kms = self.ground.sandbox.client("kms")
        return str(kms.get_key_policy(KeyId=self.ground.old, PolicyName="default")["Policy"])

    def commit_held(self) -> None:
        """What was under way elsewhere all the time is committed now."""
        for one in self.held:
            with suppress(psycopg2.Error):
                one.commit()

    def key_state(self) -> str:
        kms = self.ground.sandbox.client("kms")
        return str(kms.describe_key(KeyId=self.ground.old)["KeyMetadata"]["KeyState"])


def _engine(url: str) -> Engine:
    """What no attack on names reaches: nothing of the product is between, and the path is its own."""
    options = "-c search_path=pg_catalog,public -c lock_timeout=2s"
    changed = make_url(url).set(drivername="postgresql+psycopg2")
    return create_engine(changed, connect_args={"options": options})


@contextmanager
def play(ground: Ground, *, moved: bool) -> Iterator[Play]:
    """Give a database of its own, with the environment at it as the operator. AWS goes back afterwards."""
    name = f"play_{uuid4().hex[:12]}"
    ground.databases.copy(ground.after if moved else ground.before, name)
    control = ground.sandbox.control
    control.bookmark()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        stack.callback(ground.databases.drop, name)
        stack.callback(control.go_back)
        engines = []
        for url in (
            _as(ground.sandbox.superuser_url, name),
            _as(ground.sandbox.platform_database_url, name),
            ground.other.url(ground.sandbox.database_url, name),
        ):
            engine = _engine(url)
            stack.callback(engine.dispose)
            engines.append(engine)
        folder = ground.folder / name
        folder.mkdir()
        point_at(ground.sandbox, ground.operator.url(ground.sandbox.database_url, name), folder, patch)
        one = Play(ground, name, moved, *engines, patch)
        one.begin()
        stack.callback(lambda: [held.close() for held in one.held])
        yield one


@contextmanager
def made_ground(sandbox: Sandbox, databases: Databases, installed: str, folder: Path) -> Iterator[Ground]:
    """Make the two databases that plays are copies of, and the operators' logins."""
    world = sandbox.world
    before, after = (f"ground_{uuid4().hex[:12]}" for _ in range(2))
    logins = [Login(f"op_{uuid4().hex[:8]}", uuid4().hex) for _ in range(2)]
    kept = {
        table: [
            ref.row_id
            for key in (world.old_key, world.current_key)
            for ref in [r for r in world.sealed_under(key) if r.table == table][:ROWS]
        ]
        for table in TABLES
    }
    sandbox.control.clear()
    sandbox.control.set_lookup_throttle(None)
    databases.copy(installed, before)
    superuser = _engine(_as(sandbox.superuser_url, before))
    with pytest.MonkeyPatch.context() as patch:
        point_at(sandbox, _as(sandbox.database_url, before), folder, patch)
        services = Container(load().settings)
        tables = services.catalogue.refresh().tables
        with superuser.begin() as connection:
            for table, ids in kept.items():
                connection.execute(text(f"DELETE FROM {table} WHERE id::text <> ALL (:ids)"), {"ids": ids})
            for table in ("connectors", "mcp_servers"):
                connection.execute(text(f"DELETE FROM {table}"))
            _drop_odd(connection)
            for login in logins:
                connection.execute(text(f"CREATE ROLE {login.name} LOGIN PASSWORD '{login.password}'"))
                for statement in role_grants(services.engine, tables, KeydeckRole.RESPONDER, login.name):
                    connection.execute(text(statement))
        services.close()
    ground = Ground(
        sandbox, databases, before, after, folder, logins[0], logins[1], {}, frozenset(), _loose(sandbox)
    )
    with play_reading(ground, superuser) as reading:
        reading._learn_data_keys()
    ground.old_keys = _under(sandbox, ground)
    superuser.dispose()
    databases.copy(before, after)
    with pytest.MonkeyPatch.context() as patch:
        (folder / "moving").mkdir()
        point_at(sandbox, _as(sandbox.database_url, after), folder / "moving", patch)
        moved = run_here("reencrypt", "--from", ground.old, "--to", ground.new, "--yes")
        assert moved.exit_code == 0, moved.stderr
    yield ground
    databases.drop(before)
    databases.drop(after)
    with databases.admin.connect() as connection:
        for login in logins:
            connection.execute(text(f"DROP ROLE {login.name}"))


def _drop_odd(connection: Any) -> None:
    """Leave only tokens that open: what is damaged stands in every count, and no zero could be false."""
    for table in TABLES:
        for column in COLUMNS:
            with suppress(SQLAlchemyError), connection.begin_nested():
                connection.execute(
                    text(f"UPDATE {table} SET {column} = NULL WHERE {column} NOT LIKE 'djF8%'")
                )
    connection.execute(text("DELETE FROM slack_connection WHERE bot_token NOT LIKE 'djF8%'"))


@contextmanager
def play_reading(ground: Ground, superuser: Engine) -> Iterator[Play]:
    with pytest.MonkeyPatch.context() as patch:
        yield Play(ground, "", False, superuser, superuser, superuser, patch)


def _under(sandbox: Sandbox, ground: Ground) -> frozenset[bytes]:
    kms = sandbox.client("kms", access_keys.PLATFORM)
    return frozenset(
        edk for edk in ground.data_keys if kms.decrypt(CiphertextBlob=edk)["KeyId"] == ground.old
    ) | {edk for envelope in ground.envelopes if (edk := (fields_of(envelope) or (b"",))[0])}


def _loose(sandbox: Sandbox) -> tuple[str, ...]:
    """Seal tokens that nobody issued under the old key, with the cryptography library alone."""
    import base64

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    found = []
    for issued in sandbox.control.data_keys(sandbox.world.old_key.arn, 40):
        nonce = os.urandom(12)
        sealed = AESGCM(bytes(issued.plaintext)).encrypt(nonce, f"gho_{uuid4().hex}".encode(), None)
        parts = (base64.b64encode(part) for part in (issued.ciphertext_blob, nonce, sealed))
        found.append(base64.b64encode(b"v1|" + b"|".join(parts)).decode())
    return tuple(found)
