"""The worst day on ordinary estates, by commands: a pairwise sample of what databases and keys are like.

Each cell ends well, or stops before anything changed and ends well once its message is followed.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from itertools import combinations, product
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from console.container import Container
from console.sandbox import access_keys, postgres
from console.sandbox.platform import platform_engine
from console.sandbox.postgres_files import PostgresFiles
from console.sandbox.sandbox import Sandbox
from console.settings import load
from tests.conftest import use_settings
from tests.console.incident_stage import connect
from tests.console.test_incident_key_flows import NEW_TOKEN, UNPROVED, keydeck, mend, worked_through
from tests.console.test_standby import SAID
from tests.crypto_core.keys.changes.test_blocking import refused
from tests.crypto_core.keys.changes.test_policies import ACCOUNT, ON_CALL, PLATFORM, policy, statement
from tests.pgbouncer import needs_pgbouncer, pgbouncer
from tests.standby import administer, standby_of

WORDS = "Schlüssel… — “日本” 😀 \\u2026"
NAMES = {
    "UTF8": "gh-Zürich…",
    "LATIN1": "gh-Zürich",
    "SQL_ASCII": "gh-Zürich",
    "EUC_JP": "gh-日本〒",
    "WIN1252": "gh-€…",
}


@dataclass(frozen=True, slots=True)
class Cell:
    encoding: str
    ignoring_case: bool = False
    """Columns have a collation of ICU to which letters that differ in case are equal."""
    audited: bool = False
    """A trigger writes where the operator's role may not."""
    pooled: bool = False
    standby: bool = False
    """A standby is read from first, and promoted after the primary has stopped in the middle of a job."""
    default_policy: bool = False
    """The key has AWS's default policy: IAM says who may use it. Otherwise the policy names its users."""

    def __str__(self) -> str:
        return "-".join(
            [self.encoding, *(one.name for one in fields(self) if getattr(self, one.name) is True)]
        )


CELLS = (
    Cell("UTF8", ignoring_case=True),
    Cell("UTF8", audited=True, pooled=True, standby=True, default_policy=True),
    Cell("LATIN1", audited=True, pooled=True, standby=True, default_policy=True),
    Cell("LATIN1", ignoring_case=True),
    Cell("EUC_JP", ignoring_case=True, pooled=True, standby=True),
    Cell("EUC_JP", audited=True, default_policy=True),
    Cell("WIN1252", ignoring_case=True, audited=True, pooled=True, default_policy=True),
    Cell("WIN1252", standby=True),
    Cell("SQL_ASCII", pooled=True, standby=True, default_policy=True),
    Cell("SQL_ASCII", audited=True),
)
AUDIT = """
CREATE TABLE audit (id text); REVOKE ALL ON audit FROM operator;
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.audit VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER audit AFTER UPDATE ON gh_connection FOR EACH ROW EXECUTE FUNCTION audit();
"""
IGNORING_CASE = """
CREATE COLLATION lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE people (id int PRIMARY KEY, email text COLLATE lax);
INSERT INTO people SELECT i, repeat('Ana@example.org ', 20) FROM generate_series(1, 2000) i; ANALYZE people;
ALTER TABLE gh_connection ALTER id TYPE text COLLATE lax, ALTER org_id TYPE text COLLATE lax,
    ALTER access_token TYPE text COLLATE lax;
ALTER TABLE connectors ALTER secret_json TYPE text COLLATE lax USING convert_from(secret_json, 'UTF8');
INSERT INTO connectors (user_id, provider, name, secret_json, created_at)
    SELECT 'u', 'github', 'n', json_build_object('a', access_token)::text, created_at FROM gh_connection
    WHERE id = :name;
"""
_INITDB = """#!/bin/bash
[ "$1" = --version ] && exec {bin}/initdb --version
kept=() settings=()
for one in "$@"; do
    case "$one" in --set=scram*) ;; --set=*) settings+=("${{one#--set=}}") ;; *) kept+=("$one") ;; esac
done
{bin}/initdb "${{kept[@]}}" || exit
for one in "${{settings[@]}}"; do echo "${{one%%=*}} = '${{one#*=}}'"; done >> "$2/postgresql.conf"
"""
"""Older releases take no settings."""


def system_server(folder: Path) -> PostgresFiles:
    """Return a server of this machine with ICU: the wheel has none. Skips where there is no such server."""
    for server in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        if b"libicu" in server.read_bytes():
            break
    else:
        pytest.skip(
            "No PostgreSQL with ICU below /usr/lib/postgresql: nondeterministic collations are untried."
        )
    programs = PostgresFiles(folder).program("initdb").parent
    programs.mkdir(parents=True)
    (programs / "pg_basebackup").write_text(f'#!/bin/bash\nexec {server.parent}/pg_basebackup "$@"\n')
    (programs / "initdb").write_text(_INITDB.format(bin=server.parent))
    (programs / "postgres").write_text(f'#!/bin/bash\nexec {server} "$@"\n')
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return PostgresFiles(folder)


