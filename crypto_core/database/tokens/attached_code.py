"""Code that others attached to the platform's tables, and column widths: what may run or change in a write.

Built-in functions count only where they run a statement they are given, or are volatile and not known to be
harmless; functions of PostgreSQL's trusted extensions only where somebody but a superuser owns them. What a
function calls in turn isn't followed. A publication's row filter holds built-in immutable functions alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.placed_tables import found_on_path
from crypto_core.database.tokens.tables import TokenTable, placed_names
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.counts import listed
from crypto_core.values.errors import RefusedError
from crypto_core.values.json_records import JsonRecord, shape

ENVELOPE_CHARACTERS = 400
"""No envelope is shorter: a data key that KMS wrapped has 152 bytes and more, and is in base64 twice."""

_NO_TEXTS, _NO_OIDS = "CAST('{}' AS text[])", "CAST('{}' AS oid[])"
# Objects below 16384 are initdb's. An extension's owner may add functions of its own to it, hence the owner
# and the language. Stored expressions name their functions by oid; built-in ones are in no pg_depend.
_CODE = text(
    f"""
    WITH RECURSIVE asked AS (
        SELECT n.name, {place_oid("n.place", "n.relation")} AS oid
        FROM unnest(CAST(:names AS text[]), CAST(:schemas AS text[]), CAST(:tables AS text[]))
            AS n(name, place, relation)
    ), concerned(name, oid) AS (
        SELECT name, oid FROM asked WHERE oid IS NOT NULL
        UNION
        SELECT c.name, further.oid FROM concerned c CROSS JOIN LATERAL (
            SELECT i.inhrelid AS oid FROM pg_inherits i WHERE i.inhparent = c.oid
            UNION ALL
            SELECT d.refobjid FROM pg_rewrite r JOIN pg_depend d
                ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = r.oid
            WHERE r.ev_class = c.oid AND d.refclassid = CAST('pg_class' AS regclass)
            UNION ALL
            SELECT d.refobjid FROM pg_policy p JOIN pg_depend d
                ON d.classid = CAST('pg_policy' AS regclass) AND d.objid = p.oid
            WHERE p.polrelid = c.oid AND d.refclassid = CAST('pg_class' AS regclass)
        ) further
    ), foreign_functions AS (
        SELECT p.oid FROM pg_proc p
        WHERE CASE WHEN p.oid < 16384 THEN
            p.provolatile = 'v' AND p.proname NOT IN ('nextval', 'currval', 'lastval', 'random',
                'clock_timestamp', 'timeofday', 'gen_random_uuid', 'pg_advisory_xact_lock')
                AND p.prorettype NOT IN (CAST('trigger' AS regtype), CAST('event_trigger' AS regtype))
            OR p.proname ~ '_to_xml|^ts_stat$|^ts_rewrite$'
        ELSE NOT EXISTS (
            SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                JOIN pg_language l ON l.oid = p.prolang AND l.lanname IN ('c', 'internal')
                JOIN pg_roles o ON o.oid = p.proowner AND o.rolsuper
            WHERE d.classid = CAST('pg_proc' AS regclass) AND d.objid = p.oid AND d.deptype = 'e'
                AND d.refclassid = CAST('pg_extension' AS regclass)
                AND e.extname IN ('btree_gin', 'btree_gist', 'citext', 'cube', 'dict_int', 'fuzzystrmatch',
                    'hstore', 'intarray', 'isn', 'lo', 'ltree', 'pg_trgm', 'pgcrypto', 'seg', 'unaccent',
                    'uuid-ossp')
        ) END
    ), attached(name, relation, kind, object, tree, direct, told, columns) AS (
        SELECT c.name, c.oid, CASE WHEN t.tgconstraint <> 0 THEN 'constraint trigger' ELSE 'trigger' END,
            CAST(t.tgname AS text), CAST(t.tgqual AS text), ARRAY[t.tgfoid], pg_get_triggerdef(t.oid),
            ARRAY(SELECT CAST(a.attname AS text) FROM pg_attribute a
                WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (CAST(t.tgattr AS int2[])))
        FROM concerned c JOIN pg_trigger t ON t.tgrelid = c.oid
        WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgparentid = 0
            AND t.tgtype & :events <> 0
        UNION ALL
        SELECT c.name, c.oid, CASE WHEN r.rulename = '_RETURN' THEN 'view' ELSE 'rule' END,
            CASE WHEN r.rulename = '_RETURN' THEN v.relname ELSE r.rulename END,
            concat(r.ev_action, r.ev_qual), {_NO_OIDS}, pg_get_ruledef(r.oid), {_NO_TEXTS}
        FROM concerned c JOIN pg_rewrite r ON r.ev_class = c.oid JOIN pg_class v ON v.oid = c.oid
        WHERE r.ev_enabled IN ('O', 'A')
        UNION ALL
        SELECT c.name, c.oid, 'check', k.conname, CAST(k.conbin AS text), {_NO_OIDS},
            pg_get_constraintdef(k.oid), {_NO_TEXTS}
        FROM concerned c JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.conbin IS NOT NULL
        UNION ALL
        SELECT c.name, c.oid, CASE WHEN a.attgenerated <> '' THEN 'generated column' ELSE 'default' END,
            a.attname, CAST(d.adbin AS text), {_NO_OIDS}, pg_get_expr(d.adbin, d.adrelid),
            {_NO_TEXTS}
        FROM concerned c JOIN pg_attrdef d ON d.adrelid = c.oid
            JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        UNION ALL
        SELECT c.name, c.oid, 'index', n.relname, concat(i.indexprs, i.indpred),
            ARRAY(SELECT CAST(m.amproc AS oid) FROM pg_opclass o JOIN pg_amproc m
                ON m.amprocfamily = o.opcfamily WHERE o.oid = ANY (CAST(i.indclass AS oid[]))),
            pg_get_indexdef(i.indexrelid), {_NO_TEXTS}
        FROM concerned c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class n ON n.oid = i.indexrelid
        UNION ALL
        SELECT c.name, c.oid, 'policy', p.polname, concat(p.polqual, p.polwithcheck), {_NO_OIDS},
            concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)),
            {_NO_TEXTS}
        FROM concerned c JOIN pg_policy p ON p.polrelid = c.oid
    ), types(name, relation, oid) AS (
        SELECT c.name, c.oid, a.atttypid FROM concerned c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT a.name, a.relation, CAST(m.found[2] AS oid)
        FROM attached a, regexp_matches(a.tree, '[:](resulttype|vartype|consttype) (\\d+)', 'g') AS m(found)
        UNION
        SELECT y.name, y.relation, part.oid FROM types y JOIN pg_type t ON t.oid = y.oid
            CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) AS part(oid)
        WHERE t.oid >= 16384 AND part.oid <> 0
    ), typed(name, relation, kind, object, tree, direct, told, columns) AS (
        SELECT y.name, y.relation, 'domain', CAST(t.typname AS text), CAST(k.conbin AS text),
            {_NO_OIDS}, pg_get_constraintdef(k.oid), {_NO_TEXTS}
        FROM types y JOIN pg_type t ON t.oid = y.oid JOIN pg_constraint k ON k.contypid = t.oid
        WHERE k.conbin IS NOT NULL
        UNION ALL
        SELECT y.name, y.relation, 'type', t.typname, NULL,
            ARRAY[t.typinput, t.typoutput, t.typsend, t.typreceive, t.typmodin] || ARRAY(
                SELECT r.rngcanonical FROM pg_range r WHERE r.rngtypid = t.oid
                UNION SELECT r.rngsubdiff FROM pg_range r WHERE r.rngtypid = t.oid),
            '', {_NO_TEXTS}
        FROM types y JOIN pg_type t ON t.oid = y.oid WHERE t.oid >= 16384
        UNION ALL
        SELECT y.name, y.relation, 'cast', format_type(k.castsource, NULL) || ' AS '
            || format_type(k.casttarget, NULL), NULL, ARRAY[k.castfunc], CAST(k.castcontext AS text),
            {_NO_TEXTS}
        FROM types y JOIN pg_cast k ON y.oid IN (k.castsource, k.casttarget)
        WHERE k.castfunc >= 16384
        UNION ALL
        SELECT DISTINCT '', CAST(0 AS oid), 'event trigger', CAST(e.evtname AS text), NULL,
            ARRAY[e.evtfoid], concat(e.evtevent, e.evttags), {_NO_TEXTS}
        FROM pg_event_trigger e WHERE e.evtenabled IN ('O', 'A')
    ), found AS (
        SELECT a.*, f.oid AS function FROM (TABLE attached UNION ALL TABLE typed) a LEFT JOIN LATERAL (
            SELECT o.oid FROM foreign_functions o WHERE o.oid = ANY (a.direct) OR o.oid IN (
                SELECT CAST(m.found[2] AS oid) FROM regexp_matches(
                    a.tree, '[:](funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') AS m(found)
                UNION
                SELECT CAST(p.oprcode AS oid) FROM regexp_matches(a.tree, '[:](opno) (\\d+)', 'g') AS m(found)
                    JOIN pg_operator p ON p.oid = CAST(m.found[2] AS oid))
        ) f ON true
        WHERE f.oid IS NOT NULL OR a.kind = 'rule'
        UNION ALL
        SELECT c.name, c.oid, 'foreign table', CAST(t.relname AS text), NULL, NULL,
            CAST(s.srvname AS text), {_NO_TEXTS}, w.fdwhandler
        FROM concerned c JOIN pg_class t ON t.oid = c.oid JOIN pg_foreign_table g ON g.ftrelid = c.oid
            JOIN pg_foreign_server s ON s.oid = g.ftserver
            JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    )
    SELECT DISTINCT f.kind, f.object, f.name, coalesce(CAST(CAST(t.oid AS regclass) AS text), ''),
        CASE WHEN p.oid IS NULL THEN '' ELSE quote_ident(n.nspname) || '.' || quote_ident(p.proname)
            || '(' || pg_get_function_identity_arguments(p.oid) || ')' END,
        pg_get_userbyid(coalesce(p.proowner, t.relowner)), f.told, f.columns,
        concat_ws(' ', p.prosrc, p.probin, p.prosqlbody, p.proconfig, p.prosecdef, p.prolang, p.provolatile)
    FROM found f LEFT JOIN pg_class t ON t.oid = f.relation LEFT JOIN pg_proc p ON p.oid = f.function
        LEFT JOIN pg_namespace n ON n.oid = p.pronamespace
    ORDER BY 3, 4, 1, 2, 5
    """  # noqa: S608  # nothing in it is foreign
)
_WIDTHS = text(
    f"""
    SELECT CASE WHEN a.attgenerated <> '' THEN 'the column is generated, so that nothing can be written'
        ELSE 'the column holds ' || a.atttypmod - 4 || ' characters at most, fewer than an envelope has' END
    FROM pg_attribute a
    WHERE a.attrelid = {place_oid("CAST(:schema AS text)", "CAST(:table AS text)")}
        AND a.attname = :column AND NOT a.attisdropped AND (a.attgenerated <> ''
        OR a.atttypid IN (CAST('varchar' AS regtype), CAST('bpchar' AS regtype))
        AND a.atttypmod BETWEEN 5 AND :width + 3)
    """  # noqa: S608  # nothing in it is foreign
)
_WALLED_OFF = text(
    """
    SELECT NOT EXISTS (
        SELECT FROM pg_roles r CROSS JOIN pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'keydeck' AND p.prosecdef AND p.proname <> 'back_up_envelopes'
            AND pg_has_role(session_user, r.oid, 'MEMBER') AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
    ) AND NOT EXISTS (
        SELECT FROM pg_roles r CROSS JOIN pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'keydeck' AND c.relname IN ('journal', 'journal_end', 'approval', 'tripwire',
                'envelope_backup', 'journal_checkpoint', 'incident', 'incident_evidence', 'evidence_record')
            AND pg_has_role(session_user, r.oid, 'MEMBER')
            AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
    )
    """
)
EVENTS = 4 | 8 | 16
UPDATE = 16


@dataclass(frozen=True, slots=True)
@cleans(name=200, relation=200, function=300, owner=100)
class AttachedCode(JsonRecord):
    """A function that others have had run on a table; `function` is "" for a rule that runs statements alone.

    `table` is the token table, "" for what is the database's; `relation` is where it is attached: a
    partition, or the table below a view. `columns` are those whose UPDATE alone fires a trigger.
    """

    kind: str
    name: str
    table: str
    relation: str
    function: str
    owner: str
    digest: str
    columns: tuple[str, ...] = field(default=(), compare=False)
    agreed: bool = field(default=False, compare=False)
    """Whether the settings agree to this definition, or it can't reach Keydeck's own tables."""

    json_shape = shape("... -columns -agreed")

    def __str__(self) -> str:
        where = f" on {self.relation}" if self.relation else ""
        runs = f" runs {self.function}" if self.function else " rewrites statements"
        return f"{self.kind} {self.name}{where}{runs}, owned by {self.owner}"

    @property
    def agreement(self) -> str:
        """What `agreed_code` in the settings holds of it: its name, and of its definition's digest enough."""
        return f"{self.known_as.partition('(')[0]}@{self.digest[:16]}"

    @property
    def known_as(self) -> str:
        return self.function or f"{self.relation}.{self.name}"


