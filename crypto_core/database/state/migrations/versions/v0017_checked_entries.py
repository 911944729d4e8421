"""Entries of the journal that decisions rest on, made by functions that check what they record.

`append_to_journal` makes all others, and refuses these actions. Every entry says under its digest whether one
of those functions made it; entries from before say nothing. Each row has the number of its transaction beside
the chain. Checkpoints, evidence of incidents and the list of tripwires are written by these functions alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

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

_FIELDS = "actor text, host text, action text, subject text, outcome text, detail text"
_SAFE = "SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'"
_DEFINED = f"LANGUAGE plpgsql SECURITY DEFINER {_SAFE} AS $$\n#variable_conflict use_variable"

# Nobody may call it but the functions below, whose rights it has then. session_user is who logged in,
# whatever SET ROLE and these functions make of current_user.
_MAKE = f"""
CREATE FUNCTION keydeck.make_entry({_FIELDS}, checked boolean)
RETURNS bigint LANGUAGE plpgsql {_SAFE} AS $$
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
    LOOP
        SELECT e.seq, e.digest, e.at, e.beyond, e.database_id INTO last FROM keydeck.journal_end e FOR UPDATE;
        EXIT WHEN last.seq BETWEEN 0 AND 9000000000000000000;
        DELETE FROM keydeck.journal_end;
        {_BEGIN.strip()};
    END LOOP;
    entries := ARRAY[ARRAY[
        actor, host, action, subject, outcome, detail, CASE WHEN checked THEN 'checked' ELSE 'text' END
    ]];
    SELECT coalesce(max(j.seq), 0) INTO newest FROM keydeck.journal j;
    IF newest <> last.seq AND newest IS DISTINCT FROM last.beyond THEN
        last.beyond := newest;
        entries := ARRAY[ARRAY[
            'keydeck.append_to_journal', '', 'journal break', 'journal', 'failed',
            json_build_object('written_last', last.seq, 'found_last', last.beyond)::text, 'checked'
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
                'v4', last.database_id::text, number::text,
                to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
            ] || fields || database_role) WITH ORDINALITY AS u(field, place)
        ) f;
        INSERT INTO keydeck.journal (seq, at, actor, host, action, subject, outcome, detail, previous, digest,
            database_role, database_id, checked, transaction_id)
        VALUES (number, moment, fields[1], fields[2], fields[3], fields[4], fields[5], fields[6],
            chain, made, database_role, last.database_id, fields[7] = 'checked', txid_current());
        chain := made;
    END LOOP;
    UPDATE keydeck.journal_end SET seq = number, digest = chain, at = moment, beyond = last.beyond;
    RETURN number;
END
$$
"""  # noqa: S608  # nothing in it is foreign

# What later functions check comes into this list with them.
_CHECKED = """
CREATE FUNCTION keydeck.checked_actions() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT ARRAY[
    'approvals request', 'approvals approve', 'approvals deny', 'approvals use',
    'evidence purge', 'evidence record', 'incident evidence', 'journal checkpoint', 'tripwire list'
]
$$
"""

_APPEND = f"""
CREATE OR REPLACE FUNCTION keydeck.append_to_journal({_FIELDS}) RETURNS bigint {_DEFINED}
BEGIN
    IF action = 'journal break' THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'only keydeck.append_to_journal itself records a break of the journal';
    END IF;
    IF outcome = 'done' AND action = ANY (keydeck.checked_actions()) THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'only the function that checks it records ' || quote_literal(action);
    END IF;
    RETURN keydeck.make_entry(actor, host, action, subject, outcome, detail, false);
END
$$
"""

_CHECKPOINT = f"""
CREATE FUNCTION keydeck.record_checkpoint(
    actor text, host text, subject text, document text, broken text
) RETURNS bigint {_DEFINED}
DECLARE
    told jsonb := document::jsonb;
    signature bytea := decode(told ->> 'signature', 'base64');
