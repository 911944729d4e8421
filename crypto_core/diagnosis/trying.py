"""Turns what a check raises into a check that says so."""

from __future__ import annotations

from collections.abc import Callable

from crypto_core.diagnosis.check import Check, CheckOutcome
from crypto_core.errors import KeydeckError
from crypto_core.log.tracebacks import type_name


def trying(area: str, name: str, find: Callable[[], Check]) -> Check:
    """Return what `find` finds. An error means that it is not known, and the check says why."""
    try:
        return find()
    except KeydeckError as error:
        return Check(area, name, CheckOutcome.UNKNOWN, f"Not known: {error.message}", error.remedy)
    except Exception as error:  # noqa: BLE001  # a check that breaks is a result too
        return Check(
            area, name, CheckOutcome.UNKNOWN, f"Not known: looking at it failed ({type_name(error)})."
        )
