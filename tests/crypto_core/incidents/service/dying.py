"""A console that is killed while it runs a step: python dying.py URL INCIDENT FOLDER POINT."""

from __future__ import annotations

import sys
from pathlib import Path

from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.service import IncidentService
from tests.crypto_core.incidents.service.doubles import Doubles, killed

if __name__ == "__main__":
    url, number, folder, point = sys.argv[1:]
    engine = open_engine(url)
    doubles = Doubles(Path(folder), hooks={point: killed})
    service = IncidentService(
        engine, Journal(engine, lambda: "ana"), RunbookLibrary(), doubles.toolbox(), read_only=False
    )
    plan = service.plan_action(int(number), "lock")
    service.run_action(int(number), "lock", plan, Consent.pressed(plan))
