"""The functions that alone write backups and forget them, and the transaction that each was written in.

Who backs up a token also runs the code that others attached to its table, so backups are read back here, and
each has the number of its top transaction: what else was written in that is found. Who could insert may call
the first, who could update the second too, which makes the journal's entry in the same transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_SAFE = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'"
_BACK_UP = f"""
CREATE FUNCTION keydeck.back_up_envelopes(
    run uuid, verb text, columns text[], rows text[], envelopes text[], keys text[], materials text[],
    digests bytea[], OUT ids bigint[], OUT digest bytea
) LANGUAGE plpgsql {_SAFE} AS $$
#variable_conflict use_variable
DECLARE
    same bigint;
BEGIN
    WITH made AS (
        INSERT INTO keydeck.envelope_backup AS b (run_id, verb, replaced_at, transaction_id, token_column,
            row_id, envelope, key_arn, key_material_id, written_digest)
        SELECT run, verb, statement_timestamp(), txid_current(), g.*
        FROM unnest(columns, rows, envelopes, keys, materials, digests) AS g
        RETURNING b.id
    ) SELECT array_agg(m.id) INTO ids FROM made m;
    SELECT count(*), sha256(string_agg(
        convert_to(b.envelope, 'UTF8') || coalesce(b.written_digest, ''), ''::bytea ORDER BY b.id
    )) INTO same, digest
    FROM keydeck.envelope_backup b JOIN unnest(columns, rows, envelopes, digests)
        AS g(token_column, row_id, envelope, written_digest)
        ON b.token_column = g.token_column AND b.row_id = g.row_id AND b.envelope = g.envelope
        AND b.written_digest IS NOT DISTINCT FROM g.written_digest
    WHERE b.id = ANY (ids) AND b.run_id = run AND b.transaction_id = txid_current();
    IF same IS DISTINCT FROM cardinality(envelopes)::bigint THEN
        RAISE EXCEPTION USING ERRCODE = 'triggered_data_change_violation',
            MESSAGE = 'keydeck.envelope_backup stores other values than it is given: look at its triggers';
    END IF;
END
$$
"""  # noqa: S608  # nothing in it is foreign
_PURGE = f"""
CREATE FUNCTION keydeck.purge_envelopes(
    actor text, host text, run uuid, before timestamptz, most integer
) RETURNS bigint LANGUAGE plpgsql {_SAFE} AS $$
#variable_conflict use_variable
DECLARE
    gone record;
BEGIN
    WITH chosen AS (
        SELECT b.id FROM keydeck.envelope_backup b
        WHERE b.envelope IS NOT NULL AND (run IS NULL OR b.run_id = run)
            AND (before IS NULL OR b.replaced_at < before)
        ORDER BY b.id LIMIT most FOR UPDATE
    ), purged AS (
        UPDATE keydeck.envelope_backup b SET envelope = NULL FROM chosen s WHERE b.id = s.id RETURNING b.id
    ) SELECT count(*) AS number, min(p.id) AS first, max(p.id) AS last INTO gone FROM purged p;
    IF gone.number > 0 THEN
        PERFORM keydeck.make_entry(
            actor, host, 'envelopes purged', gone.number || ' replaced envelopes', 'done',
            jsonb_build_object(
                'purged', gone.number, 'first', gone.first, 'last', gone.last, 'of_run', run, 'before', before
            )::text,
            true
        );
    END IF;
    RETURN gone.number;
END
$$
"""  # noqa: S608  # nothing in it is foreign
_CHECKED = """
CREATE OR REPLACE FUNCTION keydeck.checked_actions() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT ARRAY[
    'approvals request', 'approvals approve', 'approvals deny', 'approvals use', 'envelopes purged',
    'evidence purge', 'evidence record', 'incident evidence', 'journal checkpoint', 'tripwire list'
]
$$
"""
_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.envelope_backup'::regclass);
    made text;
    holder record;
BEGIN
    FOREACH made IN ARRAY ARRAY['back_up_envelopes', 'purge_envelopes'] LOOP
        IF pg_get_userbyid(owner) <> current_user THEN
            EXECUTE 'ALTER FUNCTION keydeck.' || made || ' OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        END IF;
        EXECUTE 'REVOKE ALL ON FUNCTION keydeck.' || made || ' FROM PUBLIC';
    END LOOP;
    FOR holder IN
        SELECT CASE t.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(t.grantee)) END AS name,
            t.grantee <> 0 AND bool_or(t.privilege_type = 'INSERT') AS backs_up,
            t.grantee <> 0 AND bool_or(t.privilege_type = 'UPDATE') AS purges
        FROM pg_class c, aclexplode(c.relacl) t
        WHERE c.oid = 'keydeck.envelope_backup'::regclass AND t.grantee <> owner GROUP BY t.grantee
    LOOP
        EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'
            || ' ON keydeck.envelope_backup FROM ' || holder.name || ' CASCADE';
        IF holder.backs_up THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION keydeck.back_up_envelopes TO ' || holder.name;
        END IF;
        IF holder.purges THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION keydeck.purge_envelopes TO ' || holder.name;
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create functions and indexes, and let those call them who could write, which nobody may any more."""
    op.add_column("envelope_backup", sa.Column("transaction_id", sa.BigInteger), schema="keydeck")
    for table in ("journal", "envelope_backup"):
        op.create_index(f"ix_{table}_transaction", table, ["transaction_id"], schema="keydeck")
    for statement in (_BACK_UP, _PURGE, _CHECKED, _GRANTS):
        op.execute(statement)
