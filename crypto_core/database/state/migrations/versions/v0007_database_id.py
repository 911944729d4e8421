"""A random id of the database, in every entry of the journal from now on, and in requests for approval.

PostgreSQL makes the id. Entries that are there already have none; their digests stay as they are.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_BEGIN = """
INSERT INTO keydeck.journal_end (id, seq, digest, at, beyond, database_id)
SELECT 1, coalesce(max(j.seq), 0),
    coalesce(
        (SELECT k.digest FROM keydeck.journal k WHERE k.seq = max(j.seq)), decode(repeat('00', 32), 'hex')
    ),
    clock_timestamp(), NULL,
    coalesce((SELECT k.database_id FROM keydeck.journal k WHERE k.seq = max(j.seq)), gen_random_uuid())
FROM keydeck.journal j WHERE j.seq BETWEEN 1 AND 4611686018427387903
ON CONFLICT DO NOTHING
"""

# session_user is who logged in, whatever SET ROLE and this function make of current_user.
_APPEND = f"""
CREATE OR REPLACE FUNCTION keydeck.append_to_journal(
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
        SELECT e.seq, e.digest, e.at, e.beyond, e.database_id INTO last FROM keydeck.journal_end e FOR UPDATE;
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
                'v3', last.database_id::text, number::text,
                to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
            ] || fields || database_role) WITH ORDINALITY AS u(field, place)
        ) f;
        INSERT INTO keydeck.journal (seq, at, actor, host, action, subject, outcome, detail, previous, digest,
            database_role, database_id)
        VALUES (number, moment, fields[1], fields[2], fields[3], fields[4], fields[5], fields[6],
            chain, made, database_role, last.database_id);
        chain := made;
    END LOOP;
    UPDATE keydeck.journal_end SET seq = number, digest = chain, at = moment, beyond = last.beyond;
    RETURN number;
END
$$
"""  # noqa: S608  # nothing in it is foreign


def upgrade() -> None:
    """Make the id, and have each further entry hold it."""
    op.add_column("journal", sa.Column("database_id", sa.Uuid), schema="keydeck")
    op.add_column(
        "journal_end",
        sa.Column("database_id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        schema="keydeck",
    )
    op.execute(_APPEND)
    for table in ("journal_checkpoint", "approval"):
        column = sa.Column("database_id", sa.Text, nullable=False, server_default="")
        op.add_column(table, column, schema="keydeck")