@dataclass(slots=True)
class Estate:
    """A cell's database and AWS. What is opened on the way is closed with `parts`."""

    cell: Cell
    sandbox: Sandbox
    standby: str
    parts: ExitStack
    patch: pytest.MonkeyPatch

    def use(self, url: str) -> None:
        """Let commands reach a server as the cell has it."""
        if self.cell.pooled:
            url = self.parts.enter_context(pgbouncer(url)).url(url)
        self.patch.setenv("DATABASE_URL", url)

    def run(self, *statements: str, **values: str) -> None:
        """Run statements as the tables' owner."""
        engine = platform_engine(self.sandbox.platform_database_url)
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL search_path TO public"))
            for one in statements:
                connection.execute(text(one), {name: values[name] for name in values if f":{name}" in one})
        engine.dispose()

    def fail_over(self) -> None:
        self.sandbox.postgres.stop()
        self.sandbox.postgres.port = make_url(self.standby).port or 0
        administer(self.sandbox, "SELECT pg_promote()")
        self.use(self.sandbox.database_url)


@pytest.fixture(params=[pytest.param(c, marks=needs_pgbouncer if c.pooled else (), id=str(c)) for c in CELLS])
def estate(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Estate]:
    cell: Cell = request.param
    kept = [o for o in postgres._INITDB_OPTIONS if "locale" not in o and "encoding" not in o]
    options = (*kept, "--locale=C", f"--encoding={cell.encoding}")
    monkeypatch.setattr(postgres, "_INITDB_OPTIONS", options)
    monkeypatch.chdir(tmp_path)
    with ExitStack() as parts:
        if cell.ignoring_case:
            files = system_server(Path(parts.enter_context(tempfile.TemporaryDirectory())))
            monkeypatch.setattr(PostgresFiles, "installed", lambda: files)
        sandbox = parts.enter_context(Sandbox.start(connections=20))
        use_settings(sandbox.settings(), monkeypatch)
        sandbox.control.set_lookup_throttle(None)
        made = Estate(cell, sandbox, "", parts, monkeypatch)
        if cell.standby:
            made.standby = parts.enter_context(standby_of(sandbox))
            # The standby shows whatever was committed.
            followed = ("synchronous_commit = remote_apply", "synchronous_standby_names = '*'")
            administer(sandbox, *(f"ALTER SYSTEM SET {one}" for one in followed), "SELECT pg_reload_conf()")
        made.use(sandbox.database_url)
        yield made


def test_every_two_values_that_can_stand_together_do_so_in_a_cell() -> None:
    for one, other in combinations([field.name for field in fields(Cell)], 2):
        found = {(getattr(cell, one), getattr(cell, other)) for cell in CELLS}
        wanted = set(product(*({getattr(cell, name) for cell in CELLS} for name in (one, other))))
        # ICU has no collation for SQL_ASCII.
        assert wanted - found == ({("SQL_ASCII", True)} if other == "ignoring_case" else set())


