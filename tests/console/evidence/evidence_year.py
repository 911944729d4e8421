"""A year in the sandbox, day by day: AWS, PostgreSQL and this process are at the same simulated time.

PostgreSQL's clock can't be moved, so Keydeck's functions there ask one that stands in a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, text

from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.transactions import LimitedCursor
from tests.conftest import Ran, run_here

_CLOCK = """
CREATE SCHEMA simulated;
GRANT USAGE ON SCHEMA simulated TO PUBLIC;
CREATE TABLE simulated.clock (ahead interval NOT NULL);
INSERT INTO simulated.clock VALUES ('0');
CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql SECURITY DEFINER
    AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM simulated.clock';
CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql SECURITY DEFINER
    AS 'SELECT pg_catalog.now() + ahead FROM simulated.clock';
CREATE FUNCTION simulated.statement_timestamp() RETURNS timestamptz LANGUAGE sql SECURITY DEFINER
    AS 'SELECT pg_catalog.statement_timestamp() + ahead FROM simulated.clock';
"""
_FUNCTIONS = """
DO $$
DECLARE one record;
BEGIN
    FOR one IN
        SELECT pg_get_functiondef(p.oid) AS made FROM pg_proc p
        WHERE p.pronamespace = 'keydeck'::regnamespace AND p.prokind = 'f'
    LOOP
        EXECUTE regexp_replace(
            one.made, '\\m(clock_timestamp|now|statement_timestamp)\\(\\)', 'simulated.\\&', 'g'
        );
    END LOOP;
END
$$
"""
_NO_JOURNAL = """
SET LOCAL session_replication_role = replica;
DELETE FROM keydeck.journal;
UPDATE keydeck.journal_end SET seq = 0, digest = decode(repeat('00', 32), 'hex'), at = '-infinity';
"""
"""The entry about the installation is of the machine's time, and no entry is older than the one before."""
MORNING = time(6, 30, tzinfo=UTC)
"""When a day's record is made."""


@dataclass(eq=False)
class SimulatedYear:
    """Days that pass. Keydeck's schema must be installed in the sandbox's database before `begin`."""

    sandbox: Sandbox
    superuser: Engine
    missing: frozenset[date] = frozenset()
    deeds: list[tuple[datetime, Callable[[], object]]] = field(default_factory=list)

    def begin(self) -> None:
        """Let Keydeck's functions in PostgreSQL, and what its role asks there, tell the simulated time."""
        with self.superuser.begin() as connection:
            connection.execute(text(_CLOCK))
            connection.exec_driver_sql(_FUNCTIONS)
            connection.execute(text(_NO_JOURNAL))

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Let it be another time everywhere, which goes on from there."""
        ahead = moment - datetime.now(UTC)
        with self.superuser.begin() as connection:
            connection.execute(text("UPDATE simulated.clock SET ahead = :ahead"), {"ahead": ahead})
        self.sandbox.control.move_clock(moment)
        with pytest.MonkeyPatch.context() as patch, time_machine.travel(moment):
            patch.setattr(LimitedCursor, "_begun", _at_simulated_time)
            yield

    def live(self, first: date, last: date) -> None:
        """Let the days pass from the first to the last one: in the morning cron, later what happens then."""
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            if day not in self.missing:
                with self.at(datetime.combine(day, MORNING)):
                    self.sandbox.control.deliver()
                    done("events", "pull", "--from", "s3", "--since", "7d")
                    done("evidence", "record", "--yes", fine=(0, 3))
            for moment, deed in sorted(self.deeds, key=lambda one: one[0]):
                if moment.date() == day:
                    with self.at(moment):
                        deed()


_BEGUN = LimitedCursor._begun


def _at_simulated_time(cursor: LimitedCursor, query: Any) -> Any:
    """What Keydeck asks PostgreSQL for the time is answered by the simulated clock."""
    begun = _BEGUN(cursor, query)
    asked = r"pg_catalog\.(clock_timestamp|now|statement_timestamp)\(\)"
    return re.sub(asked, r"simulated.\1()", begun) if isinstance(begun, str) else begun


def done(*arguments: str, fine: tuple[int, ...] = (0, 1)) -> Ran:
    ran = run_here(*arguments)
    assert ran.exit_code in fine, (arguments, ran)
    return ran


def opened_to_all(policy: dict[str, Any]) -> dict[str, Any]:
    anybody = {"Sid": "Help", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}
    return policy | {"Statement": [*policy["Statement"], anybody]}
