"""Duties that one host at a time does, and the notices that they send.

Whoever works on jobs may do them; who reads jobs reads these. What default privileges give to others ends.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.job'::regclass);
    made text;
    holder record;
BEGIN
    FOREACH made IN ARRAY ARRAY['duty', 'notice'] LOOP
        IF pg_get_userbyid(owner) <> current_user THEN
            EXECUTE 'ALTER TABLE keydeck.' || made || ' OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        END IF;
        FOR holder IN
            SELECT
                CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
                string_agg(DISTINCT g.privilege_type, ', ') FILTER (WHERE g.wanted) AS privileges
            FROM (
                SELECT t.grantee, t.privilege_type,
                    c.relname = 'job' AND t.privilege_type IN ('SELECT', 'INSERT', 'UPDATE') AS wanted
                FROM pg_class c, aclexplode(c.relacl) t
                WHERE c.oid IN ('keydeck.job'::regclass, ('keydeck.' || made)::regclass)
            ) g
            WHERE g.grantee <> owner GROUP BY g.grantee
        LOOP
            EXECUTE 'REVOKE ALL ON keydeck.' || made || ' FROM ' || holder.name || ' CASCADE';
            IF holder.privileges IS NOT NULL THEN
                EXECUTE 'GRANT ' || holder.privileges || ' ON keydeck.' || made || ' TO ' || holder.name;
            END IF;
        END LOOP;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create the tables, with the privileges that there are on jobs."""
    op.create_table(
        "duty",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("token", sa.Uuid, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", JSONB, nullable=False, server_default="{}"),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        schema="keydeck",
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("told", JSONB, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("trouble", sa.Text, nullable=False, server_default=""),
        sa.UniqueConstraint("digest", "receiver"),
        schema="keydeck",
    )
    op.create_index(
        "ix_notice_waiting",
        "notice",
        ["receiver", "id"],
        schema="keydeck",
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.execute(_GRANTS)
