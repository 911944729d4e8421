"""Leases through functions: of duties, and of an incident's steps. What holds up the journal can be ended.

A lease ends by the server's clock, which alone sets it, belongs to the login that took it, and can't be taken
from a holder that lives. Of a duty, a login keeps it for a quarter of an hour once another one asks: then it
is the other's. Whoever could change the tables may call the functions instead.

A transaction that stays open behind an entry holds up every other. `end_holder` ends its session, once the
schema's owner may signal other sessions; whoever may append to the journal may call it.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"

_DEFINED = """LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '4s' AS $$
#variable_conflict use_variable
"""

_COLUMNS = """
ALTER TABLE keydeck.duty
    ADD COLUMN login text NOT NULL DEFAULT '', ADD COLUMN since timestamptz,
    ADD COLUMN asked_by text NOT NULL DEFAULT '', ADD COLUMN asked_at timestamptz,
    ADD COLUMN next_login text NOT NULL DEFAULT ''
"""
_COLUMN = "ALTER TABLE keydeck.incident_lease ADD COLUMN login text NOT NULL DEFAULT ''"

_DUTY = f"""
CREATE FUNCTION keydeck.hold_duty(duty text, token uuid, holder text, act text, "position" jsonb)
RETURNS TABLE (held boolean, held_by text, held_login text, held_since timestamptz, done_at timestamptz,
    idle float, so_far jsonb) {_DEFINED}
DECLARE
    moment timestamptz := clock_timestamp();
    full_term timestamptz := moment + interval '30 seconds';
    d record;
    mine boolean;
    overdue boolean;
BEGIN
    IF duty !~ '^[a-z][a-z-]{{0,39}}$' OR octet_length(coalesce("position", '{{}}')::text) > 1048576 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this is no duty';
    END IF;
    IF act = 'take' THEN
        INSERT INTO keydeck.duty (name, token, holder, until) VALUES (duty, token, '', '-infinity')
        ON CONFLICT DO NOTHING;
    END IF;
    SELECT t.* INTO d FROM keydeck.duty t WHERE t.name = duty FOR UPDATE;
    overdue := d.login = session_user AND d.since < moment - interval '15 minutes'
        AND d.asked_by <> '' AND d.asked_at > moment - interval '1 minute';
    IF act IN ('take', 'renew') AND overdue AND (act = 'take' OR d.token = token) THEN
        d.until := least(d.until, moment);
        d.next_login := d.asked_by;
    END IF;
    IF act = 'take' THEN
        -- A lease longer than a lease can be is by a clock that was ahead.
        d.until := least(d.until, full_term);
        mine := d.until <= moment
            AND (d.next_login IN ('', session_user) OR moment > d.until + interval '1 minute');
        IF mine THEN
            IF d.login <> session_user OR d.next_login <> '' OR d.since IS NULL
                OR d.until < moment - interval '1 minute' THEN
                d.since := moment;
            END IF;
            d.token := token;
            d.holder := left(holder, 200);
            d.login := session_user;
            d.until := full_term;
            d.next_login := '';
        ELSIF d.login <> session_user THEN
            d.asked_by := session_user;
            d.asked_at := moment;
        END IF;
    ELSE
        mine := d.token = token AND d.login = session_user AND d.next_login = '';
        IF mine AND act = 'renew' THEN
            d.until := full_term;
        ELSIF mine AND act = 'remember' THEN
            d.position := "position";
        ELSIF mine AND act = 'done' THEN
            d.done_at := moment;
        ELSIF mine AND act = 'end' THEN
            d.until := moment;
        END IF;
    END IF;
    UPDATE keydeck.duty t
    SET (token, holder, until, position, done_at, login, since, asked_by, asked_at, next_login) = (
        d.token, d.holder, d.until, d.position, d.done_at, d.login, d.since, d.asked_by, d.asked_at,
        d.next_login
    )
    WHERE t.name = duty;
    RETURN QUERY SELECT coalesce(mine, false), d.holder, d.login, d.since, d.done_at,
        extract(epoch FROM moment - greatest(d.since, d.done_at))::float, d.position;
END
$$
"""  # noqa: S608  # nothing in it is foreign

_STEP = f"""
CREATE FUNCTION keydeck.hold_step(incident bigint, step text, token uuid, holder text, host text, act text)
RETURNS TABLE (held boolean, held_by text, held_on text, held_login text, held_until timestamptz,
    seconds float)
{_DEFINED}
DECLARE
    moment timestamptz := clock_timestamp();
    full_term timestamptz := moment + interval '10 seconds';
    l record;
    mine boolean;
