"""The index of tokens: fingerprints of what envelopes hold, and the key of these, as KMS wrapped it.

Who may back up envelopes may fill the index, and drop it; who reads backups reads it. What default privileges
give to others ends.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.envelope_backup'::regclass);
    made text;
    holder record;
BEGIN
    FOREACH made IN ARRAY ARRAY['fingerprint', 'fingerprint_key'] LOOP
        IF pg_get_userbyid(owner) <> current_user THEN
            EXECUTE 'ALTER TABLE keydeck.' || made || ' OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        END IF;
        FOR holder IN
            SELECT
                CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
                bool_or(g.backups AND g.privilege_type = 'SELECT') AS reads,
                bool_or(g.backups AND g.privilege_type = 'INSERT') AS writes
            FROM (
                SELECT t.grantee, t.privilege_type, c.relname = 'envelope_backup' AS backups
                FROM pg_class c, aclexplode(c.relacl) t
                WHERE c.oid IN ('keydeck.envelope_backup'::regclass, ('keydeck.' || made)::regclass)
            ) g
            WHERE g.grantee <> owner GROUP BY g.grantee
        LOOP
            EXECUTE 'REVOKE ALL ON keydeck.' || made || ' FROM ' || holder.name || ' CASCADE';
            IF holder.reads THEN
                EXECUTE 'GRANT SELECT ON keydeck.' || made || ' TO ' || holder.name;
            END IF;
            IF holder.writes THEN
                EXECUTE 'GRANT INSERT, DELETE ON keydeck.' || made || ' TO ' || holder.name;
            END IF;
        END LOOP;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create the tables, with privileges after those that there are on backups."""
    op.create_table(
        "fingerprint_key",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("encrypted_key", sa.LargeBinary, nullable=False),
        sa.Column("key_arn", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        schema="keydeck",
    )
    op.create_table(
        "fingerprint",
        sa.Column("token_column", sa.Text, primary_key=True),
        sa.Column("row_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("key_id", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("bond", sa.LargeBinary, nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        schema="keydeck",
    )
    op.create_index("ix_fingerprint_fingerprint", "fingerprint", ["fingerprint"], schema="keydeck")
    op.execute(_GRANTS)
