"""The journal as it stands: whole at its end, written by its function alone, not ahead of the clock."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import clock_now
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import SCHEMA, journal
from crypto_core.database.state.anchors.anchoring import Anchoring
from crypto_core.database.state.checkpoint import ACTION, told_break
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.database.state.journal_entry import entry_of, selecting, witnessed
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.guard.signature import Signer
from crypto_core.proof.forms import WrittenLast
from crypto_core.proof.journal import NOT_ANCHORED, Chain, anchor_outcomes
from crypto_core.text.counting import counted

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
    """Return whether checkpoints are anchored outside of the database, and how old the newest is there.

    Raises DatabaseError.
    """
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
