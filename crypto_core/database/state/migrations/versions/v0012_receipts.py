"""Receipts of KMS calls, in a partition for each day, and the function that alone writes them.

It notes who logged in and when, which no writer can choose. Whether a day's partition is there by now is read
from pg_class: to_regclass may still remember that it wasn't. A time that is a week old or a day ahead is no
receipt's: such rows are left out, and the number of written ones is returned. Who may append to the journal
may write receipts; who reads the journal reads them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_WRITE = """
CREATE FUNCTION keydeck.write_receipts(receipts jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' SET timezone = 'UTC' AS $$
DECLARE
    day date;
    part text;
    holder record;
    written integer;
BEGIN
    IF jsonb_typeof(receipts) <> 'array' OR jsonb_array_length(receipts) > 2000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'receipts are a JSON array of at most 2000';
    END IF;
    FOR day IN
        SELECT DISTINCT (r.value ->> 'at')::timestamptz::date FROM jsonb_array_elements(receipts) r
        WHERE (r.value ->> 'at')::timestamptz
            BETWEEN now() - interval '7 days' AND now() + interval '1 day'
    LOOP
        part := 'receipt_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('keydeck.' || part) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('keydeck.receipt'));
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class c WHERE c.relname = part AND c.relnamespace = 'keydeck'::regnamespace
        );
        EXECUTE 'CREATE TABLE keydeck.' || part || ' (LIKE keydeck.receipt INCLUDING ALL)';
        FOR holder IN
            SELECT CASE t.grantee
                WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(t.grantee)) END AS name
            FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid = to_regclass('keydeck.' || part) AND t.grantee <> c.relowner
        LOOP
            EXECUTE 'REVOKE ALL ON keydeck.' || part || ' FROM ' || holder.name || ' CASCADE';
        END LOOP;
        EXECUTE 'ALTER TABLE keydeck.receipt ATTACH PARTITION keydeck.' || part || ' FOR VALUES FROM ('
            || quote_literal(day) || ') TO (' || quote_literal(day + 1) || ')';
    END LOOP;
    INSERT INTO keydeck.receipt
        (request_id, operation, at, token, stored_sha256, host, pid, service, unanswered, lost, since,
        written_at, written_by)
    SELECT left(coalesce(r.value ->> 'request_id', ''), 128),
        left(coalesce(r.value ->> 'operation', ''), 32),
        (r.value ->> 'at')::timestamptz, left(r.value ->> 'token', 1000),
        left(r.value ->> 'stored_sha256', 64),
        left(coalesce(r.value ->> 'host', ''), 255), coalesce((r.value ->> 'pid')::integer, 0),
        left(coalesce(r.value ->> 'service', ''), 255), coalesce((r.value ->> 'unanswered')::integer, 0),
        coalesce((r.value ->> 'receipts_lost')::integer, 0), (r.value ->> 'since')::timestamptz,
        clock_timestamp(), session_user
    FROM jsonb_array_elements(receipts) r
    WHERE (r.value ->> 'at')::timestamptz BETWEEN now() - interval '7 days' AND now() + interval '1 day';
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$
"""

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.journal'::regclass);
    holder record;
BEGIN
    IF pg_get_userbyid(owner) <> current_user THEN
        EXECUTE 'ALTER TABLE keydeck.receipt OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        EXECUTE 'ALTER FUNCTION keydeck.write_receipts OWNER TO ' || quote_ident(pg_get_userbyid(owner));
    END IF;
    REVOKE ALL ON FUNCTION keydeck.write_receipts FROM PUBLIC;
    FOR holder IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
            bool_or(g.reads) AS reads, bool_or(g.appends) AND g.grantee <> 0 AS appends
        FROM (
            SELECT t.grantee, c.relname = 'journal' AND t.privilege_type = 'SELECT' AS reads, false AS appends
            FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid IN ('keydeck.journal'::regclass, 'keydeck.receipt'::regclass)
            UNION ALL
            SELECT t.grantee, false, true FROM pg_proc p, aclexplode(p.proacl) t
            WHERE p.oid = 'keydeck.append_to_journal'::regproc AND t.privilege_type = 'EXECUTE'
        ) g
        WHERE g.grantee <> owner GROUP BY g.grantee
    LOOP
        EXECUTE 'REVOKE ALL ON keydeck.receipt FROM ' || holder.name || ' CASCADE';
        IF holder.reads THEN
            EXECUTE 'GRANT SELECT ON keydeck.receipt TO ' || holder.name;
        END IF;
        IF holder.appends THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION keydeck.write_receipts TO ' || holder.name;
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create table and function, with the privileges that there are on the journal."""
    op.create_table(
        "receipt",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("stored_sha256", sa.Text),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("unanswered", sa.Integer, nullable=False),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True)),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("written_by", sa.Text, nullable=False),
        schema="keydeck",
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("ix_receipt_written", "receipt", ["written_at"], schema="keydeck")
    op.execute(_WRITE)
    op.execute(_GRANTS)