BEGIN
    IF act = 'take' THEN
        INSERT INTO keydeck.incident_lease (incident_id, step_id, token, holder, host, until)
        VALUES (incident, step, token, '', '', '-infinity') ON CONFLICT DO NOTHING;
    END IF;
    SELECT t.* INTO l FROM keydeck.incident_lease t
    WHERE t.incident_id = incident AND t.step_id = step FOR UPDATE;
    IF act = 'take' THEN
        l.until := least(l.until, full_term);
        mine := l.until <= moment;
        IF mine THEN
            l.token := token;
            l.holder := left(holder, 300);
            l.host := left(host, 100);
            l.login := session_user;
        END IF;
    ELSE
        mine := l.token = token AND l.login = session_user;
    END IF;
    IF mine AND act IN ('take', 'renew') THEN
        l.until := full_term;
    ELSIF mine AND act = 'end' THEN
        l.until := moment;
    END IF;
    UPDATE keydeck.incident_lease t SET (token, holder, host, until, login)
        = (l.token, l.holder, l.host, l.until, l.login) WHERE t.incident_id = incident AND t.step_id = step;
    RETURN QUERY SELECT coalesce(mine, false), l.holder, l.host, l.login, l.until,
        extract(epoch FROM l.until - moment)::float;
END
$$
"""  # noqa: S608  # nothing in it is foreign

# Who waits for the journal's end waits for seconds.
_WAITS = """
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace = 'keydeck'::regnamespace AND 'lock_timeout=10s' = ANY (p.proconfig)
    LOOP
        EXECUTE 'ALTER FUNCTION ' || made.name || ' SET lock_timeout = ' || quote_literal('3s');
    END LOOP;
END
$$
"""

# Whoever waits has no more than a share of that table's lock: only the last entry's writer has updated it.
_END = """
CREATE FUNCTION keydeck.end_holder() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
DECLARE
    before record;
    ended bigint := 0;
BEGIN
    IF NOT pg_has_role('pg_signal_backend', 'USAGE') THEN
        RETURN 0;
    END IF;
    FOR before IN
        WITH held AS MATERIALIZED (
            SELECT l.pid, l.virtualtransaction FROM pg_locks l
            WHERE l.locktype = 'relation' AND l.relation = 'keydeck.journal_end'::regclass
                AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                AND l.mode = 'RowExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
        ), waited AS MATERIALIZED (SELECT pg_sleep(CASE WHEN EXISTS (SELECT FROM held) THEN 1.5 ELSE 0 END))
        SELECT h.pid, h.virtualtransaction, a.usename::text AS login
        FROM waited, held h LEFT JOIN pg_stat_activity a ON a.pid = h.pid
    LOOP
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM pg_locks l
            WHERE l.pid = before.pid AND l.virtualtransaction = before.virtualtransaction
                AND l.relation = 'keydeck.journal_end'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
        );
        BEGIN
            ended := ended + pg_terminate_backend(before.pid, 1000)::int;
        EXCEPTION WHEN insufficient_privilege THEN
            CONTINUE;
        END;
        PERFORM keydeck.make_entry(
            'keydeck.end_holder', '', 'journal holder ended',
            'process ' || before.pid || coalesce(' of role ' || before.login, ''), 'done', '{}', true
        );
    END LOOP;
    RETURN ended;
END
$$
"""

_GRANTS = """
DO $$
DECLARE
    made record;
    holder record;
    owner oid;
BEGIN
    FOR made IN SELECT * FROM (VALUES
        ('duty', 'hold_duty'), ('incident_lease', 'hold_step'), (NULL, 'end_holder')
    ) AS v(place, function) LOOP
        SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = 'keydeck.journal'::regclass;
        IF pg_get_userbyid(owner) <> current_user THEN
            EXECUTE 'ALTER FUNCTION keydeck.' || made.function || ' OWNER TO '
                || quote_ident(pg_get_userbyid(owner));
        END IF;
        EXECUTE 'REVOKE ALL ON FUNCTION keydeck.' || made.function || ' FROM PUBLIC';
        FOR holder IN
            SELECT
                CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
                g.grantee <> 0 AND bool_or(g.on_table AND g.privilege_type = 'UPDATE') AS changed
            FROM (
                SELECT t.grantee, t.privilege_type, true AS on_table FROM pg_class c, aclexplode(c.relacl) t
                WHERE c.oid = ('keydeck.' || made.place)::regclass
                UNION ALL
                SELECT t.grantee, t.privilege_type, false FROM pg_proc p, aclexplode(p.proacl) t
                WHERE p.oid = ('keydeck.' || made.function)::regproc
                UNION ALL
                SELECT t.grantee, t.privilege_type, true FROM pg_attribute a, aclexplode(a.attacl) t
                WHERE a.attrelid = ('keydeck.' || made.place)::regclass
                UNION ALL
                SELECT t.grantee, 'UPDATE', true FROM pg_proc p, aclexplode(p.proacl) t
                WHERE made.place IS NULL AND p.oid = 'keydeck.append_to_journal'::regproc
            ) g WHERE g.grantee <> owner GROUP BY g.grantee
        LOOP
            IF made.place IS NOT NULL THEN
                EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON keydeck.'
                    || made.place || ' FROM ' || holder.name || ' CASCADE';
            END IF;
            EXECUTE 'REVOKE ALL ON FUNCTION keydeck.' || made.function || ' FROM ' || holder.name
                || ' CASCADE';
            IF holder.changed THEN
                EXECUTE 'GRANT EXECUTE ON FUNCTION keydeck.' || made.function || ' TO ' || holder.name;
            END IF;
        END LOOP;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Create the functions, and let those call them who could change the tables until now."""
    for statement in (_COLUMNS, _COLUMN, _DUTY, _STEP, _END, _WAITS, _GRANTS):
        op.execute(statement)
