"""The worst day on ordinary databases, by commands: encodings, collations, code that refuses a write."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from console.container import Container
from console.sandbox import access_keys, postgres
from console.sandbox.platform import platform_engine
from console.sandbox.postgres_files import PostgresFiles
from console.sandbox.sandbox import Sandbox
from console.settings import load
from tests.console.incident_stage import connect
from tests.console.test_incident_key_flows import NEW_TOKEN, UNPROVED, keydeck, mend, worked_through

WORDS = "Schlüssel… — “日本” 😀 \\u2026"
NAMES = {
    "LATIN1": "gh-Zürich",
    "ICU": "gh-Zürich…",
    "SQL_ASCII": "gh-Zürich",
    "EUC_JP": "gh-日本〒",
    "WIN1252": "gh-€…",
}
AUDITED = ("LATIN1", "ICU")
"""Where an audit trigger is attached that the operator's role can't write for."""
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
    (programs / "initdb").write_text(_INITDB.format(bin=server.parent))
    (programs / "postgres").write_text(f'#!/bin/bash\nexec {server} "$@"\n')
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return PostgresFiles(folder)


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What is special about the server of the test's own sandbox."""
    kept = [o for o in postgres._INITDB_OPTIONS if "locale" not in o and "encoding" not in o]
    encoding = "UTF8" if request.param == "ICU" else request.param
    monkeypatch.setattr(postgres, "_INITDB_OPTIONS", (*kept, "--locale=C", f"--encoding={encoding}"))
    with tempfile.TemporaryDirectory() as folder:
        if request.param == "ICU":
            files = system_server(Path(folder))
            monkeypatch.setattr(PostgresFiles, "installed", lambda: files)
        yield request.param


@pytest.mark.slow(100)
@pytest.mark.quick(0, deep=3)
def test_the_worst_day_ends_well_on_any_database(
    kind: str, own_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = NAMES[kind]
    world, key, old = own_sandbox.world, own_sandbox.world.current_key.arn, own_sandbox.world.old_key.arn
    own_sandbox.control.set_lookup_throttle(None)
    monkeypatch.chdir(tmp_path)
    mend(own_sandbox)
    engine = platform_engine(own_sandbox.platform_database_url)
    moved = f"gh_connection.access_token:{name}"
    with engine.begin() as connection:
        ref = next(one for one in world.sealed_under(world.old_key) if one.table == "gh_connection")
        rename = text("UPDATE public.gh_connection SET id = :name, org_id = :name WHERE id = :id")
        connection.execute(rename, {"name": name, "id": ref.row_id})
        if kind == "ICU":
            connection.execute(text(f"SET LOCAL search_path TO public; {IGNORING_CASE}"), {"name": name})
    assert keydeck("discover").exit_code == 0

    assert keydeck("check", "--json").exit_code == 1
    assert moved in {one["reference"] for one in keydeck("connections", "--json").json["connections"]}
    assert "1 of 1 token written" in keydeck("rewrap", moved, "--to", key, "--yes").stdout
    assert keydeck("verify", moved).exit_code == 0
    assert keydeck("inspect", moved).exit_code == 0
    assert keydeck("inspect", moved.replace("gh-", "gh–")).exit_code != 0, "another row than was named"

    job = ("reencrypt", "--from", key, "--to", old, "--job", "--yes", "--except", "*", "--rate", "4")
    if kind in AUDITED:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL search_path TO public; {AUDIT}"))
        job += ("--runs-code", "public.audit")
    command = [sys.executable, "-m", "console", *job]
    log = tmp_path / "job.log"
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as killed:
        while not (shown := keydeck("jobs", "show", "1", "--json")).stdout or shown.json["done"] < 2:
            assert killed.poll() is None, log.read_text()
            time.sleep(0.1)
        killed.send_signal(signal.SIGKILL)
    joined = keydeck("jobs", "join", "1", "--json")
    if kind in AUDITED:
        refused = keydeck("jobs", "show", "1", "--errors", "--json").json["not_written"]
        assert {one["reference"].partition(".")[0] for one in refused} == {"gh_connection"}
        assert joined.json["done"] == joined.json["planned"] - len(refused) > 0
        grant = re.search(r"Needed: (GRANT .*) TO the role", refused[0]["reason"])
        assert grant is not None, refused
        with engine.begin() as connection:
            connection.execute(text(f"{grant[1]} TO operator"))
        assert keydeck("jobs", "retry", "1").exit_code == 0
        joined = keydeck("jobs", "join", "1", "--json")
    assert (joined.exit_code, joined.json["state"], joined.json["remaining"]) == (0, "done", 0), joined.stderr
    agreed = ("--runs-code", "public.audit") if kind in AUDITED else ()
    undone = keydeck("jobs", "restore", "1", "--yes", "--json", *agreed)
    assert (undone.exit_code, undone.json["state"]) == (0, "done"), undone.stderr
    if kind in AUDITED:
        with engine.begin() as connection:
            connection.execute(text("DROP TRIGGER audit ON public.gh_connection"))
        (unread,) = keydeck("status", "--json").json["coverage"]["reasons"]
        with engine.begin() as connection:
            connection.execute(text(unread.partition("Needed: ")[2]))

    runbook = tmp_path / "runbooks" / "own.toml"
    runbook.parent.mkdir()
    runbook.write_text(OWN_RUNBOOK, "utf-8")
    monkeypatch.setenv("KEYDECK_RUNBOOKS", str(runbook.parent))
    assert keydeck("incident", "start", "own", "--key", key, "--title", WORDS).exit_code == 0
    assert keydeck("incident", "note", "1", WORDS).exit_code == 0
    assert keydeck("incident", "show", "1").exit_code == 1

    def switch(new: str) -> None:
        monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", new)
        monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", f"{old},{key}")
        connect(engine, own_sandbox, new, NEW_TOKEN)

    made = own_sandbox.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256")
    own_sandbox.client("kms", access_keys.PLATFORM).decrypt(CiphertextBlob=made["CiphertextBlob"], KeyId=key)
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
