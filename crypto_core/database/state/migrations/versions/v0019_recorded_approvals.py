"""Requests for approval are written by the function alone that records them, and used by who asked.

Decisions are proved by calls of KMS in CloudTrail, so their signatures go. The entry of a request, a decision
or a use is made in the transaction that writes its row, of what the row holds.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

# NULL where the request is not there as it was read, or was decided or used meanwhile.
_RECORD = """
CREATE FUNCTION keydeck.record_approval(actor text, host text, action text, request jsonb, detail jsonb)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
#variable_conflict use_variable
DECLARE
    made keydeck.approval := jsonb_populate_record(NULL::keydeck.approval, request);
    asked keydeck.approval;
BEGIN
    LOCK TABLE keydeck.approval IN SHARE ROW EXCLUSIVE MODE;
    IF action = 'approvals request' THEN
        IF NOT coalesce(
            made.request_digest ~ '^[0-9a-f]{64}$' AND made.requested_by <> ''
            AND made.database_id = (SELECT e.database_id::text FROM keydeck.journal_end e)
            AND isfinite(made.requested_at) AND isfinite(made.expires_at), false
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = 'this is no request for approval in this database';
        END IF;
        IF (request ->> 'known')::bigint IS DISTINCT FROM (
            SELECT count(*) FROM keydeck.approval a
            WHERE a.digest = made.digest AND a.action = made.action AND a.requested_by = made.requested_by
                AND a.login IN ('', session_user) AND a.expires_at > made.requested_at
                AND a.decision <> 'used' AND a.request_digest <> ''
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                MESSAGE = 'another request for this was made meanwhile';
        END IF;
        made.decision := 'pending';
        made.decided_by := '';
        made.decided_at := NULL;
        made.decided_parts := NULL;
        made.login := session_user;
        INSERT INTO keydeck.approval SELECT made.*;
        asked := made;
    ELSE
        UPDATE keydeck.approval a SET
            decision = CASE action WHEN 'approvals approve' THEN 'approved'
                WHEN 'approvals deny' THEN 'denied' ELSE 'used' END,
            decided_by = CASE action WHEN 'approvals use' THEN a.decided_by ELSE made.decided_by END,
            decided_at = CASE action WHEN 'approvals use' THEN a.decided_at ELSE made.decided_at END,
            decided_parts = CASE action WHEN 'approvals use' THEN a.decided_parts ELSE made.decided_parts END
        WHERE a.id = made.id AND a.request_digest = made.request_digest AND CASE action
            WHEN 'approvals approve' THEN a.decision = 'pending'
            WHEN 'approvals deny' THEN a.decision NOT IN ('denied', 'used')
            WHEN 'approvals use' THEN a.decision = 'approved' AND a.login IN ('', session_user)
            ELSE false END
        RETURNING * INTO asked;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN keydeck.make_entry(
        actor, host, action, asked.summary, 'done',
        (detail || jsonb_build_object(
            'request', asked.id, 'action', asked.action, 'plan', asked.digest,
            'request_digest', asked.request_digest, 'database', asked.database,
            'database_id', asked.database_id, 'requested_by', asked.requested_by,
            'until', asked.expires_at, 'decided_by', asked.decided_by
        ))::text,
        true
    );
END
$$
"""

# Who could call the former one may call this one, and only read the table.
_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.journal'::regclass);
    former regprocedure := 'keydeck.record_approval(text, text, text, text, text, text)';
    made regprocedure := 'keydeck.record_approval(text, text, text, jsonb, jsonb)';
    holder record;
BEGIN
    IF pg_get_userbyid(owner) <> current_user THEN
        EXECUTE 'ALTER FUNCTION ' || made || ' OWNER TO ' || quote_ident(pg_get_userbyid(owner));
    END IF;
    EXECUTE 'REVOKE ALL ON FUNCTION ' || made || ' FROM PUBLIC';
    FOR holder IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
            bool_or(g.privilege_type = 'SELECT') AS reads,
            bool_or(g.privilege_type = 'EXECUTE') AND g.grantee <> 0 AS calls
        FROM (
            SELECT t.grantee, t.privilege_type FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid = 'keydeck.approval'::regclass
            UNION ALL
            SELECT t.grantee, t.privilege_type FROM pg_proc p, aclexplode(p.proacl) t WHERE p.oid = former
        ) g
        WHERE g.grantee <> owner GROUP BY g.grantee
    LOOP
        EXECUTE 'REVOKE ALL ON keydeck.approval FROM ' || holder.name || ' CASCADE';
        IF holder.reads THEN
            EXECUTE 'GRANT SELECT ON keydeck.approval TO ' || holder.name;
        END IF;
        IF holder.calls THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || made || ' TO ' || holder.name;
        END IF;
    END LOOP;
    EXECUTE 'DROP FUNCTION ' || former;
END
$$
"""


def upgrade() -> None:
    """Change the table, and let the function write it alone."""
    for name in ("key_arn", "algorithm", "signature"):
        op.drop_column("approval", name, schema="keydeck")
    login = sa.Column("login", sa.Text, nullable=False, server_default="")
    op.add_column("approval", login, schema="keydeck")
    op.execute(_RECORD)
    op.execute(_GRANTS)