def attached_code(
    connection: Connection, tables: Iterable[TokenTable], *, events: int = UPDATE
) -> tuple[AttachedCode, ...]:
    """Return all code of others that runs when tables are written, by one query. Raises DatabaseError."""
    named = placed_names(found_on_path(connection, tables))
    rows = connection.execute(_CODE, named | {"events": events})
    return tuple(
        AttachedCode(
            kind, name, table, relation, function, owner, _digest(told, source, owner), tuple(columns)
        )
        for kind, name, table, relation, function, owner, told, columns, source in rows
    )


def is_walled_off(connection: Connection) -> bool:
    """Return whether code that runs with this login can write nothing that a decision of Keydeck rests on.

    All that the login could become by SET ROLE counts, since code may do that. Raises DatabaseError.
    """
    return bool(connection.scalar(_WALLED_OFF))


class RunsCode:
    """A plan whose carrying out runs code of others, which a consent must name."""

    __slots__ = ()
    code: tuple[AttachedCode, ...]

    @property
    def unagreed(self) -> tuple[str, ...]:
        """By name."""
        return tuple(dict.fromkeys(one.known_as for one in self.code if not one.agreed))


def require_same_code(before: Sequence[AttachedCode], now: Sequence[AttachedCode]) -> None:
    """Pass where nothing runs in a write that the plan did not name. Raises RefusedError.

    What was taken away since runs no more.
    """
    if changed := {str(code): None for code in now if code not in before}:
        raise RefusedError(
            f"Code that runs in this write has changed since the plan: {listed(list(changed), 5)}.",
            remedy="Nothing was written. Read the code, then make the plan again.",
        )


def code_warnings(code: Iterable[AttachedCode]) -> tuple[str, ...]:
    return tuple(
        f"Code of others runs in this write: {one}."
        + ("" if one.agreed else f' Read it; to agree to it for good: agreed_code = ["{one.agreement}"].')
        for one in code
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def column_limits(connection: Connection, table: TokenTable, column: str) -> tuple[CleanText, ...]:
    """Return what in a column's definition refuses a token, a clause each."""
    place = {"schema": table.place, "table": table.relation}
    names = {**place, "column": column, "width": ENVELOPE_CHARACTERS}
    return tuple(clean(said, 200) for said in connection.scalars(_WIDTHS, names))


def write_obstacles(connection: Connection, table: TokenTable, column: str) -> tuple[str, ...]:
    """Return what may change or refuse a token on its way into a column, a clause each."""
    code = attached_code(connection, [table])
    concerned = (c for c in code if c.table and (not c.columns or column in c.columns))
    return (*map(str, concerned), *column_limits(connection, table, column))