@pytest.mark.slow(100)
@pytest.mark.quick(0, deep=4)
def test_the_worst_day_ends_well_on_any_estate(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cell, sandbox, name = estate.cell, estate.sandbox, NAMES[estate.cell.encoding]
    world, key, old = sandbox.world, sandbox.world.current_key.arn, sandbox.world.old_key.arn
    kms = sandbox.client("kms")
    if not cell.default_policy:
        uses = statement({"AWS": PLATFORM}, "Decrypt", "GenerateDataKey")
        named = policy(statement({"AWS": ON_CALL}, "*"), uses)
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=named)
    assert keydeck("init").exit_code == 0
    mend(sandbox)
    moved = f"gh_connection.access_token:{name}"
    ref = next(one for one in world.sealed_under(world.old_key) if one.table == "gh_connection")
    rename = "UPDATE gh_connection SET id = :name, org_id = :name WHERE id = :id"
    estate.run(rename, *[IGNORING_CASE] * cell.ignoring_case, name=name, id=str(ref.row_id))
    assert keydeck("discover").exit_code == 0
    (version,) = (c for c in keydeck("doctor", "--json").json["checks"] if c["name"] == "version")
    assert f", encoding {cell.encoding}" in version["said"]

    if cell.standby:
        estate.use(estate.standby)
        assert keydeck("verify", moved).exit_code == 0
    assert keydeck("check", "--json").exit_code == 1
    assert keydeck("status", "--json").json["tokens"] == len(world.tokens) + cell.ignoring_case
    assert moved in {one["reference"] for one in keydeck("connections", "--json").json["connections"]}
    if cell.standby:
        stopped = keydeck("rewrap", moved, "--to", key, "--yes")
        assert (stopped.exit_code, stopped.stderr.strip()) == (3, SAID)
        estate.use(sandbox.database_url)  # "Connect to the primary"
    assert "1 of 1 token written" in keydeck("rewrap", moved, "--to", key, "--yes").stdout
    assert keydeck("verify", moved).exit_code == 0
    assert keydeck("inspect", moved).exit_code == 0
    assert keydeck("inspect", moved.replace("gh-", "gh–")).exit_code != 0, "another row than was named"

    intruder, arn = sandbox.client("kms", access_keys.INTRUDER), f"arn:aws:iam::{ACCOUNT}:user/intruder"
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]

    def opens() -> bool:
        return not refused(lambda: intruder.decrypt(CiphertextBlob=made, KeyId=key))

    def policy_now() -> object:
        return json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])

    before = policy_now()
    assert opens() is cell.default_policy
    blocked = keydeck("keys", "block", key, arn, "--yes")
    assert blocked.exit_code == 0, blocked.stderr
    assert not opens()
    assert keydeck("verify", moved).exit_code == 0
    undone = re.search(
        r"Undone with: keydeck (keys unblock \S+ \S+)", keydeck("keys", "block", key, arn, "--dry-run").stdout
    )
    assert undone is not None
    assert keydeck(*undone[1].split(), "--yes").exit_code == 0
    assert (opens(), policy_now()) == (cell.default_policy, before)

    job = ("reencrypt", "--from", key, "--to", old, "--job", "--yes", "--except", "*", "--rate", "12")
    agreed = ("--runs-code", "public.audit") if cell.audited else ()
    if cell.audited:
        estate.run(AUDIT)
    command = [sys.executable, "-m", "console", *job, *agreed]
    log = tmp_path / "job.log"
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as killed:
        while not (shown := keydeck("jobs", "show", "1", "--json")).stdout or shown.json["done"] < 2:
            assert killed.poll() is None, log.read_text()
            time.sleep(0.1)
        killed.send_signal(signal.SIGKILL)
    if cell.standby:
        estate.fail_over()
    joined = keydeck("jobs", "join", "1", "--json")
    if cell.audited:
        not_written = keydeck("jobs", "show", "1", "--errors", "--json").json["not_written"]
        assert {one["reference"].partition(".")[0] for one in not_written} == {"gh_connection"}
        assert joined.json["done"] == joined.json["planned"] - len(not_written) > 0
        grant = re.search(r"Needed: (GRANT .*) TO the role", not_written[0]["reason"])
        assert grant is not None, not_written
        estate.run(f"{grant[1]} TO operator")
        assert keydeck("jobs", "retry", "1").exit_code == 0
        joined = keydeck("jobs", "join", "1", "--json")
    assert (joined.exit_code, joined.json["state"], joined.json["remaining"]) == (0, "done", 0), joined.stderr
    undone = keydeck("jobs", "restore", "1", "--yes", "--json", *agreed)
    assert (undone.exit_code, undone.json["state"]) == (0, "done"), undone.stderr
    if cell.audited:
        estate.run("DROP TRIGGER audit ON gh_connection")
        (unread,) = keydeck("status", "--json").json["coverage"]["reasons"]
        estate.run(unread.partition("Needed: ")[2])

    runbook = tmp_path / "runbooks" / "own.toml"
    runbook.parent.mkdir()
    runbook.write_text(OWN_RUNBOOK, "utf-8")
    monkeypatch.setenv("KEYDECK_RUNBOOKS", str(runbook.parent))
    assert keydeck("incident", "start", "own", "--key", key, "--title", WORDS).exit_code == 0
    assert keydeck("incident", "note", "1", WORDS).exit_code == 0
    assert keydeck("incident", "show", "1").exit_code == 1

    engine = platform_engine(sandbox.platform_database_url)

    def switch(new: str) -> None:
        monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", new)
        monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{old},{key}")
        connect(engine, sandbox, new, NEW_TOKEN)

    sandbox.client("kms", access_keys.PLATFORM).decrypt(CiphertextBlob=made, KeyId=key)
    answers = {"leaked": "no", "retention": "delete"}
    worked_through("key-compromise", key, answers, switch=switch, unproved=UNPROVED)
    engine.dispose()
    assert keydeck("journal", "verify").exit_code == 0
    assert keydeck("evidence", "record", "--yes").exit_code == 0
    with closing(Container(load().settings)) as services:
        asked = services.approvals.request("rewrap", WORDS, "digest", {"words": WORDS})
        assert services.approvals.request("rewrap", WORDS, "digest", {"words": WORDS}) == asked
    assert keydeck("journal", "verify").exit_code == 0


OWN_RUNBOOK = """
id = "own"
version = 1
title = "Ours… 😀"
subject = "key"
summary = "…"

[[phase]]
kind = "detect"
title = "→"

[[phase.step]]
id = "look"
title = "日本"
purpose = "…"
who = "Ana"
do = ["Look…"]
on_failure = "…"
budget = "5 min"
"""