BEGIN
    IF NOT EXISTS (
        SELECT FROM keydeck.journal j, keydeck.journal_end e
        WHERE j.seq = (told ->> 'seq')::bigint AND encode(j.digest, 'hex') = told ->> 'digest'
            AND e.database_id::text = told ->> 'database_id'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the checkpoint is over an entry that this journal has not';
    END IF;
    IF NOT coalesce(
        octet_length(signature) BETWEEN 16 AND 10000 AND octet_length(document) < 4194304
        AND left(told ->> 'key_arn', 4) = 'arn:' AND told ->> 'algorithm' ~ '^[A-Z0-9_]+$'
        AND isfinite((told ->> 'at')::timestamptz)
        AND nullif(broken, '')::jsonb IS NOT DISTINCT FROM told -> 'broken'
        AND (broken = '' OR jsonb_typeof(told -> 'broken') = 'object'), false
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'this is no signed checkpoint of the journal';
    END IF;
    INSERT INTO keydeck.journal_checkpoint
        (seq, digest, at, actor, key_arn, algorithm, signature, database_id, broken)
    VALUES (
        (told ->> 'seq')::bigint, decode(told ->> 'digest', 'hex'), (told ->> 'at')::timestamptz, actor,
        told ->> 'key_arn', told ->> 'algorithm', signature, told ->> 'database_id', broken
    );
    RETURN keydeck.make_entry(actor, host, 'journal checkpoint', subject, 'done', document, true);
END
$$
"""  # noqa: S608  # nothing in it is foreign

# A request is approved, denied or used in the transaction that records it.
_APPROVAL = f"""
CREATE FUNCTION keydeck.record_approval({_FIELDS}) RETURNS bigint {_DEFINED}
DECLARE
    told jsonb := detail::jsonb;
    asked record;
BEGIN
    SELECT a.decision, a.request_digest, a.requested_by, a.decided_by INTO asked
    FROM keydeck.approval a WHERE a.id = (told ->> 'request')::uuid FOR UPDATE;
    IF outcome <> 'done' OR NOT coalesce(
        asked.request_digest <> '' AND asked.request_digest = told ->> 'request_digest'
        AND asked.requested_by = told ->> 'requested_by'
        AND (asked.decision = 'pending' OR asked.decided_by = told ->> 'decided_by')
        AND (action, asked.decision) IN (
            ('approvals request', 'pending'), ('approvals approve', 'approved'), ('approvals deny', 'denied'),
            ('approvals use', 'used')
        ), false
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the request is not there, or not as ' || quote_literal(action) || ' leaves it';
    END IF;
    IF action = 'approvals use' AND EXISTS (
        SELECT FROM keydeck.journal j
        WHERE j.action = action AND j.outcome = 'done' AND j.checked IS DISTINCT FROM false
            AND strpos(j.detail, told ->> 'request') > 0
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation',
            MESSAGE = quote_literal(action) || ' of this request is recorded already';
    END IF;
    RETURN keydeck.make_entry(actor, host, action, subject, outcome, detail, true);
END
$$
"""  # noqa: S608  # nothing in it is foreign

# The first entry of a run has the digests of its terms; each later wave follows one that is recorded.
_JOB = f"""
CREATE FUNCTION keydeck.record_job({_FIELDS}) RETURNS bigint {_DEFINED}
DECLARE
    told jsonb := detail::jsonb;
    run text := ((told ->> 'run')::uuid)::text;
    entries bigint;
    wave bigint;
BEGIN
    SELECT count(*), max((j.detail::jsonb ->> 'wave')::bigint) INTO entries, wave FROM keydeck.journal j
    WHERE j.outcome = 'started' AND j.checked AND strpos(j.detail, run) > 0
        AND j.detail::jsonb ->> 'run' = run;
    IF outcome <> 'started' OR NOT coalesce(
        told ->> 'scope' ~ '^[0-9a-f]{{64}}$' AND told ->> 'run' = run AND CASE WHEN told ? 'terms'
            THEN entries = 0 AND told ->> 'terms' ~ '^[0-9a-f]{{64}}$' AND NOT told ? 'wave'
            ELSE entries > 0 AND (told ->> 'wave')::bigint > coalesce(wave, 1) END, false
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'this begins neither a run nor a wave that comes next in one';
    END IF;
    RETURN keydeck.make_entry(actor, host, action, subject, outcome, detail, true);
END
$$
"""  # noqa: S608  # nothing in it is foreign

_EVIDENCE = f"""
CREATE FUNCTION keydeck.keep_evidence(
    actor text, host text, incident bigint, step text, kind text, title text, content text, at timestamptz
) RETURNS bigint {_DEFINED}
DECLARE
    told jsonb := CASE WHEN kind = 'accepted-loss' THEN content::jsonb END;
    scope jsonb;
    hashed text := encode(sha256(convert_to(content, 'UTF8')), 'hex');
    number bigint;
BEGIN
    SELECT i.scope INTO scope FROM keydeck.incident i WHERE i.id = incident AND i.state = 'open' FOR UPDATE;
    IF NOT FOUND OR NOT coalesce(
        kind ~ '^[a-z][a-z-]{{0,59}}$' AND title <> '' AND octet_length(title) < 4000
        AND octet_length(step) < 400 AND isfinite(at) AND json_typeof(content::json) <> '', false
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'this is no evidence of an open incident';
    END IF;
    IF kind = 'accepted-loss' AND NOT coalesce(
        jsonb_typeof(told -> 'tokens') = 'array' AND jsonb_array_length(told -> 'tokens') > 0
        AND told -> 'number' = to_jsonb(jsonb_array_length(told -> 'tokens'))
        AND scope ->> 'key' <> '' AND told ->> 'key_arn' = scope ->> 'key' AND told ->> 'reason' <> ''
        AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(told -> 'tokens') t WHERE NOT coalesce(
                t ->> 'sha256' ~ '^[0-9a-f]{{64}}$' AND jsonb_typeof(t -> 'place') = 'array'
                AND jsonb_array_length(t -> 'place') = 4, false
            )
        ), false
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'an accepted loss names the key of the incident, the number and the digests of values';
    END IF;
    INSERT INTO keydeck.incident_evidence
        (incident_id, step_id, kind, title, captured_at, captured_by, content, sha256)
    VALUES (incident, step, kind, title, at, actor, content, hashed) RETURNING id INTO number;
    PERFORM keydeck.make_entry(
        actor, host, 'incident evidence', rtrim('INC-' || incident || ' ' || step), 'done',
        jsonb_build_object(
            'evidence', number, 'kind', kind, 'sha256', hashed, 'characters', char_length(content)
        )::text,
        true
    );
    RETURN number;
END
$$
"""  # noqa: S608  # nothing in it is foreign

# NULL where another version was written meanwhile.
_TRIPWIRES = f"""
CREATE FUNCTION keydeck.write_tripwire_list(
    actor text, host text, subject text, version bigint, document text, detail text
) RETURNS bigint {_DEFINED}
DECLARE
    entry bigint;
BEGIN
    LOCK TABLE keydeck.tripwire IN SHARE ROW EXCLUSIVE MODE;
    IF version IS DISTINCT FROM 1 + coalesce((SELECT max(t.version) FROM keydeck.tripwire t), 0) THEN
        RETURN NULL;
    END IF;
    IF document !~ '^(djJ8|dmJ8)[A-Za-z0-9+/]+=*$' OR octet_length(document) > 1048576 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a list of tripwires is sealed as v2 or v2-bound';
    END IF;
    entry := keydeck.make_entry(
        actor, host, 'tripwire list', subject, 'done',
        (detail::jsonb || jsonb_build_object(
            'list', encode(sha256(convert_to(document, 'UTF8')), 'hex'), 'version', version
        ))::text,
        true
    );
    INSERT INTO keydeck.tripwire AS t (id, version, document, entry) VALUES (1, version, document, entry)
    ON CONFLICT (id) DO UPDATE
    SET version = excluded.version, document = excluded.document, entry = excluded.entry;
    RETURN entry;
END
$$
"""  # noqa: S608  # nothing in it is foreign

# Its two calls make entries that are checked.
_RECORDS = r"""
DO $$
BEGIN
    EXECUTE regexp_replace(
        replace(
            pg_get_functiondef('keydeck.write_evidence_record'::regproc),
            'keydeck.append_to_journal(', 'keydeck.make_entry('
        ),
        '\)::text(\s+\);)', ')::text, true\1', 'g'
    );
END
$$
"""

# Who could write a table and append to the journal may call the function that does both now.
_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.journal'::regclass);
    writes record;
    holder record;
BEGIN
    FOR writes IN SELECT * FROM (VALUES
        ('make_entry', NULL, false), ('checked_actions', NULL, false),
        ('record_checkpoint', 'journal_checkpoint', true), ('record_approval', 'approval', false),
        ('record_job', 'job', false), ('keep_evidence', 'incident_evidence', true),
        ('write_tripwire_list', 'tripwire', true)
    ) AS f(made, place, alone) LOOP
        IF pg_get_userbyid(owner) <> current_user THEN
            EXECUTE 'ALTER FUNCTION keydeck.' || writes.made || ' OWNER TO '
                || quote_ident(pg_get_userbyid(owner));
        END IF;
        EXECUTE 'REVOKE ALL ON FUNCTION keydeck.' || writes.made || ' FROM PUBLIC';
        FOR holder IN
            SELECT
                CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
                bool_or(g.privilege_type = 'SELECT') AS reads,
                bool_or(g.privilege_type = 'EXECUTE') AND g.grantee <> 0
                    AND bool_or(g.privilege_type IN ('INSERT', 'UPDATE')) AS calls
            FROM (
                SELECT t.grantee, t.privilege_type FROM pg_class c, aclexplode(c.relacl) t
                WHERE c.oid = to_regclass('keydeck.' || writes.place)
                UNION ALL
                SELECT t.grantee, t.privilege_type FROM pg_proc p, aclexplode(p.proacl) t
                WHERE p.oid = 'keydeck.append_to_journal'::regproc AND writes.place IS NOT NULL
            ) g
            WHERE g.grantee <> owner GROUP BY g.grantee
        LOOP
            IF writes.alone THEN
                EXECUTE 'REVOKE ALL ON keydeck.' || writes.place || ' FROM ' || holder.name || ' CASCADE';
                IF holder.reads THEN
                    EXECUTE 'GRANT SELECT ON keydeck.' || writes.place || ' TO ' || holder.name;
                END IF;
            END IF;
            IF holder.calls THEN
                EXECUTE 'GRANT EXECUTE ON FUNCTION keydeck.' || writes.made || ' TO ' || holder.name;
            END IF;
        END LOOP;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create columns and functions, with the privileges that there are. Entries that are there stay."""
    op.add_column("journal", sa.Column("checked", sa.Boolean), schema="keydeck")
    op.add_column("journal", sa.Column("transaction_id", sa.BigInteger), schema="keydeck")
    checked = sa.text("checked")
    op.create_index(
        "ix_journal_checked", "journal", ["action", "seq"], schema="keydeck", postgresql_where=checked
    )
    made = (_MAKE, _CHECKED, _APPEND, _CHECKPOINT, _APPROVAL, _JOB, _EVIDENCE, _TRIPWIRES, _RECORDS, _GRANTS)
    for statement in made:
        op.execute(statement)
