"""The function that alone makes entries of the journal, the row that it counts by, and who may call it.

What an entry's digest covers is in state/journal_entry. Of a journal that holds entries already, the row
begins at the last one with room behind it: a number near bigint's end was never given by Keydeck.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_BEGIN = """
INSERT INTO keydeck.journal_end (id, seq, digest, at, beyond)
SELECT 1, coalesce(max(j.seq), 0),
    coalesce(
        (SELECT k.digest FROM keydeck.journal k WHERE k.seq = max(j.seq)), decode(repeat('00', 32), 'hex')
    ),
    clock_timestamp(), NULL
FROM keydeck.journal j WHERE j.seq BETWEEN 1 AND 4611686018427387903
ON CONFLICT DO NOTHING
"""

# session_user is who logged in, whatever SET ROLE and this function make of current_user.
_APPEND = f"""
CREATE FUNCTION keydeck.append_to_journal(
    actor text, host text, action text, subject text, outcome text, detail text
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
#variable_conflict use_variable
DECLARE
    database_role text := session_user;
    last record;
    newest bigint;
    fields text[];
    entries text[];
    number bigint;
    chain bytea;
    made bytea;
    moment timestamptz;
BEGIN
    IF action = 'journal break' THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'only keydeck.append_to_journal itself records a break of the journal';
    END IF;
    LOOP
        SELECT e.seq, e.digest, e.at, e.beyond INTO last FROM keydeck.journal_end e FOR UPDATE;
        EXIT WHEN last.seq BETWEEN 0 AND 9000000000000000000;
        DELETE FROM keydeck.journal_end;
        {_BEGIN.strip()};
    END LOOP;
    entries := ARRAY[ARRAY[actor, host, action, subject, outcome, detail]];
    SELECT coalesce(max(j.seq), 0) INTO newest FROM keydeck.journal j;
    IF newest <> last.seq AND newest IS DISTINCT FROM last.beyond THEN
        last.beyond := newest;
        entries := ARRAY[ARRAY[
            'keydeck.append_to_journal', '', 'journal break', 'journal', 'failed',
            json_build_object('written_last', last.seq, 'found_last', last.beyond)::text
        ]] || entries;
    END IF;
    number := last.seq;
    chain := last.digest;
    moment := greatest(clock_timestamp(), last.at);
    FOREACH fields SLICE 1 IN ARRAY entries LOOP
        LOOP
            number := number + 1;
            EXIT WHEN NOT EXISTS (SELECT FROM keydeck.journal j WHERE j.seq = number);
        END LOOP;
        SELECT sha256(
            chain || string_agg(int8send(octet_length(f.field)) || f.field, ''::bytea ORDER BY f.place)
        ) INTO made FROM (
            SELECT convert_to(u.field, 'UTF8') AS field, u.place FROM unnest(ARRAY[
                'v2', number::text, to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
            ] || fields || database_role) WITH ORDINALITY AS u(field, place)
        ) f;
        INSERT INTO keydeck.journal
            (seq, at, actor, host, action, subject, outcome, detail, previous, digest, database_role)
        VALUES (number, moment, fields[1], fields[2], fields[3], fields[4], fields[5], fields[6],
            chain, made, database_role);
        chain := made;
    END LOOP;
    UPDATE keydeck.journal_end SET seq = number, digest = chain, at = moment, beyond = last.beyond;
    RETURN number;
END
$$
"""  # noqa: S608  # nothing in it is foreign

# The owner is no limit to itself; a program that does not know the function writes entries without a role.
_REFUSE = """
CREATE FUNCTION keydeck.journal_is_written_by_its_function() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.database_role IS NULL OR current_user <> (
        SELECT pg_get_userbyid(p.proowner) FROM pg_proc p
        WHERE p.oid = to_regprocedure('keydeck.append_to_journal(text, text, text, text, text, text)')
    ) THEN
        RAISE EXCEPTION 'keydeck.journal is written by keydeck.append_to_journal alone'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER written_by_its_function BEFORE INSERT ON keydeck.journal
FOR EACH ROW EXECUTE FUNCTION keydeck.journal_is_written_by_its_function()
"""

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.journal'::regclass);
    holder record;
BEGIN
    IF pg_get_userbyid(owner) <> current_user THEN
        EXECUTE 'ALTER TABLE keydeck.journal_end OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        EXECUTE 'ALTER FUNCTION keydeck.append_to_journal OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        EXECUTE 'ALTER FUNCTION keydeck.journal_is_written_by_its_function OWNER TO '
            || quote_ident(pg_get_userbyid(owner));
    END IF;
    REVOKE ALL ON keydeck.journal_end FROM PUBLIC;
    REVOKE ALL ON FUNCTION keydeck.append_to_journal FROM PUBLIC;
    FOR holder IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
            bool_or(g.was AND g.privilege_type = 'SELECT') AS reads,
            g.grantee <> 0 AND bool_or(g.was AND g.privilege_type = 'INSERT') AS appends
        FROM (
            SELECT t.grantee, t.privilege_type, c.relname = 'journal' AS was
            FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid IN ('keydeck.journal'::regclass, 'keydeck.journal_end'::regclass)
            UNION ALL
            SELECT t.grantee, t.privilege_type, true FROM pg_attribute a, aclexplode(a.attacl) t
            WHERE a.attrelid = 'keydeck.journal'::regclass
        ) g
        WHERE g.grantee <> owner GROUP BY g.grantee
    LOOP
        EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'
            || ' ON keydeck.journal, keydeck.journal_end FROM ' || holder.name || ' CASCADE';
        IF holder.reads THEN
            EXECUTE 'GRANT SELECT ON keydeck.journal_end TO ' || holder.name;
        END IF;
        IF holder.appends THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION keydeck.append_to_journal TO ' || holder.name;
        END IF;
    END LOOP;
END
$$
"""

_A_DATE = "at < '9999-01-01+00'"
"""Later ones are none that an entry may have: it has its predecessor's at least."""


def upgrade() -> None:
    """Create row and function, and let those call it who could insert, which nobody may any more."""
    op.add_column("journal", sa.Column("database_role", sa.Text), schema="keydeck")
    op.create_table(
        "journal_end",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), sa.CheckConstraint(_A_DATE), nullable=False),
        sa.Column("beyond", sa.BigInteger),
        schema="keydeck",
    )
    for statement in (_BEGIN, _APPEND, _REFUSE, _TRIGGER, _GRANTS):
        op.execute(statement)
