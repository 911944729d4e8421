"""Leases of incidents' steps, for those who may work on incidents.

Who runs a step's action was a lock of a session's until now. What default privileges give to others ends.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.incident'::regclass);
    holder record;
BEGIN
    IF pg_get_userbyid(owner) <> current_user THEN
        EXECUTE 'ALTER TABLE keydeck.incident_lease OWNER TO ' || quote_ident(pg_get_userbyid(owner));
    END IF;
    FOR holder IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
            string_agg(DISTINCT g.privilege_type, ', ') FILTER (WHERE g.wanted) AS privileges
        FROM (
            SELECT t.grantee, t.privilege_type,
                c.relname = 'incident_step' AND t.privilege_type IN ('SELECT', 'INSERT', 'UPDATE') AS wanted
            FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid IN ('keydeck.incident_step'::regclass, 'keydeck.incident_lease'::regclass)
        ) g
        WHERE g.grantee <> owner GROUP BY g.grantee
    LOOP
        EXECUTE 'REVOKE ALL ON keydeck.incident_lease FROM ' || holder.name || ' CASCADE';
        IF holder.privileges IS NOT NULL THEN
            EXECUTE 'GRANT ' || holder.privileges || ' ON keydeck.incident_lease TO ' || holder.name;
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create the table, with the privileges that there are on incidents' steps."""
    op.create_table(
        "incident_lease",
        sa.Column("incident_id", sa.BigInteger, sa.ForeignKey("keydeck.incident.id"), primary_key=True),
        sa.Column("step_id", sa.Text, primary_key=True),
        sa.Column("token", sa.Uuid, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        schema="keydeck",
    )
    op.execute(_GRANTS)
