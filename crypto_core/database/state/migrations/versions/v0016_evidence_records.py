"""Records of evidence, a row each, and the function that alone writes them and takes old documents away.

It gives the number, has the document name that and the digest of the record before, and makes the journal's
entry in the same transaction; the journal has who logged in and when. A document's own time may differ from
the server's by so much as measuring takes. Documents can be taken away once they are 400 days old; digests,
signatures and the newest record stay. Who may append to the journal may write records; who reads the journal
reads them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

# What is signed is encoded as in crypto_core.guard.signature.digest_of, with the purpose "evidence record".
_WRITE = """
CREATE FUNCTION keydeck.write_evidence_record(
    document text, signature jsonb, unsigned_because text, actor text, host text, keep_days integer
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
#variable_conflict use_variable
DECLARE
    raw bytea := convert_to(document, 'UTF8');
    digest bytea := sha256(raw);
    told jsonb := document::jsonb;
    moment timestamptz := clock_timestamp();
    taken timestamptz := (told #>> '{snapshot,taken_at}')::timestamptz;
    last record;
    old record;
    number bigint;
    previous bytea;
    entry bigint;
    removal bigint;
BEGIN
    IF octet_length(raw) > 4194304 OR taken IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a record of evidence has at most 4 MiB, and the moment of its snapshot';
    END IF;
    IF keep_days <> 0 AND keep_days < 400 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'documents of records are kept for 400 days at least';
    END IF;
    LOCK TABLE keydeck.evidence_record IN SHARE ROW EXCLUSIVE MODE;
    SELECT r.number, r.digest INTO last FROM keydeck.evidence_record r ORDER BY r.number DESC LIMIT 1;
    number := coalesce(last.number, 0) + 1;
    previous := coalesce(last.digest, decode(repeat('00', 32), 'hex'));
    IF told ->> 'number' IS DISTINCT FROM number::text
        OR told ->> 'previous' IS DISTINCT FROM encode(previous, 'hex') THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
            MESSAGE = 'another record of evidence was written meanwhile';
    END IF;
    IF NOT EXISTS (
        SELECT FROM keydeck.journal_end e LEFT JOIN keydeck.journal j
            ON j.seq = (told #>> '{journal,seq}')::bigint AND j.seq <= e.seq
        WHERE encode(coalesce(j.digest, e.digest), 'hex') = told #>> '{journal,digest}'
            AND coalesce(j.seq, e.seq) = (told #>> '{journal,seq}')::bigint
            AND e.database_id::text = told ->> 'database_id'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the record names another database, or an entry that the journal has not';
    END IF;
    IF taken NOT BETWEEN moment - interval '6 hours' AND moment + interval '10 minutes' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the record says ' || taken || ', and it is ' || moment;
    END IF;
    entry := keydeck.append_to_journal(
        actor, host, 'evidence record', 'evidence record ' || number, 'done',
        jsonb_build_object(
            'number', number, 'sha256', encode(digest, 'hex'), 'previous', encode(previous, 'hex'),
            'signature', signature, 'unsigned_because', unsigned_because
        )::text
    );
    INSERT INTO keydeck.evidence_record
        (number, taken_at, document, digest, signed, previous, key_arn, algorithm, signature,
        unsigned_because, entry)
    VALUES (
        number, taken, document, digest,
        sha256(
            convert_to('keydeck signature 1', 'UTF8') || decode('00', 'hex') || int8send(2)
            || convert_to('t', 'UTF8') || int8send(15) || convert_to('evidence record', 'UTF8')
            || convert_to('t', 'UTF8') || int8send(octet_length(raw)) || raw
        ),
        previous, coalesce(signature ->> 'key_arn', ''), coalesce(signature ->> 'algorithm', ''),
        decode(coalesce(signature ->> 'signature', ''), 'base64'), unsigned_because, entry
    );
    IF keep_days > 0 THEN
        SELECT min(r.number) AS first, max(r.number) AS last, count(*) AS documents INTO old
        FROM keydeck.evidence_record r
        WHERE r.document IS NOT NULL AND r.number < number
            AND r.taken_at < moment - make_interval(days => keep_days);
        IF old.documents > 0 THEN
            removal := keydeck.append_to_journal(
                actor, host, 'evidence purge', 'evidence records ' || old.first || ' to ' || old.last, 'done',
                jsonb_build_object(
                    'first', old.first, 'last', old.last, 'documents', old.documents, 'kept_days', keep_days
                )::text
            );
            UPDATE keydeck.evidence_record r SET document = NULL, removal = removal
            WHERE r.document IS NOT NULL AND r.number < number
                AND r.taken_at < moment - make_interval(days => keep_days);
        END IF;
    END IF;
    RETURN number;
END
$$
"""

# The owner is no limit to itself.
_REFUSE = """
CREATE FUNCTION keydeck.evidence_record_is_append_only() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP IN ('INSERT', 'UPDATE') AND current_user = (
        SELECT pg_get_userbyid(p.proowner) FROM pg_proc p
        WHERE p.oid = to_regprocedure(
            'keydeck.write_evidence_record(text, jsonb, text, text, text, integer)'
        )
    ) AND (TG_OP = 'INSERT' OR (
        NEW.document IS NULL AND NEW.removal IS NOT NULL
        AND to_jsonb(NEW) - '{document,removal}'::text[] = to_jsonb(OLD) - '{document,removal}'::text[]
    )) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'keydeck.evidence_record is written by keydeck.write_evidence_record alone'
        USING ERRCODE = 'insufficient_privilege';
END
$$
"""
_TRIGGERS = (
    """
    CREATE TRIGGER append_only BEFORE INSERT OR UPDATE OR DELETE ON keydeck.evidence_record
    FOR EACH ROW EXECUTE FUNCTION keydeck.evidence_record_is_append_only()
    """,
    """
    CREATE TRIGGER never_truncated BEFORE TRUNCATE ON keydeck.evidence_record
    FOR EACH STATEMENT EXECUTE FUNCTION keydeck.evidence_record_is_append_only()
    """,
)

_GRANTS = """
DO $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'keydeck.journal'::regclass);
    made text;
    holder record;
BEGIN
    IF pg_get_userbyid(owner) <> current_user THEN
        EXECUTE 'ALTER TABLE keydeck.evidence_record OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        FOREACH made IN ARRAY ARRAY['write_evidence_record', 'evidence_record_is_append_only'] LOOP
            EXECUTE 'ALTER FUNCTION keydeck.' || made || ' OWNER TO ' || quote_ident(pg_get_userbyid(owner));
        END LOOP;
    END IF;
    REVOKE ALL ON FUNCTION keydeck.write_evidence_record FROM PUBLIC;
    FOR holder IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
            bool_or(g.reads) AS reads, bool_or(g.appends) AND g.grantee <> 0 AS appends
        FROM (
            SELECT t.grantee, c.relname = 'journal' AND t.privilege_type = 'SELECT' AS reads, false AS appends
            FROM pg_class c, aclexplode(c.relacl) t
            WHERE c.oid IN ('keydeck.journal'::regclass, 'keydeck.evidence_record'::regclass)
            UNION ALL
            SELECT t.grantee, false, true FROM pg_proc p, aclexplode(p.proacl) t
            WHERE p.oid = 'keydeck.append_to_journal'::regproc AND t.privilege_type = 'EXECUTE'
        ) g
        WHERE g.grantee <> owner GROUP BY g.grantee
    LOOP
        EXECUTE 'REVOKE ALL ON keydeck.evidence_record FROM ' || holder.name || ' CASCADE';
        IF holder.reads THEN
            EXECUTE 'GRANT SELECT ON keydeck.evidence_record TO ' || holder.name;
        END IF;
        IF holder.appends THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION keydeck.write_evidence_record TO ' || holder.name;
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create table and function, with the privileges that there are on the journal."""
    op.create_table(
        "evidence_record",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("signed", sa.LargeBinary, nullable=False),
        sa.Column("previous", sa.LargeBinary, nullable=False),
        sa.Column("key_arn", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("unsigned_because", sa.Text, nullable=False),
        sa.Column("entry", sa.BigInteger, nullable=False),
        sa.Column("removal", sa.BigInteger),
        schema="keydeck",
    )
    op.create_index("ix_evidence_record_taken", "evidence_record", ["taken_at"], schema="keydeck")
    for statement in (_WRITE, _REFUSE, *_TRIGGERS, _GRANTS):
        op.execute(statement)
