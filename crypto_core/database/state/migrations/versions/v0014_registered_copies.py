"""Copies of the database that operators have scanned and registered: dumps, backups, exports.

Whoever works on jobs may register copies; who reads jobs reads these. What default privileges give to others
ends.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.job'::regclass);
    holder record;
BEGIN
    IF pg_get_userbyid(owner) <> current_user THEN
        EXECUTE 'ALTER TABLE keydeck.registered_copy OWNER TO ' || quote_ident(pg_get_userbyid(owner));
    END IF;
    FOR holder IN
        SELECT
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
            string_agg(DISTINCT g.privilege_type, ', ') FILTER (WHERE g.wanted) AS privileges
        FROM (
            SELECT t.grantee, t.privilege_type,
                c.relname = 'job' AND t.privilege_type IN ('SELECT', 'INSERT', 'UPDATE') AS wanted
            FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid IN ('keydeck.job'::regclass, 'keydeck.registered_copy'::regclass)
        ) g
        WHERE g.grantee <> owner GROUP BY g.grantee
    LOOP
        EXECUTE 'REVOKE ALL ON keydeck.registered_copy FROM ' || holder.name || ' CASCADE';
        IF holder.privileges IS NOT NULL THEN
            EXECUTE 'GRANT ' || holder.privileges || ' ON keydeck.registered_copy TO ' || holder.name;
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create the table, with the privileges that there are on jobs."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "registered_copy",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False, server_default=""),
        sa.Column("holds", JSONB, nullable=False),
        sa.Column("scanned_at", moment, nullable=False),
        sa.Column("added_at", moment, nullable=False),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.Column("taken_at", moment),
        sa.Column("kept_until", moment),
        sa.Column("removed_at", moment),
        sa.Column("removed_by", sa.Text),
        schema="keydeck",
    )
    op.create_index(
        "ix_registered_copy_name",
        "registered_copy",
        ["name"],
        unique=True,
        schema="keydeck",
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.execute(_GRANTS)
