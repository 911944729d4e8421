"""The sealed list of tripwires: one row, which says nothing of itself.

Whoever works on jobs may write it; who reads jobs reads it. What default privileges give to others ends.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.job'::regclass);
    holder record;
BEGIN
    IF pg_get_userbyid(owner) <> current_user THEN
        EXECUTE 'ALTER TABLE keydeck.tripwire OWNER TO ' || quote_ident(pg_get_userbyid(owner));
    END IF;
    FOR holder IN
        SELECT
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
            string_agg(DISTINCT g.privilege_type, ', ') FILTER (WHERE g.wanted) AS privileges
        FROM (
            SELECT t.grantee, t.privilege_type,
                c.relname = 'job' AND t.privilege_type IN ('SELECT', 'INSERT', 'UPDATE') AS wanted
            FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid IN ('keydeck.job'::regclass, 'keydeck.tripwire'::regclass)
        ) g
        WHERE g.grantee <> owner GROUP BY g.grantee
    LOOP
        EXECUTE 'REVOKE ALL ON keydeck.tripwire FROM ' || holder.name || ' CASCADE';
        IF holder.privileges IS NOT NULL THEN
            EXECUTE 'GRANT ' || holder.privileges || ' ON keydeck.tripwire TO ' || holder.name;
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create the table, with the privileges that there are on jobs."""
    op.create_table(
        "tripwire",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("entry", sa.BigInteger, nullable=False),
        schema="keydeck",
    )
    op.execute(_GRANTS)
