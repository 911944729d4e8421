"""A database where every table of Keydeck's holds something, and roles with the documented grants."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.world import World
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.role_grants import role_grants
from crypto_core.database.schema import FUNCTIONS
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.guard.consent import Consent
from crypto_core.guard.operations import KeydeckRole
from crypto_core.incidents.model import IncidentScope
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from tests.adversary.attempts import SUPPRESSING, Column, Deed, other_value, tables_of
from tests.crypto_core.statements import execute, scalar
from tests.left_out import is_left_out

_SECRETS = (
    "INSERT INTO {table} ({columns}, created_at, secret_json) SELECT {values}, now(),"
    " convert_to(json_build_object('bot', access_token)::text, 'UTF8') FROM gh_connection"
    " WHERE id = ANY (:intact) ORDER BY id LIMIT 2"
)
_UNWRITTEN = (
    "INSERT INTO keydeck.job_token"
    " SELECT id, 'gh_connection.access_token', 'x', 'poisoned', 'Damaged.', 1, now() FROM keydeck.job"
)
_LEASE = (
    "INSERT INTO keydeck.incident_lease"
    " SELECT id, 'scope', gen_random_uuid(), 'ana', 'host', now() FROM keydeck.incident"
)
_DUTY = "INSERT INTO keydeck.duty (name, token, holder, until) VALUES ('x', gen_random_uuid(), 'host', now())"
_NOTICE = (
    "INSERT INTO keydeck.notice (digest, receiver, kind, severity, told, made_at, state, next_at, ended_at)"
    " VALUES ('d', 'oncall', 'check', 'low', '{}', now(), 'waiting', now(), now())"
)
_COPY = (
    "INSERT INTO keydeck.registered_copy (name, holds, scanned_at, added_at, added_by)"
    " VALUES ('dump', '{}', now(), now(), 'ana')"
)
_RECORD = (
    "SELECT keydeck.write_evidence_record(json_build_object('number', 1, 'previous', repeat('00', 32),"
    " 'database_id', e.database_id, 'journal', json_build_object('seq', e.seq, 'digest',"
    " encode(e.digest, 'hex')), 'snapshot', json_build_object('taken_at', now()))::text, NULL, 'x', 'ana',"
    " 'host', 0) FROM keydeck.journal_end e"
)
_RECEIPT = """SELECT keydeck.write_receipts(jsonb_build_array(jsonb_build_object('at', now())))"""
_INDEX = (
    "WITH k AS (INSERT INTO keydeck.fingerprint_key (encrypted_key, key_arn, made_at)"
    " VALUES ('k', 'arn', now()) RETURNING id) INSERT INTO keydeck.fingerprint"
    " SELECT 'gh_connection.access_token', 'x', 'd', id, 'f', 'b', now() FROM k"
)
_UNUSED = (
    _UNWRITTEN,
    _LEASE,
    _DUTY,
    _NOTICE,
    _RECEIPT,
    _RECORD,
    _COPY,
    _INDEX,
    _SECRETS.format(table="connectors", columns="user_id, provider, name", values="'u', 'slack', 'n'"),
    _SECRETS.format(
        table="mcp_servers",
        columns="name, url, user_id, org_id, auth_type",
        values="'n', 'https://h.invalid', 'u', 'o', 'bearer'",
    ),
)
"""Rows for tables in which the work below leaves none."""


def work(services: Container, world: World, superuser: Engine) -> None:
    """Do a little of everything, as Keydeck does it."""
    if is_left_out("crypto_core/forensics/"):
        pytest.skip("needs decoys")
    from tests.crypto_core.forensics.tripwires import conftest as decoys

    (ref,) = world.sealed_under(world.old_key)[:1]
    jobs = services.tokens.jobs
    plan = jobs.plan_job(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn, JobOptions())
    assert jobs.join_job(jobs.start_job(plan, Consent.pressed(plan))).done == 1
    number = services.incident_response.incidents.declare(
        "token-compromise", IncidentScope(references=(str(ref),))
    )
    services.incident_response.incidents.capture(number, "scope")
    services.approvals.request("keys disable", "Disable it", "d1", {"key": "alias/x"})
    execute(superuser, f"GRANT INSERT, DELETE ON gh_connection TO {OPERATOR}")
    tripwires = decoys.tripwires_of(services)
    made = services.tripwire_list
    while decoys.added(tripwires).number and len(made.document().tripwires[0].decoys[0].tokens) > 1:
        plan = tripwires.plan_remove(tripwires.states()[0].number)
        tripwires.remove(plan, Consent.by_option(plan))
    execute(superuser, f"REVOKE INSERT, DELETE ON gh_connection FROM {OPERATOR}")
    services.sweeps.take_sweep()
    # What is damaged is known of each token: no change shows it for the first time.
    services.services.work.verify_tokens(Selection(everything=True))
    services.status.take_census()
    intact = [r.row_id for r in world.sealed_under(world.current_key) if r.table == "gh_connection"]
    key = services.kms.call("CreateKey", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"][
        "Arn"
    ]
    signer = KmsSigner(services.kms.call, [str(key)])
    JournalCheckpoints(services.journal, signer, read_only=False).checkpoint()
    with superuser.begin() as connection:
        for statement in _UNUSED:
            connection.execute(text(statement), {"intact": intact} if ":intact" in statement else {})


@contextmanager
def role_of(name: KeydeckRole | None, services: Container, superuser: Engine) -> Iterator[Engine]:
    """Give a database role with what `keydeck grants` prints for it, or a login without any grant."""
    role, password = f"adversary_{uuid4().hex[:8]}", uuid4().hex
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
        for statement in role_grants(services.engine, PLATFORM_TABLES, name, role) if name else ():
            connection.execute(text(statement))
    url = services.engine.url.set(username=role, password=password)
    engine = open_engine(url.render_as_string(hide_password=False))
    try:
        yield engine
    finally:
        engine.dispose()
        execute(superuser, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


@dataclass
class Ground:
    """The database as it was, to which it is put back after each deed."""

    superuser: Engine
    tables: Mapping[str, tuple[Column, ...]] = field(init=False)
    _rows: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.tables = tables_of(self.superuser)
        self._rows = {
            place: str(scalar(self.superuser, f"SELECT coalesce(json_agg(t), '[]')::text FROM {place} t"))
            for place in self.tables
        }

    def empty(self) -> list[str]:
        """The tables that hold nothing to change."""
        return [place for place, rows in self._rows.items() if not json.loads(rows)]

    def put_back(self, place: str) -> None:
        """Give a table the rows and the shape that it had, and the journal its entries."""
        with self.superuser.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            written = [f"keydeck.{table}" for table, made in FUNCTIONS.items() if place in made.split(", ")]
            for one in {place, *written, *_JOURNAL} & self.tables.keys():
                for statement in _SHAPE_BACK:
                    connection.execute(text(statement.format(place=one)))
                columns = ", ".join(c.name for c in self.tables[one] if not c.computed)
                connection.execute(text(f"DELETE FROM {one}"))
                back = (
                    f"INSERT INTO {one} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns}"
                    f" FROM json_populate_recordset(NULL::{one}, CAST(:rows AS json))"
                )
                connection.execute(text(back), {"rows": self._rows[one]})

    def statements(self, deed: Deed, may: frozenset[str], *, each: bool) -> list[tuple[str, str]]:
        """Return statements that do a deed, each with the column that it is about; "" for all of a row.

        `each` column by itself, or all at once but for keys. Empty for what changes no row.
        """
        place = deed.place
        columns = [c for c in self.tables.get(place, ()) if not c.computed]
        if deed.action == "UPDATE":
            changed = [c for c in columns if c.name in may and not c.numbered]
            sets = {c.name: f"{c.name} = {_changed(place, c)}" for c in changed}
            if each:
                return [(f"UPDATE {place} SET {one}", name) for name, one in sets.items()]
            at_once = [sets[c.name] for c in changed if not (c.key_part or c.refers)]
            return [(f"UPDATE {place} SET {', '.join(at_once)}", "")] if at_once else []
        if deed.action == "INSERT":
            new = next((c.name for c in reversed(columns) if c.key_part and not c.refers), "")
            another = {new, *(c.name for c in columns if c.type == "uuid" and not c.refers)}
            names = ", ".join(c.name for c in columns)
            values = ", ".join(other_value(c) if c.name in another else c.name for c in columns)
            first = f"INSERT INTO {place} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {place}"
            return [(f"{first} ORDER BY {new or 1} DESC LIMIT 1", "")]
        done = _CALLS.get(deed.place) if deed.action == "EXECUTE" else _DONE.get(deed.action)
        return [(done.format(place=place), "")] if done else []


_JOURNAL = {"keydeck.journal", "keydeck.journal_end"}
_DONE = {
    "DELETE": "DELETE FROM {place}",
    "TRUNCATE": "TRUNCATE {place}",
    "TRIGGER": SUPPRESSING,
    "RULE": "CREATE RULE adversary AS ON UPDATE TO {place} DO INSTEAD NOTHING",
    "COMMENT": "COMMENT ON TABLE {place} IS 'adversary'",
    "ALTER": "ALTER TABLE {place} ADD COLUMN adversary int",
    "policies": "ALTER TABLE {place} ENABLE ROW LEVEL SECURITY",
}
_CALLS = {
    "keydeck.append_to_journal": "SELECT {place}('ben', 'host', 'keys disable', 'alias/x', 'done', '{{}}')",
    "keydeck.write_receipts": _RECEIPT,
    "keydeck.write_evidence_record": (
        "SELECT keydeck.write_evidence_record(json_build_object('number', r.number + 1, 'previous',"
        " encode(r.digest, 'hex'), 'database_id', e.database_id, 'journal', json_build_object('seq', e.seq,"
        " 'digest', encode(e.digest, 'hex')), 'snapshot', json_build_object('taken_at', now()))::text, NULL,"
        " 'x', 'ana', 'host', 0) FROM keydeck.journal_end e, keydeck.evidence_record r"
    ),
}
_SIGNED = "'key_arn', 'arn:x', 'algorithm', 'ECDSA_SHA_256', 'signature', encode(sha256('x'), 'base64')"
# JSON leaves out the zeros at a moment's end, and the journal's readers take all six digits.
_NOW = "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"
_CALLS |= {
    "keydeck.record_checkpoint": (
        "SELECT keydeck.record_checkpoint('ana', 'host', 'j', json_build_object('seq', j.seq, 'digest',"
        f" encode(j.digest, 'hex'), 'at', {_NOW}, 'database_id', j.database_id, {_SIGNED})::text, '')"
        " FROM keydeck.journal j ORDER BY j.seq DESC LIMIT 1"
    ),
    "keydeck.record_approval": (
        "SELECT keydeck.record_approval('ana', 'host', 'approvals deny', jsonb_build_object('id', a.id,"
        " 'request_digest', a.request_digest, 'decided_by', 'ana'), '{{}}') FROM keydeck.approval a LIMIT 1"
    ),
    "keydeck.record_job": (
        "SELECT keydeck.record_job('ana', 'host', 'reencrypt', 's', 'started', json_build_object('run',"
        " gen_random_uuid(), 'terms', repeat('ab', 32), 'scope', repeat('ab', 32))::text)"
    ),
    "keydeck.keep_evidence": (
        "SELECT keydeck.keep_evidence('ana', 'host', i.id, '', 'events', 't', '[]', now())"
        " FROM keydeck.incident i LIMIT 1"
    ),
    "keydeck.back_up_envelopes": (
        "SELECT keydeck.back_up_envelopes(b.run_id, b.verb, ARRAY[b.token_column], ARRAY[b.row_id],"
        " ARRAY[b.envelope], ARRAY[b.key_arn], ARRAY[b.key_material_id], ARRAY[b.written_digest])"
        " FROM keydeck.envelope_backup b WHERE b.envelope IS NOT NULL LIMIT 1"
    ),
    "keydeck.purge_envelopes": "SELECT {place}('ben', 'host', NULL, NULL, 1)",
    "keydeck.hold_duty": "SELECT {place}('watch', gen_random_uuid(), 'x', 'take', NULL)",
    "keydeck.hold_step": (
        "SELECT {place}(i.id, 'x', gen_random_uuid(), 'x', 'x', 'take') FROM keydeck.incident i"
    ),
    "keydeck.end_holder": "SELECT {place}()",
    "keydeck.write_tripwire_list": (
        "SELECT keydeck.write_tripwire_list('ana', 'host', 's', t.version + 1, t.document, '{{}}')"
        " FROM keydeck.tripwire t"
    ),
}
_SHAPE_BACK = (
    "DROP TRIGGER IF EXISTS adversary ON {place}",
    "DROP RULE IF EXISTS adversary ON {place}",
    "COMMENT ON TABLE {place} IS NULL",
    "ALTER TABLE {place} DROP COLUMN IF EXISTS adversary",
    "ALTER TABLE {place} DISABLE ROW LEVEL SECURITY",
)


def _changed(place: str, column: Column) -> str:
    if place.startswith("keydeck."):
        return other_value(column)
    # The change that shows least: another row's token.
    name = column.name
    differs = f"other.{name}::text <> {place}.{name}::text"
    return f"(SELECT max({name}::text)::{column.type} FROM {place} other WHERE {differs})"


def tried(connection: Connection, statement: str) -> bool:
    """Do something in a part of a transaction; False where a constraint or a trigger doesn't let it."""
    nested = connection.begin_nested()
    try:
        changed = connection.exec_driver_sql(statement, execution_options={"no_parameters": True}).rowcount
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
    except DBAPIError:
        nested.rollback()
        return False
    nested.commit()
    return changed != 0
