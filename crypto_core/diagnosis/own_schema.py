"""Keydeck's own schema: is it there, of this version, and what may the role do in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from crypto_core.database import state
from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import SCHEMA_USE, TABLE_PRIVILEGES, clock_now
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import SCHEMA, function_of, journal, journal_end, metadata
from crypto_core.database.state.anchors.checkpoint_anchors import Anchoring
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.database.state.journal_entry import entry_of, selecting, witnessed
from crypto_core.database.state.journal_verification import ACTION, told_break
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.guard.operations import READ, KeydeckRole, own_tables, token_login_tables
from crypto_core.guard.signature import Signer
from crypto_core.proof.forms import WrittenLast
from crypto_core.proof.journal import NOT_ANCHORED, Chain, anchor_outcomes
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeydeckError

_LATEST = 100
"""So many checkpoints are looked at for one that is anchored."""

_OLD_HOURS = 25
"""So old the last anchor may be."""

_WRITERS = text(
    """
    SELECT c.relname,
           CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS role,
           string_agg(DISTINCT g.privilege_type, ', ' ORDER BY g.privilege_type) AS privileges
    FROM pg_class c CROSS JOIN LATERAL (
        SELECT t.grantee, t.privilege_type FROM aclexplode(c.relacl) t
        UNION ALL
        SELECT t.grantee, t.privilege_type FROM pg_attribute a, aclexplode(a.attacl) t
        WHERE a.attrelid = c.oid
    ) g
    WHERE c.oid IN (to_regclass('keydeck.journal'), to_regclass('keydeck.journal_end'))
          AND g.grantee <> c.relowner
          AND g.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
    GROUP BY c.relname, g.grantee ORDER BY 1, 2
    """
)
_AHEAD = text("SELECT at > clock_timestamp() + interval '1 minute' FROM keydeck.journal_end")

_NEEDED = own_tables(KeydeckRole.RESPONDER)
"""The privileges on each table that all of Keydeck's operations need."""
_OF_TOKENS = token_login_tables(KeydeckRole.RESPONDER)


def own_journal(engine: Engine, signer: Signer | None, anchoring: Anchoring | None, topic: Topic) -> Check:
    """Return what `keydeck journal verify` finds, and what to do about it. Raises DatabaseError."""
    journal_ = Journal(engine, lambda: "")
    followed, found = JournalCheckpoints(journal_, signer, read_only=True, anchoring=anchoring).verified()
    with connected(engine, snapshot=True) as connection:
        writers = connection.execute(_WRITERS).all()
        ahead = bool(connection.scalar(_AHEAD))
    if found.problems:
        return topic.failed(
            f"Damaged: {' '.join(found.problems[:2])} Entries are still written.",
            _way_on(followed.chain, followed.last),
        )
    if writers:
        named = "; ".join(f"{row.role}: {row.privileges} on {SCHEMA}.{row.relname}" for row in writers)
        revoking = " ".join(
            f"REVOKE {row.privileges} ON {SCHEMA}.{row.relname} FROM {row.role};" for row in writers
        )
        return topic.warning(f"Whole, but it can be written past its function: {named}.", revoking)
    if found.failed:
        return topic.warning(
            f"Whole, but signatures were not checked: {found.unchecked}", "See the AWS checks."
        )
    if found.breaks:
        said = f"Whole since an acknowledged break. {told_break(found.breaks[-1])}"
        return topic.warning(said, "What was wrong before it: keydeck journal verify.")
    if ahead:
        said = "Whole, but its newest entry is ahead of the server's clock: later ones get the same time."
        return topic.warning(said, "Check the database server's clock.")
    of = f" of database {found.database_id}" if found.database_id else ""
    entries = f"{found.entries:,} {'entry' if found.entries == 1 else 'entries'}"
    return topic.ok(f"Whole: {entries}{of}.")


def own_anchors(engine: Engine, places: Sequence[str], topic: Topic) -> Check:
    """Say whether checkpoints are anchored outside, and how old the newest is. Raises DatabaseError."""
    if not places:
        remedy = "Set KEYDECK_TSA_URL, KEYDECK_ANCHOR_FILE or KEYDECK_ANCHOR_BUCKET."
        return topic.warning(NOT_ANCHORED, remedy)
    named = ", ".join(places)
    c = journal.c
    which = (witnessed(ACTION, earlier=True), c.detail.contains('"anchors"'))
    with connected(engine) as connection:
        newest = connection.execute(selecting().where(*which).order_by(c.seq.desc()).limit(_LATEST)).all()
        now = clock_now(connection)
    missed = ""
    for entry in map(entry_of, newest):
        outcomes = anchor_outcomes(entry)
        failed = [f"{where}: {error}" for where, error in outcomes if error]
        missed = missed or "; ".join(failed)
        if len(failed) == len(outcomes):
            continue
        hours = (now - entry.at).total_seconds() / 3600
        said = f"The last is {counted(int(hours), 'hour')} old, in {named}."
        if missed:
            return topic.warning(f"{said} Not everywhere: {missed}", "Try again: keydeck journal checkpoint.")
        if hours > _OLD_HOURS:
            return topic.warning(said, "Make checkpoints by cron: keydeck journal checkpoint.")
        return topic.ok(said)
    said = f"Configured are {named}; nothing is anchored there yet. {missed}".rstrip()
    return topic.warning(said, "Make a checkpoint: keydeck journal checkpoint.")


