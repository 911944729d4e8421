"""A console that is killed or frozen while it runs a step: python dying.py URL INCIDENT FOLDER POINT HOOK.

Its lease is short. It ends with 7 if it was told that its step was taken over.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state import leases
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.values.errors import StepLostError
from tests.crypto_core.incidents.service import doubles as made
from tests.crypto_core.incidents.service.operators import service_of

if __name__ == "__main__":
    url, number, folder, point, hook = sys.argv[1:]
    leases.STEP_LEASE_SECONDS, leases.STEP_RENEW_SECONDS = 1.0, 0.1
    engine = open_engine(url)
    doubles = made.Doubles(Path(folder), hooks={point: getattr(made, hook)})
    service = service_of(engine, Journal(engine, lambda: "ana"), RunbookLibrary(), doubles.toolbox())
    plan = service.plan_action(int(number), "lock")
    try:
        service.run_action(int(number), "lock", plan, Consent.pressed(plan))
    except StepLostError:
        sys.exit(7)