class TableCheck(NamedTuple):
    """A check of what a capability keeps in a table of schema `keydeck`: made where that can be read."""

    name: str
    table: str
    look: Callable[[Engine, Topic], Check]


def _way_on(chain: Chain, last: WrittenLast | None) -> str:
    """What to do about a damaged journal: keep what shows it; rows behind the end can go then."""
    keep = "List all damage with: keydeck journal verify. Keep its output and a copy of keydeck.journal."
    if last is None or chain.last is None or chain.last.seq <= last[0]:
        return (
            f"{keep} Only the schema's owner can do this: find out who acted as that role. Then begin anew: "
            "keydeck journal break."
        )
    removal = f"DELETE FROM keydeck.journal WHERE seq > {last[0]};"  # noqa: S608  # a number
    return (
        f"{keep} Then the schema's owner removes what was put behind the end: BEGIN; "
        f"ALTER TABLE keydeck.journal DISABLE TRIGGER append_only; {removal} "
        "ALTER TABLE keydeck.journal ENABLE TRIGGER append_only; COMMIT;"
    )


def own_schema(
    engine: Engine,
    *,
    area: str,
    read_only: bool,
    anchors: Sequence[str] | None = None,
    signer: Signer | None = None,
    anchoring: Anchoring | None = None,
    tokens: bool = False,
    added: Sequence[TableCheck] = (),
) -> Iterator[Check]:
    """Yield whether schema `keydeck` is there and current, and a check for each of its tables.

    `anchors` are the places in which checkpoints are anchored, None where that is no question; `signer`
    verifies the journal's signatures, `anchoring` reads what is kept of it outside. `tokens` is for a login
    beside which another one writes the journal.
    """
    schema = Topic(area, f"schema {SCHEMA}")
    try:
        with connected(engine) as connection:
            found = connection.execute(SCHEMA_USE, {"schema": SCHEMA}).one_or_none()
            rows = connection.execute(TABLE_PRIVILEGES, {"schema": SCHEMA}).all()
    except KeydeckError as error:
        yield schema.unknown_by(error)
        return
    if found is None:
        if read_only:
            yield schema.ok("Not there; read only, Keydeck needs none.")
            return
        said = (
            "Not there: no token can be written, for no backup and no journal can be kept. Inspection works."
        )
        yield schema.warning(said, "Create it with: keydeck init.")
        return
    if not found.usable:
        grant = f"GRANT USAGE ON SCHEMA {SCHEMA} TO {found.role};"
        yield schema.warning("There, but this role can't use it.", grant)
        return
    yield schema.by(partial(_version, engine))
    held = {(row.relname, row.privilege) for row in rows if row.held}
    present = {row.relname for row in rows}
    for name in sorted({t.name for t in metadata.tables.values()} | {"version"}):
        topic = Topic(area, f"{SCHEMA}.{name}")
        if name in present:
            yield _table(topic, name, held, found.role, read_only=read_only, tokens=tokens)
        else:
            yield topic.failed("Not there.", "Create it with: keydeck init.")
    if present >= {journal.name, journal_end.name}:
        yield Topic(area, "journal").by(partial(own_journal, engine, signer, anchoring))
    for check in added:
        if (check.table, "SELECT") in held:
            yield Topic(area, check.name).by(partial(check.look, engine))
    if present >= {journal.name, journal_end.name} and anchors is not None:
        yield Topic(area, "anchors").by(partial(own_anchors, engine, anchors))


def _table(
    topic: Topic, table: str, held: set[tuple[str, str]], role: str, *, read_only: bool, tokens: bool
) -> Check:
    needed = READ if read_only else (_OF_TOKENS if tokens else _NEEDED).get(table, READ)
    missing = [privilege for privilege in needed if (table, privilege) not in held]
    if not missing:
        return topic.ok(f"{', '.join(needed)}: granted.")
    places = {
        p: f"FUNCTION {function_of(table, tokens=tokens)}" if p == "EXECUTE" else topic.name for p in missing
    }
    grants = [
        f"GRANT {', '.join(p for p in missing if places[p] == place)} ON {place} TO {role};"
        for place in dict.fromkeys(places.values())
    ]
    return topic.warning(f"{', '.join(missing)}: not granted.", " ".join(grants))


def _version(engine: Engine, schema: Topic) -> Check:
    with connected(engine) as connection:
        there = str(connection.scalar(text(f"SELECT version_num FROM {SCHEMA}.version")) or "")  # noqa: S608
    latest, known = _versions()
    if there == latest:
        return schema.ok(f"There, version {there}.")
    if there in known:
        return schema.failed(
            f"Version {there}; this Keydeck needs {latest}.", "Update it with: keydeck init."
        )
    said = f"Version {there or 'not known'}: another version of Keydeck made it, and this one has {latest}."
    return schema.warning(said, "Use the same version of Keydeck everywhere.")


def _versions() -> tuple[str, frozenset[str]]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(next(iter(state.__path__))) / "migrations"))
    return str(scripts.get_current_head()), frozenset(s.revision for s in scripts.walk_revisions())
